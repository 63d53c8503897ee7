"""The two halves together: they meet at the columns, and count alike what a recipe uses."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from brickfilm.export.bucket_coverage import ClipShape, RecipeBucket, TrainingRecipe
from brickfilm.schema.buckets import resolutions
from brickfilm.schema.recipes import find_recipe
from finetune.config import Bucket
from finetune.data.buckets import aspect_buckets, assign_buckets

ENDS = 20  # steps at either end, whose mean losses are compared

buckets = st.lists(
    st.builds(
        RecipeBucket,
        resolution=st.sampled_from(resolutions()),
        frames=st.sampled_from([1, 4, 16, 32, 64]),
    ),
    min_size=1,
    max_size=4,
    unique_by=lambda bucket: (bucket.resolution, bucket.frames),
)
sizes = st.builds(
    ClipShape,
    frames=st.integers(1, 300),
    height=st.integers(90, 2200),
    width=st.integers(90, 4000),
)


@given(buckets, st.integers(1, 6), st.lists(sizes, min_size=1, max_size=20))
def test_both_halves_put_a_clip_into_the_same_bucket(
    buckets_of_recipe: list[RecipeBucket], interval: int, clips: list[ClipShape]
) -> None:
    recipe = TrainingRecipe("any", buckets_of_recipe, interval)
    theirs = [
        Bucket(resolution=b.resolution, frames=b.frames, batch_size=1) for b in buckets_of_recipe
    ]
    frames, height, width = (np.array(column) for column in zip(*clips, strict=True))
    numbers = assign_buckets(frames, height, width, theirs, interval=interval)
    places = [aspect_buckets(theirs)[n].bucket if n >= 0 else None for n in numbers]
    for clip, place in zip(clips, places, strict=True):
        fate = recipe.bucket_for(clip)
        ours = (fate.resolution, fate.frames) if isinstance(fate, RecipeBucket) else None
        assert ours == (place and (place.resolution, place.frames)), clip


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
