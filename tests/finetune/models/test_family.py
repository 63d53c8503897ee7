"""The seam of model families: a second one in one file goes through every command."""

from __future__ import annotations

import ast
import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from finetune.cli import main
from finetune.config import Bucket, Recipe, Validation, load_recipe
from finetune.data.cache import build_cache, cache_lines
from finetune.data.cache_layout import index_folder, latent_key
from finetune.data.index import Index
from finetune.data.shards import ShardReader
from finetune.data.windows import Window
from finetune.errors import CacheError, ConfigError, SamplingError
from finetune.models import FAMILIES, find_family
from finetune.planning.plan import plan
from finetune.release.release import ReleaseOptions, build_release
from finetune.sampling import TextToVideoPipeline
from finetune.sampling.sources import find_model
from finetune.training.checkpoint_folders import checkpoint_folder
from finetune.training.loop import train
from finetune.training.noise import draw_noise
from tests.finetune.conftest import MakeRecipe
from tests.kit import ROOT
from tests.kit.pages import named
from tests.kit.ranks import train_in_ranks
from tests.kit.toy_family import TOY, ToyVideoVAE

NAME = "tests.kit.toy_family:TOY"
PROMPT = "a castle number 0 turns slowly"
SAMPLES = Validation(
    prompts=(PROMPT,), every=4, frames=5, height=48, width=64, fps=6.0, steps=3, sweep=()
)


@pytest.fixture
def recipe(make_recipe: MakeRecipe) -> Recipe:
    """The toy family on clips of 9 frames (3 latents) at 144x256, two windows a clip."""
    made = make_recipe(
        family=NAME,
        buckets=(Bucket(resolution="144p", frames=9, batch_size=2, micro_batch_size=1),),
        frame_interval=1,
        windows_per_clip=2,
        text_tokens=8,
        validation=SAMPLES,
    )
    return replace(made, network=replace(made.network, depth=2, hidden_size=24))


def weights(recipe: Recipe, step: int) -> dict[str, torch.Tensor]:
    folder = checkpoint_folder(Path(recipe.out), step)
    return {
        f"{file.parent.name}/{name}": tensor
        for file in sorted(folder.rglob("*.safetensors"))
        for name, tensor in load_file(file).items()
    }


def losses(recipe: Recipe) -> list[float]:
    lines = (Path(recipe.out) / "metrics.jsonl").read_text().splitlines()
    return [line["loss"] for line in map(json.loads, lines) if "loss" in line]


def run_command(*words: str) -> None:
    with pytest.raises(SystemExit) as ended:
        main(list(words))
    assert ended.value.code == 0


