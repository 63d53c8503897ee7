"""The rules of the trainer's batches, compared with the published implementation's answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from brickfilm.errors import UsageError
from brickfilm.export.bucket_coverage import RecipeCoverage
from brickfilm.schema.buckets import (
    DROP_REASONS,
    NO_CAPTION,
    NO_IMAGE_BUCKET,
    TOO_FEW_FRAMES,
    TOO_FEW_PIXELS,
)
from brickfilm.schema.frame_sampling import FrameSampling
from brickfilm.schema.training_recipe import ClipShape, RecipeBucket, TrainingRecipe
from tests.kit import ROOT

GOLDEN = ROOT / "tests/kit/golden/buckets_360p.json"
RECIPES = {
    "text2bricks-360p-32f": TrainingRecipe(
        "32f", [RecipeBucket("360p", 32)], FrameSampling(interval=4)
    ),
    "text2bricks-360p-64f": TrainingRecipe(
        "64f",
        [RecipeBucket("360p", 64), RecipeBucket("360p", 32), RecipeBucket("360p", 1)],
        FrameSampling(interval=2),
    ),
}


def test_clips_fall_where_they_fell_in_the_published_training() -> None:
    cases = json.loads(GOLDEN.read_text())
    buckets = [bucket_of(case) for case in cases]
    assert buckets == [case["bucket"][:2] if case["bucket"] else None for case in cases]
    assert len(buckets) == 400


def bucket_of(case: dict[str, Any]) -> list[object] | None:
    size = ClipShape(case["num_frames"], case["height"], case["width"])
    (bucket,) = RECIPES[case["recipe"]].assign([size])
    return [bucket.resolution, bucket.frames] if isinstance(bucket, RecipeBucket) else None


def test_the_table_says_why_clips_fall_out() -> None:
    sizes = [
        ClipShape(200, 720, 1280),
        ClipShape(128, 720, 1280),
        ClipShape(129, 240, 426),
        ClipShape(1, 720, 1280),
        NO_CAPTION,
    ]
    coverage = RecipeCoverage.from_sizes(RECIPES["text2bricks-360p-32f"], sizes)
    assert coverage.to_rows() == [
        ("360p x 32", "> 128 frames", 1, 0.2),
        ("not used", DROP_REASONS[TOO_FEW_FRAMES], 1, 0.2),
        ("not used", DROP_REASONS[TOO_FEW_PIXELS], 1, 0.2),
        ("not used", DROP_REASONS[NO_IMAGE_BUCKET], 1, 0.2),
        ("not used", NO_CAPTION, 1, 0.2),
    ]


def test_a_recipe_is_read_from_its_toml(tmp_path: Path) -> None:
    path = tmp_path / "r.toml"
    path.write_text(
        'init = "x"\nbuckets = [{ resolution = "360p", frames = 32, batch_size = 8 }]\n'
        "frame_interval = 4\n[schedule]\nkind = 'one_cycle'\n"
    )
    assert TrainingRecipe.from_file(path) == TrainingRecipe(
        "r", [RecipeBucket("360p", 32)], FrameSampling(interval=4)
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("frame_interval = 4", "has no buckets"),
        ('buckets = [{ resolution = "361p", frames = 3 }]', "a resolution among 144p"),
        ("buckets = [", "is not TOML"),
        ("\udcff", "is not TOML"),
        ("buckets = 3", "has no buckets"),
        ("buckets = ['360p']", "has a bucket '360p': it needs frames"),
        ('buckets = [{ resolution = "360p", frames = "32" }]', "it needs frames"),
        (
            'buckets = [{ resolution = "360p", frames = 3 }]\nframe_interval = 0',
            "frame_interval = 0",
        ),
    ],
)
def test_a_recipe_that_will_not_do_is_said(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "r.toml"
    path.write_text(text, errors="surrogateescape")
    with pytest.raises(UsageError, match=message):
        TrainingRecipe.from_file(path)
