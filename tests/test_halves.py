"""The two halves together: they meet at the columns, and count alike what a recipe uses."""

from __future__ import annotations

import hashlib
import itertools
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from brickfilm import BrickfilmDataset
from brickfilm.dataset import configs_from_rows
from brickfilm.dataset.reader import find_dataset
from brickfilm.export.bucket_coverage import RecipeCoverage, dataset_clip_shapes
from brickfilm.schema.columns import COLUMN_TYPES
from brickfilm.schema.recipes import find_recipe
from brickfilm.schema.training_recipe import TrainingRecipe
from finetune.config import load_recipe
from finetune.data.bucket_coverage import bucket_coverage
from finetune.data.cache_layout import index_folder
from finetune.data.index import build_index
from finetune.errors import DataError
from tests.kit import ROOT

ENDS = 20  # steps at either end, whose mean losses are compared

RECIPES = sorted(
    path.relative_to(ROOT / "recipes").with_suffix("").as_posix()
    for path in (ROOT / "recipes").glob("*/*.toml")
)
SAMPLINGS = {
    "time": 'sampling = "time"\ntarget_fps = 11.988\n',
    "pose": 'sampling = "pose"\n',
    "interval": "frame_interval = 2\n",
}
SIZES = [(144, 256), (240, 426), (360, 640), (480, 832), (480, 848), (720, 1280), (1280, 720)]
LENGTHS = (1, 17, 18, 24, 49, 64, 65, 81, 82, 97, 121, 122, 129, 130, 257)


def saved_dataset(work: Path, *, images_only: bool) -> Path:
    """Save rows of many lengths and sizes, some without a caption, the last video as `test`.

    No media are opened to count them, so a clip is a few bytes.
    """
    rows, images = [], []
    for number, (size, frames) in enumerate(itertools.product(SIZES, LENGTHS)):
        status = "described" if number % 5 else "nothing moves"
        media = work / f"{number}"
        media.write_text(f"not video {number}")
        common = {
            "sha256": hashlib.sha256(media.read_bytes()).hexdigest(),
            "caption": "a brick" if number % 5 else "",
            "caption_status": status,
            "height": size[0],
            "width": size[1],
        }
        video_id = f"{number % 9:016x}"
        clip_id = f"{video_id}-{number:06d}-{number + frames:06d}"
        if frames > 1 and not images_only:
            fps = (24, 12, 30)[number % 3]
            rate = {"num_frames": frames, "fps": float(fps), "fps_num": fps, "fps_den": 1}
            rate["new_drawings"] = list(range(0, frames, 1 + number % 2)) if number % 7 else []
            rows.append({"id": clip_id, "video": str(media), **common, **rate})
        images.append({"id": f"{clip_id}-f{number:06d}", "image": str(media), **common})
    for row, config in [*((r, "clips") for r in rows), *((r, "images") for r in images)]:
        missing = {n: None for n in COLUMN_TYPES[config] if n not in row}
        row.update(missing, frame_hashes=[] if config == "clips" else None)
    splits = {f"{n:016x}": "test" if n == 8 else "train" for n in range(9)}
    BrickfilmDataset(configs_from_rows(rows, images, splits, work), work).save(work / "dataset")
    return work / "dataset"


@pytest.mark.parametrize("images_only", [False, True])
def test_both_halves_count_the_same_clips(tmp_path: Path, images_only: bool) -> None:
    folder = saved_dataset(tmp_path, images_only=images_only)
    for sampling, lines in SAMPLINGS.items():
        text = find_recipe("wan/1.3b-lora").read_text()
        text = re.sub("sampling = .*\ntarget_fps = .*\n", lines, text)
        (tmp_path / f"{sampling}.toml").write_text(text)
    shapes = list(dataset_clip_shapes(find_dataset(folder)))
    for name in [*RECIPES, *(str(tmp_path / f"{sampling}.toml") for sampling in SAMPLINGS)]:
        ours = RecipeCoverage.from_sizes(TrainingRecipe.from_name(name), shapes)
        recipe = load_recipe(name, [f"dataset={folder}", f"cache={tmp_path / 'cache'}"])
        index = build_index(str(folder), index_folder(recipe))
        try:
            theirs = bucket_coverage(index, recipe)
        except DataError as error:
            assert images_only, name
            assert "no clip for bucket" in str(error)
            assert not all(ours.used[bucket] for bucket in ours.recipe.buckets)
            continue
        assert theirs.clips_per_bucket == {str(b): ours.used[b] for b in ours.recipe.buckets}, name
        assert theirs.dropped == dict(ours.unused), name
        assert ours.total == len(index) + index.uncaptioned


@pytest.mark.soak
def test_the_demo_film_becomes_a_checkpoint(tmp_path: Path) -> None:
    """What `make tiny` does, with the recipe as it stands."""
    losses = train_on_the_demo(tmp_path, "tiny/cpu")
    assert (tmp_path / "work/tiny/run/step-00000200/manifest.json").is_file()
    assert len(losses) == 200
    assert sum(losses[-ENDS:]) <= 0.8 * sum(losses[:ENDS])


@pytest.mark.slow
def test_the_demo_film_trains_and_is_sampled(tmp_path: Path) -> None:
    """The same in 24 steps, validated once with 2 solver steps."""
    recipe = find_recipe("tiny/cpu").read_text()
    for old, new in (("steps = 200", "steps = 24"), ("steps = 6", "steps = 2"),
                     ("every = 100", "every = 24"), ("every = 200", "every = 24")):  # fmt: skip
        assert recipe.count(old) == 1
        recipe = recipe.replace(old, new)
    (tmp_path / "short.toml").write_text(recipe)
    losses = train_on_the_demo(tmp_path, "short.toml")
    assert (tmp_path / "work/tiny/run/step-00000024/manifest.json").is_file()
    assert len(losses) == 24
    assert sum(losses[-6:]) < sum(losses[:6])


def train_on_the_demo(folder: Path, recipe: str) -> list[float]:
    """Build the demo's dataset, cache and train; return the loss of each step."""
    brickfilm = Path(sys.executable).with_name("brickfilm")
    for command in (
        [brickfilm, "demo", "--out", "work/demo"],
        [sys.executable, "-m", "finetune", "cache", recipe],
        [sys.executable, "-m", "finetune", "train", recipe, "--resume", "auto"],
    ):
        subprocess.run(command, cwd=folder, check=True)
    lines = (folder / "work/tiny/run/metrics.jsonl").read_text().splitlines()
    return [loss for line in lines if (loss := json.loads(line).get("loss")) is not None]
