"""A tiny run, whole: validated at every checkpoint, laid out on a page, released, loaded back."""

from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from huggingface_hub import ModelCard
from typer.testing import CliRunner

from brickfilm.schema.hub_errors import HubError
from finetune.cli import app
from finetune.config import (
    DEFAULT_PROMPTS,
    Bucket,
    Checkpoints,
    Log,
    Network,
    Optimizer,
    Recipe,
    Schedule,
    Validation,
)
from finetune.data.cache import build_cache
from finetune.errors import CheckpointError, ReleaseError, SamplingError
from finetune.models.stdit2.network import STDiT2
from finetune.release.release import ReleaseOptions, build_release, push
from finetune.sampling import TextToVideoPipeline
from finetune.sampling.sample import sample_all
from finetune.training.checkpoint_folders import checkpoint_folder, verify_checkpoint
from finetune.training.loop import train
from tests.finetune.conftest import MakeRecipe
from tests.kit import ROOT
from tests.kit.browser import open_page, scrolls_sideways
from tests.kit.servers.hub import HubServer
from tests.kit.snapshot import snapshot

REPO = "maker/bricks"
EVERY, STEPS = 40, 120
pytestmark = pytest.mark.slow


@pytest.fixture(scope="session")
def trained(toy_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Recipe:
    """A run of three checkpoints, validated at each and before the first step."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("trained")
    recipe = Recipe(
        dataset=str(toy_dataset),
        out=str(folder / "run"),
        cache=str(folder / "cache"),
        steps=STEPS,
        buckets=(Bucket(resolution="144p", frames=4, batch_size=2),),
        frame_interval=2,
        vae="tiny-random",
        text_encoder="tiny-random",
        text_tokens=96,
        cache_dtype="float32",
        workers=0,
        device="cpu",
        precision="float32",
        network=Network(depth=1, hidden_size=48, num_heads=2, caption_channels=16),
        schedule=Schedule(kind="constant", peak=2e-3),
        optimizer=Optimizer(ema=0.9),
        checkpoints=Checkpoints(every=EVERY, keep_last=0),
        validation=Validation(
            prompts="default", frames=4, height=64, width=96, steps=4, sweep=(0.0, 1.0)
        ),
        log=Log(to="none"),
    )
    build_cache(recipe)
    train(recipe)
    return recipe


def about(recipe: Recipe, step: int) -> dict:
    file = Path(recipe.out) / "samples" / f"step-{step:08d}" / "about.json"
    return json.loads(file.read_text())


# -- validation ------------------------------------------------------------------------------------


def test_the_loss_at_fixed_noise_falls(trained: Recipe) -> None:
    losses = [about(trained, step)["values"]["validation/loss"] for step in range(0, 121, 40)]
    assert losses[-1] < 0.9 * losses[0]
    lines = (Path(trained.out) / "metrics.jsonl").read_text().splitlines()
    logged = [json.loads(line) for line in lines]
    assert [v["validation/loss"] for v in logged if "validation/loss" in v] == losses


def test_the_page_shows_four_checkpoints_of_eight_prompts_and_needs_nothing_else(
    trained: Recipe,
) -> None:
    page = (Path(trained.out) / "samples" / "index.html").read_text()
    assert re.findall(r"<b>(step [\d,]+)</b>", page) == ["step 0", "step 40", "step 80", "step 120"]
    videos = re.findall(r'<video src="data:video/mp4;base64,([^"]+)"', page)
    assert len(videos) == 4 * 8 + 2 + 8  # and the sweep, and the other weights
    assert base64.b64decode(videos[0])[4:8] == b"ftyp"
    assert not re.findall(r'(?:src|href)="(?!data:)', page)
    assert "before training" in page
    assert '"peak": 0.002' in page.replace("&#34;", '"')
    assert page.count("<svg") == 2 + 6


@pytest.mark.parametrize("width", [1280, 400])
def test_the_page_plays_in_a_browser_and_asks_for_nothing(trained: Recipe, width: int) -> None:
    page_file = (Path(trained.out) / "samples" / "index.html").resolve()
    with open_page(page_file.as_uri(), width=width) as (page, requests):
        page.get_by_role("button", name="Play all").click()
        page.wait_for_function(
            "() => [...document.querySelectorAll('video')].every(v => v.currentTime > 0)"
        )
        assert not [r for r in requests if not r.startswith("data:") and r != page_file.as_uri()]
        assert not scrolls_sideways(page)
        first = page.locator("tbody tr").first.inner_text()
    assert "step 0" in first and "before training" in first


def test_down_a_column_only_the_weights_change(trained: Recipe) -> None:
    first, last = about(trained, 0), about(trained, STEPS)
    for one, two in zip(first["samples"], last["samples"], strict=False):
        assert (one["prompt"], one["seed"]) == (two["prompt"], two["seed"])
    folders = [Path(trained.out) / "samples" / f"step-{s:08d}" for s in (0, STEPS)]
    assert (folders[0] / "00.mp4").read_bytes() != (folders[1] / "00.mp4").read_bytes()
    assert [s["guidance"] for s in last["samples"] if s["sweep"]][:2] == [0.0, 1.0]


def test_validation_leaves_training_as_it_was(trained: Recipe, tmp_path: Path) -> None:
    blind = replace(trained, out=str(tmp_path / "blind"), steps=EVERY, validation=Validation())
    train(blind)
    validated, unvalidated = (
        STDiT2.from_pretrained(checkpoint_folder(Path(r.out), EVERY) / "model").state_dict()
        for r in (trained, blind)
    )
    assert all(torch.equal(validated[name], unvalidated[name]) for name in validated)
    rng = [
        verify_checkpoint(checkpoint_folder(Path(r.out), EVERY))["rng"] for r in (trained, blind)
    ]
    assert rng[0] == rng[1]


def test_a_step_that_a_kill_left_unseen_is_seen_when_the_run_goes_on(
    trained: Recipe, tmp_path: Path
) -> None:
    """The last step's checkpoint was written, its samples were not all."""
    shutil.copytree(trained.out, tmp_path / "run")
    unseen = replace(trained, out=str(tmp_path / "run"))
    (tmp_path / "run" / "samples" / f"step-{STEPS:08d}" / "about.json").unlink()
    train(unseen, resume="auto")
    assert about(unseen, STEPS) == about(trained, STEPS)
    page = (tmp_path / "run" / "samples" / "index.html").stat()
    train(unseen, resume="auto")  # now it is: nothing is sampled again
    assert (tmp_path / "run" / "samples" / "index.html").stat().st_mtime_ns == page.st_mtime_ns


@pytest.mark.parametrize("strategy", ["ddp", pytest.param("fsdp2", marks=pytest.mark.soak)])
def test_ranks_share_the_prompts_and_sample_the_same(
    strategy: str, trained: Recipe, tmp_path: Path
) -> None:
    from tests.kit.ranks import train_in_ranks

    ask = replace(trained.validation, prompts=DEFAULT_PROMPTS[:3])  # an odd share
    two = replace(trained, out=str(tmp_path / "two"), steps=1, strategy=strategy, validation=ask)
    out = train_in_ranks(two, world_size=2) / "samples" / "step-00000000"
    samples = json.loads((out / "about.json").read_text())["samples"]
    alone = about(trained, 0)["samples"][:3]
    assert [s["measures"] for s in samples] == [s["measures"] for s in alone]
    assert len(list(out.glob("*.mp4"))) == 3


def test_no_prompts_no_validation(trained: Recipe, tmp_path: Path) -> None:
    quiet = replace(trained, out=str(tmp_path / "q"), steps=1, validation=Validation())
    train(quiet)
    assert not (tmp_path / "q" / "samples").exists()


# -- release ---------------------------------------------------------------------------------------


@pytest.fixture
def published(trained: Recipe, hub: HubServer) -> Iterator[HubServer]:
    release = ReleaseOptions(repo_id=REPO, licence="apache-2.0")
    push(build_release(Path(trained.out), release), release)
    yield hub


def test_the_release_samples_bit_for_bit_what_the_run_sampled(
    trained: Recipe, published: HubServer, tmp_path: Path
) -> None:
    pipeline = TextToVideoPipeline.from_pretrained(REPO, device="cpu")
    requests = [pipeline.request(prompt=p, seed=42 + n) for n, p in enumerate(DEFAULT_PROMPTS[:2])]
    for number, file in enumerate(sample_all(pipeline, requests, tmp_path)):
        theirs = Path(trained.out) / "samples" / f"step-{STEPS:08d}" / f"{number:02d}.mp4"
        assert file.read_bytes() == theirs.read_bytes()


def test_one_line_loads_the_averaged_weights(trained: Recipe, published: HubServer) -> None:
    loaded = STDiT2.from_pretrained(REPO).state_dict()
    ema = STDiT2.from_pretrained(checkpoint_folder(Path(trained.out), STEPS) / "ema")
    assert all(torch.equal(loaded[name], value) for name, value in ema.state_dict().items())


def test_the_card_says_what_it_is(trained: Recipe, published: HubServer) -> None:
    files = published.files(REPO, kind="model")
    card = ModelCard(files["README.md"].read_text())
    assert (card.data.license, card.data.pipeline_tag) == ("apache-2.0", "text-to-video")
    assert f"finetune sample --model {REPO} --prompt '{DEFAULT_PROMPTS[0]}'" in card.text
    assert f"for {STEPS} steps" in card.text
    assert "1 x CPU" in card.text
    assert card.text.count("<video") == 16
    assert "## Limitations" in card.text
    assert "| steps | 120, batches of 2 x 4 frames at 144p |" in card.text
    assert re.search(r"\| temporal flicker \| 0\.\d+ \| 0\.\d+ \|", card.text)
    assert '"peak": 0.002' in card.text
    addresses = re.findall(r'src="[^"]*/resolve/main/([^"]+)"', card.text)
    assert set(addresses) <= set(files)
    assert "samples/index.html" in files


def test_an_earlier_checkpoint_is_released_as_if_the_later_were_not_there(trained: Recipe) -> None:
    built = build_release(checkpoint_folder(Path(trained.out), 80), ReleaseOptions(repo_id=REPO))
    samples = built / "samples"
    assert {f.name for f in samples.glob("step-*")} == {"step-00000000", "step-00000080"}
    page = (samples / "index.html").read_text()
    assert re.findall(r"<b>(step [\d,]+)</b>", page) == ["step 0", "step 40", "step 80"]
    assert page.count("<video") == 3 * 8
    assert "step 80: " in page and "step 120: " not in page  # the last points of both curves
    card = (built / "README.md").read_text()
    assert "for 80 steps" in card and "at other guidance" not in card
    assert f"{about(trained, 80)['values']['validation/loss']:.4f} after" in card


def test_encoders_that_the_hub_has_are_named_not_copied(trained: Recipe, tmp_path: Path) -> None:
    folder = checkpoint_folder(Path(trained.out), STEPS)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["recipe"]["vae"] = "stabilityai/sd-vae-ft-ema"
    del manifest["digest"]  # as earlier versions wrote it
    copied = tmp_path / folder.name
    shutil.copytree(folder, copied)
    (copied / "manifest.json").write_text(json.dumps(manifest))
    built = build_release(copied, ReleaseOptions(repo_id=REPO))
    assert json.loads((built / "sampling.json").read_text())["vae"] == "stabilityai/sd-vae-ft-ema"
    assert not (built / "vae").exists()
    assert (built / "text_encoder" / "model.safetensors").is_file()


def test_a_dry_run_writes_and_sends_nothing(
    trained: Recipe, hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)  # read TMPDIR anew
    work = Path(trained.out).parent
    before = snapshot(work)
    result = CliRunner().invoke(app, ["release", trained.out, REPO, "--dry-run"])
    assert result.exit_code == 0, result.output
    assert snapshot(work) == before
    assert not list(tmp_path.iterdir())
    assert not hub.requests
    here = CliRunner().invoke(app, ["release", trained.out, REPO, "--only-here"])
    built = Path(trained.out, "release")
    assert here.output.splitlines()[-1] == f"built in {built}"
    assert not hub.requests
    files, card = result.output.split("the card is:\n\n")
    assert here.output.startswith(files)  # the same files of the same sizes
    assert card.strip() == (built / "README.md").read_text().strip()


RELEASE_AND_DIE = """
import os, shutil, signal, sys
from pathlib import Path
from finetune.release.release import ReleaseOptions, build_release

run = Path(sys.argv[1])

def release(events):
    def kill_at_event(event, args):
        nonlocal events
        name = Path(str(args[0])).name if args else ""
        if event in ("os.rename", "shutil.rmtree") and "release" in name:
            events -= 1
            if events < 0:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(kill_at_event)
    build_release(run, ReleaseOptions(repo_id="maker/second"))
    os._exit(0)

first = shutil.copytree(build_release(run, ReleaseOptions(repo_id="maker/first")), run / "first")
for events in range(100):
    for earlier in (run / "release", run / ".release.replaced"):
        shutil.rmtree(earlier, ignore_errors=True)
    shutil.copytree(first, run / "release")
    child = os.fork() or release(events)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    complete = next(run.glob("release"), run / ".release.replaced")
    files = sum(path.is_file() for path in complete.rglob("*"))
    card = (complete / "README.md").read_text()
    print(code, "second" if "maker/second" in card else "first", files)
    if code == 0:
        break
"""


def test_a_kill_leaves_the_old_or_the_new_release(make_recipe: MakeRecipe) -> None:
    """Kill before each rename and deletion of a whole folder in turn, until it is built."""
    recipe = make_recipe(steps=2)
    build_cache(recipe)
    train(recipe)
    command = [sys.executable, "-c", RELEASE_AND_DIE, recipe.out]
    run = subprocess.run(command, check=True, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    codes, repos, files = zip(*(line.split() for line in run.stdout.splitlines()), strict=True)
    assert codes == ("-9",) * 5 + ("0",)
    assert list(repos) == sorted(repos) and set(repos) == {"first", "second"}
    assert len(set(files)) == 1  # complete
    left = {path.name for path in Path(recipe.out).iterdir() if path.name.startswith(".release")}
    assert left == {".release.lock"}


def test_what_cannot_be_released(trained: Recipe, hub: HubServer, tmp_path: Path) -> None:
    release = ReleaseOptions(repo_id=REPO)
    with pytest.raises(ReleaseError, match="name it 'user/model'"):
        ReleaseOptions(repo_id="bricks")
    with pytest.raises(ReleaseError, match="is no folder"):
        build_release(tmp_path / "none", release)
    (tmp_path / "run" / "step-00000010.tmp").mkdir(parents=True)
    with pytest.raises(SamplingError, match="still being written"):
        build_release(tmp_path / "run", release)
    (tmp_path / "run" / "step-00000020").mkdir()
    with pytest.raises(ReleaseError, match="no finished checkpoint"):
        build_release(tmp_path / "run", release)


def test_a_damaged_checkpoint_is_not_released(trained: Recipe, tmp_path: Path) -> None:
    folder = checkpoint_folder(Path(trained.out), STEPS)
    copied = tmp_path / folder.name
    shutil.copytree(folder, copied)
    file = next((copied / "ema").glob("*.safetensors"))
    file.write_bytes(file.read_bytes()[:-1] + b"\x7f")
    with pytest.raises(CheckpointError, match="not as it was written"):
        build_release(copied, ReleaseOptions(repo_id=REPO))


def test_the_hub_s_refusals_are_one_line(
    trained: Recipe, hub: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = ReleaseOptions(repo_id=REPO)
    folder = build_release(Path(trained.out), release)
    monkeypatch.setenv("HF_TOKEN", hub.token("hf_reader", "reader", role="read"))
    with pytest.raises(HubError, match=r"403 from the Hub; your token may not write"):
        push(folder, release)
