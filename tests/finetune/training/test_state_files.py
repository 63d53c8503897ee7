"""Damage of a run or a cache is repaired or named in one line, and never trains other weights."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from dataclasses import replace
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from brickfilm.errors import BrickfilmError
from finetune.config import Checkpoints, Recipe
from finetune.data.cache import cache_lines
from finetune.data.cache_layout import index_folder
from finetune.data.index import Index, build_index
from finetune.errors import CheckpointError, DataError
from finetune.release.release import ReleaseOptions, build_release, describe_weights
from finetune.sampling.pipeline import TextToVideoPipeline
from finetune.sampling.sources import find_model
from finetune.training.checkpoint_folders import checkpoint_folder, verify_checkpoint
from finetune.training.loop import train
from tests.finetune.conftest import MakeRecipe
from tests.kit.damage import DAMAGES, Damage
from tests.kit.toy_clips import Toy, captions, write_dataset

pytestmark = pytest.mark.slow

STATE_FILES = (
    "cache/index-*/index.json",
    "cache/index-*/clips.npy",
    "cache/index-*/strings.bin",
    "cache/index-*/drawings.npy",
    "cache/index-*/drawing_ends.npy",
    "cache/latents-*/144x256/about.json",
    "cache/latents-*/144x256/keys.npy",
    "cache/latents-*/144x256/*.safetensors",
    "cache/text-*/about.json",
    "cache/text-*/keys.npy",
    "cache/text-*/*.safetensors",
    "run/.lock",
    "run/metrics.jsonl",
    "run/log.txt",
    "run/summary.json",
    "run/step-00000004/manifest.json",
    "run/step-00000004/model/config.json",
    "run/step-00000004/model/*.index.json",
    "run/step-00000004/model/*.safetensors",
    "run/step-00000004/ema/config.json",
    "run/step-00000004/ema/*.index.json",
    "run/step-00000004/ema/*.safetensors",
    "run/step-00000004/exp_avg*/*",
)


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a dataset, a cache, and a run of four steps and two checkpoints."""
    place = tmp_path_factory.mktemp("place")
    write_dataset(place / "toy", [Toy(caption=text) for text in captions(2)])
    return place


@pytest.fixture
def recipe(make_recipe: MakeRecipe, original: Path, monkeypatch: pytest.MonkeyPatch) -> Recipe:
    """The recipe of that run, whose paths are relative to the present folder."""
    monkeypatch.chdir(original)
    made = make_recipe(
        dataset="toy", cache="cache", out="run", steps=4, checkpoints=Checkpoints(every=2)
    )
    if not Path("cache").exists():
        list(cache_lines(made, 1, check=False))
        train(made)
        train(replace(made, steps=6, out="whole", checkpoints=Checkpoints(every=6)))
    return made


def weights(run: Path) -> dict[str, torch.Tensor]:
    (file,) = (checkpoint_folder(run, 6) / "ema").glob("*.safetensors")
    return load_file(file)


def one_line(act: Callable[[], Any]) -> bool:
    """Return True if it worked, False after an expected error of one line."""
    try:
        act()
    except BrickfilmError as error:
        assert "\n" not in str(error)
        print(error)
        return False
    return True