@pytest.mark.slow
def test_a_second_family_caches_trains_resumes_samples_and_releases(
    recipe: Recipe, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "encoded 12 windows and 7 captions" in next(iter(cache_lines(recipe, 1, check=True)))
    train(recipe)
    begun = replace(recipe, out=str(tmp_path / "begun"))
    train(replace(begun, steps=2))
    train(begun, resume="auto")
    whole, resumed = weights(recipe, 4), weights(begun, 4)
    assert whole.keys() == resumed.keys()
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    assert losses(recipe) == losses(begun)
    assert (Path(recipe.out) / "samples/step-00000004/00.mp4").is_file()

    folder = build_release(Path(recipe.out), ReleaseOptions(repo_id="me/toy"))
    card = (folder / "README.md").read_text()
    assert "license: cc0-1.0" in card
    assert f"family `{NAME}`" in card
    out = tmp_path / "videos"
    for model, name in ((folder, "release"), (recipe.out, "run")):
        words = ("--prompt", PROMPT, "--seed", "5", "--format", "npy", "--out", out / f"{name}.npy")
        run_command("sample", "--model", str(model), *map(str, words))
    assert (out / "release.npy").read_bytes() == (out / "run.npy").read_bytes()


@pytest.mark.slow
def test_the_family_of_the_page_trains_and_samples(
    toy_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """docs/write-a-family.md, at fewer frames and steps."""
    monkeypatch.chdir(tmp_path)
    for name in ("patch_dit.py", "patch-dit.toml"):
        Path(name).write_text(named(name))
    smaller = ("steps=2", "latents=online", "buckets.0.frames=4", "frame_interval=2", "log.to=none")
    run_command("train", "patch-dit.toml", f"dataset={toy_dataset}", *smaller, "workers=0")
    size = ("--frames", "2", "--size", "32x32", "--steps", "1", "--out", "a.mp4")
    run_command("sample", "--model", "work/patch-dit/run", "--prompt", "a", *size)
    assert Path("a.mp4").is_file()


def test_cached_and_online_latents_train_the_same(recipe: Recipe, tmp_path: Path) -> None:
    build_cache(recipe)
    cached = replace(recipe, validation=Validation(loss_batches=0))
    train(cached)
    online = replace(cached, out=str(tmp_path / "online"), latents="online")
    train(online)
    assert losses(online) == pytest.approx(losses(cached), rel=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["ddp", "fsdp2"])
def test_two_ranks_of_a_second_family_lose_what_one_device_loses(
    recipe: Recipe, strategy: str, tmp_path: Path
) -> None:
    """FSDP2 shards the blocks that the family names; activations are recomputed in one of them."""
    build_cache(recipe)
    (bucket,) = recipe.buckets
    alone = replace(
        recipe,
        buckets=(replace(bucket, batch_size=4),),
        validation=Validation(loss_batches=0),
    )
    train(alone)
    again = replace(bucket, activation_checkpointing=1)
    two = replace(alone, out=str(tmp_path / strategy), strategy=strategy, buckets=(again,))
    train_in_ranks(two)
    assert losses(two) == pytest.approx(losses(alone), rel=1e-5)


def test_experts_draw_their_own_part_of_the_noise(recipe: Recipe) -> None:
    objective = TOY.objective(recipe.flow)
    shape, cpu = (8, 3, 4, 4), torch.device("cpu")
    for low, high in ((0.0, 0.875), (0.875, 1.0)):
        draws = draw_noise(range(50), shape, recipe, objective, cpu, time_range=(low, high))
        assert low <= float(draws.time.min()) < float(draws.time.max()) < high
    masked = draw_noise(range(50), shape, recipe, objective, cpu).frame_mask
    assert masked is not None
    assert 10 < int((~masked[:, 0]).sum()) < 40  # half of the clips begin with a given frame
    assert masked[:, 1:].all()
    plain = replace(recipe, frame_masks=False)
    assert draw_noise(range(50), shape, plain, objective, cpu).frame_mask is None


def test_a_downloaded_release_does_not_choose_what_is_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "vae").mkdir()
    about = {"family": NAME, "vae": "vae", "text_encoder": "a/b", "precision": "", "defaults": {}}
    (tmp_path / "sampling.json").write_text(json.dumps(about))
    monkeypatch.setattr("finetune.sampling.sources.download_snapshot", lambda *_, **__: tmp_path)
    with pytest.raises(SamplingError, match="no part of finetune"):
        find_model("somebody/model")
    assert find_model(str(tmp_path)).family == NAME


def test_what_a_cache_of_windows_holds(recipe: Recipe) -> None:
    build_cache(recipe)
    assert build_cache(recipe).clips == 0
    (store,) = Path(recipe.cache).glob("latents-*/144x256")
    row = Index.open(index_folder(recipe)).row(0)
    held = ShardReader(store).read(latent_key(row.sha256, Window(start=3, interval=1, frames=9)))
    assert {name: tuple(tensor.shape) for name, tensor in held.items()} == {
        "mean": (1, 3, 8, 18, 32),
        "std": (1, 3, 8, 18, 32),
    }
    with pytest.raises(CacheError, match="has no"):
        ShardReader(store).read(latent_key(row.sha256, Window(start=4, interval=1, frames=9)))
    more = replace(recipe, windows_per_clip=3, validation=Validation(loss_batches=0))
    with pytest.raises(Exception, match="not in the cache"):
        train(more)
    assert build_cache(more).clips == 6  # the two that are there are among the three


def test_keys_of_windows_differ_by_all_that_they_name() -> None:
    media = bytes(32), bytes([1]) + bytes(31)
    windows = (None, Window(0, 1, 9), Window(1, 1, 9), Window(0, 2, 9), Window(0, 1, 13))
    keys = {latent_key(sha256, window) for sha256 in media for window in windows}
    assert len(keys) == len(media) * len(windows)
    assert latent_key(media[0], None) == "0" * 64  # the whole clip: the digest of its media


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda r: replace(r, buckets=(replace(r.buckets[0], frames=8),)), "the nearest is 9"),
        (lambda r: replace(r, validation=replace(SAMPLES, frames=7)), "4 n \\+ 1; the nearest is"),
        (lambda r: replace(r, family="wan9"), "no family 'wan9': choose one of stdit2"),
        (lambda r: replace(r, family="nowhere:TOY"), "run the command in the folder of nowhere.py"),
        (lambda r: replace(r, family="json:dumps"), "is <function dumps .*: name an instance"),
        (lambda r: replace(r, family="json:loaf"), "has no attribute 'loaf'"),
        (lambda r: replace(r, family="tests.kit.toy_family:ToyFamily"), "name an instance"),
    ],
)
def test_what_a_family_lacks_is_named_before_training(
    recipe: Recipe, change: Callable[[Recipe], Recipe], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        plan(change(recipe))


def test_a_family_is_found_beside_its_recipe_and_what_it_lacks_is_named(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The console script has no working folder in `sys.path`."""
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path])
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "beside"
    folder.mkdir()
    bucket = '{ resolution = "144p", frames = 9, batch_size = 1 }'
    toml = f'dataset = "{recipe.dataset}"\nout = "run"\nsteps = 1\nbuckets = [{bucket}]\n'
    (folder / "mine.toml").write_text(toml)
    base = "from finetune.models import Family\nfrom tests.kit.toy_family import ToyFamily\n"
    mine = f"{base}class F(ToyFamily): name = 'mine'\nF = F()"
    abstract = f"{base}class F(Family): pass\nF = F()"
    nameless = f"{base}class F(Family): pass\nF.__abstractmethods__ = frozenset()\nF = F()"
    for name, where, text in (
        ("found_beside", folder, mine),
        ("found_here", tmp_path, mine),
        ("abstract", folder, abstract),
        ("nameless", folder, nameless),
    ):
        (where / f"{name}.py").write_text(text)
    load_recipe(folder / "mine.toml")
    assert find_family("found_beside:F").name == "mine"
    assert find_family("found_here:F").name == "mine"
    with pytest.raises(ConfigError, match=r"abstract.py fails in line 4: TypeError: .*denoiser"):
        find_family("abstract:F")
    with pytest.raises(ConfigError, match="has no name, grid, cost, shape_fields: set it"):
        find_family("nameless:F")


def test_a_request_off_the_familys_grid_names_the_nearest(recipe: Recipe) -> None:
    build_cache(recipe)
    train(replace(recipe, steps=1, validation=Validation(loss_batches=0)))
    pipeline = TextToVideoPipeline.from_pretrained(recipe.out, device="cpu")
    base = {"prompt": PROMPT, "frames": 5, "height": 48, "width": 64, "steps": 2}
    for field, message in (
        ({"frames": 6}, "nearest number is 5"),
        ({"height": 40}, "the nearest is 32"),
        ({"last_image": "x.png"}, "last_image: a model of family 'toy' does not take one"),
    ):
        with pytest.raises(SamplingError, match=message):
            pipeline.request(**{**base, **field})
    assert pipeline.sample(pipeline.request(**base)).shape == (5, 3, 48, 64)


def test_the_toy_vae_gives_back_what_it_encodes() -> None:
    """Constant blocks: what eight of twelve channels keep of them is kept twice the same."""
    vae, pixels = ToyVideoVAE(), torch.rand(9, 3, 32, 48) * 2 - 1
    assert vae.encode_window(pixels)["mean"].shape == (3, *TOY.latent_shape(9, 32, 48)[:1], 4, 6)
    latents = vae.encode_window(pixels)["mean"]
    again = vae.decode(latents)
    assert again.shape == (9, 3, 32, 48)
    torch.testing.assert_close(vae.encode_window(again)["mean"][1:], latents[1:])


def test_only_a_familys_own_folder_names_its_network() -> None:
    """The kernels aside, which are written for STDiT2's block."""
    allowed = ("finetune/models/stdit2/", "finetune/kernels/")
    files = {str(file.relative_to(ROOT)): file for file in (ROOT / "finetune").rglob("*.py")}
    assert {
        name
        for name, file in files.items()
        if "stdit2" in file.read_text().lower() and not name.startswith(allowed)
    } == {"finetune/config/recipe.py", "finetune/models/families.py"}  # the default, and the list
    assert next(iter(FAMILIES)) == "stdit2"
    assert find_family(NAME) is TOY


def test_the_toy_family_stands_in_one_file_and_asks_for_no_other_change() -> None:
    tree = ast.parse((ROOT / "tests/kit/toy_family.py").read_text())
    imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert not [name for name in imported if name and "stdit2" in name]
