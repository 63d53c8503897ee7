"""Buckets against the predecessor's table, read from the folder that GOLDEN_DIR names."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from brickfilm.schema.buckets import aspect_ratios
from brickfilm.schema.frame_sampling import FrameSampling
from finetune.config import Bucket, load_recipe
from finetune.data.buckets import aspect_buckets, assign_buckets
from tests.kit.golden_files import cases

BUCKETS = {
    f"text2bricks-360p-{model}": load_recipe(f"text2bricks/{model}-stage2").buckets
    for model in ("32f", "64f")
}


def buckets_of(recipe: str, table: list[dict[str, Any]]) -> tuple[Bucket, ...]:
    """The buckets of one of our recipes, or those that a table of another one shows."""
    shown = {
        (case["bucket"][0], case["bucket"][1], case["batch_size"])
        for case in table
        if case["recipe"] == recipe and case["bucket"]
    }
    return BUCKETS.get(recipe) or tuple(
        Bucket(resolution=resolution, frames=frames, batch_size=batch)
        for resolution, frames, batch in sorted(shown)
    )


def answer(case: dict[str, Any], buckets: tuple[Bucket, ...]) -> dict[str, Any]:
    """What our buckets say of the case, in the golden table's words."""
    clip = (np.array([case[key]]) for key in ("num_frames", "height", "width"))
    sampling = FrameSampling(interval=case["frame_interval"])
    assigned = int(assign_buckets(*clip, buckets, sampling=sampling)[0])
    if assigned < 0:
        return {"bucket": None}
    aspect_bucket = aspect_buckets(buckets)[assigned]
    return {
        "bucket": [
            aspect_bucket.bucket.resolution,
            aspect_bucket.bucket.frames,
            aspect_bucket.ratio,
        ],
        "thw": [aspect_bucket.bucket.frames, *aspect_bucket.size],
        "batch_size": aspect_bucket.bucket.batch_size,
    }


@pytest.mark.parametrize("path", cases("buckets"))
def test_every_clip_lands_in_the_golden_bucket(path: Path) -> None:
    table = json.loads(path.read_text())
    buckets = {recipe: buckets_of(recipe, table) for recipe in {case["recipe"] for case in table}}
    for case in table:
        expected = {k: case[k] for k in ("bucket", "thw", "batch_size") if k in case}
        assert answer(case, buckets[case["recipe"]]) == expected, case


@pytest.mark.parametrize("path", cases("sizes"))
def test_the_table_of_sizes_is_the_golden_one(path: Path) -> None:
    ours = aspect_ratios()
    for resolution, sizes in json.loads(path.read_text()).items():
        assert ours[resolution] == {ratio: tuple(size) for ratio, size in sizes.items()}
        assert list(ours[resolution]) == list(sizes)  # the first of equally near ratios wins