def copied(original: Path, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(original, place, dirs_exist_ok=True)
    monkeypatch.chdir(place)


def use_all_state(recipe: Recipe, original: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Run what reads state, before and after the cache is built anew, which may repair it."""
    longer = replace(recipe, steps=6)
    run = Path(recipe.out)
    for act in (
        lambda: find_model(recipe.out),
        lambda: describe_weights(run, ReleaseOptions(repo_id="me/model")),
        lambda: build_release(run, ReleaseOptions(repo_id="me/model")),
    ):
        one_line(act)
    caplog.clear()
    for _ in range(2):
        if one_line(lambda: train(longer, resume="auto")):
            same = weights(run)
            whole = weights(original / "whole")
            is_same = all(torch.equal(same[name], whole[name]) for name in whole)
            assert is_same or [r for r in caplog.records if "skipped a sample" in r.message]
            return
        one_line(lambda: list(cache_lines(recipe, 1, check=True)))


def cases() -> list[tuple[str, Damage]]:
    """Return every state file with one kind of damage, the kinds in turn."""
    return [(name, DAMAGES[number % len(DAMAGES)]) for number, name in enumerate(STATE_FILES)]


@pytest.mark.parametrize(("name", "damage"), cases())
def test_any_damage_is_repaired_or_named(
    recipe: Recipe,
    original: Path,
    tmp_path: Path,
    name: str,
    damage: Damage,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    copied(original, tmp_path / "copy", monkeypatch)
    for file in Path().glob(name):
        file.write_bytes(damage(file.read_bytes(), random.Random(name)))
    use_all_state(recipe, original, caplog)


@pytest.mark.soak
def test_any_damage_of_many_is_repaired_or_named(
    recipe: Recipe,
    original: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    draw = random.Random(20)
    for number in range(150):
        name, damage = draw.choice(STATE_FILES), draw.choice(DAMAGES)
        copied(original, tmp_path / "copy", monkeypatch)
        print(number, name, damage.__name__)
        for file in Path().glob(name):
            file.write_bytes(damage(file.read_bytes(), draw))
        use_all_state(recipe, original, caplog)
        monkeypatch.chdir(original)
        shutil.rmtree(tmp_path / "copy")


def test_every_file_of_a_run_and_a_cache_is_among_them(recipe: Recipe) -> None:
    files = {
        str(path)
        for folder in ("run", "cache")
        for path in Path(folder).rglob("*")
        if path.is_file() and "step-00000002" not in path.parts
    }
    assert files
    unknown = {f for f in files if not any(fnmatch(f, pattern) for pattern in STATE_FILES)}
    assert unknown == {"cache/cache.lock"}  # it is empty
    assert all(list(Path().glob(pattern)) for pattern in STATE_FILES)


def test_a_changed_number_in_a_manifest_is_found(
    recipe: Recipe, original: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copied(original, tmp_path / "copy", monkeypatch)
    file = checkpoint_folder(Path("run"), 4) / "manifest.json"
    file.write_text(file.read_text().replace('"updates": 4', '"updates": 5'))
    with pytest.raises(CheckpointError, match="its digest is of another content"):
        verify_checkpoint(file.parent)


@pytest.mark.parametrize(("kind", "other"), [("ema", "raw"), ("model", "ema")])
def test_damaged_weights_are_not_sampled(
    kind: str,
    other: str,
    recipe: Recipe,
    original: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    copied(original, tmp_path / "copy", monkeypatch)
    (file,) = (checkpoint_folder(Path("run"), 4) / kind).glob("*.safetensors")
    content = file.read_bytes()
    file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    weights = {"ema": "ema", "model": "raw"}[kind]
    with pytest.raises(CheckpointError, match=rf"{file} is not as it was written") as refused:
        TextToVideoPipeline.from_pretrained("run", weights=weights, device="cpu")
    assert "\n" not in str(refused.value)
    assert TextToVideoPipeline.from_pretrained("run", weights=other, device="cpu").digest


def test_a_changed_caption_in_the_index_is_written_anew(
    recipe: Recipe,
    original: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    copied(original, tmp_path / "copy", monkeypatch)
    folder = index_folder(recipe)
    caption = build_index("toy", folder).row(0).caption
    strings = folder / "strings.bin"
    strings.write_bytes(strings.read_bytes().replace(caption.encode(), caption.upper().encode()))
    assert build_index("toy", folder).row(0).caption == caption
    assert "is damaged, and written anew" in caplog.text
    (folder / "index.json").write_bytes(b"{")
    assert build_index("toy", folder).row(0).caption == caption
    with pytest.raises(DataError, match=r"is damaged .*: delete it, and run the command again"):
        Index.open(tmp_path)
