"""Buckets against the predecessor's table, read from the folder that GOLDEN_DIR names."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from finetune.config import Bucket
from finetune.data.buckets import aspect_ratios, assign, slots

GOLDEN = Path(os.environ.get("GOLDEN_DIR") or Path(__file__).parent / "golden")
BUCKETS = {
    "text2bricks-360p-32f": (Bucket(resolution="360p", frames=32, batch=8),),
    "text2bricks-360p-64f": (
        Bucket(resolution="360p", frames=64, batch=4),
        Bucket(resolution="360p", frames=32, batch=8),
        Bucket(resolution="360p", frames=1, batch=256),
    ),
}


def read(pattern: str) -> list[Any]:
    found = sorted(GOLDEN.glob(pattern))
    if not found:
        pytest.skip(f"no {pattern} in {GOLDEN}")
    print(f"{len(found)} file(s) {pattern} read from {GOLDEN}")
    return [json.loads(path.read_text()) for path in found]


def answer(case: dict[str, Any]) -> dict[str, Any]:
    """What our buckets say of the case, in the golden table's words."""
    buckets = BUCKETS[case["recipe"]]
    clip = (np.array([case[key]]) for key in ("num_frames", "height", "width"))
    found = int(assign(*clip, buckets, interval=case["frame_interval"])[0])
    if found < 0:
        return {"bucket": None}
    slot = slots(buckets)[found]
    return {
        "bucket": [slot.bucket.resolution, slot.bucket.frames, slot.ratio],
        "thw": [slot.bucket.frames, *slot.size],
        "batch_size": slot.bucket.batch,
    }


def test_every_clip_lands_in_the_golden_bucket() -> None:
    for table in read("buckets_*.json"):
        for case in table:
            expected = {k: case[k] for k in ("bucket", "thw", "batch_size") if k in case}
            assert answer(case) == expected, case


def test_the_table_of_sizes_is_the_golden_one() -> None:
    for table in read("aspect_ratios*.json"):
        ours = aspect_ratios()
        for resolution, sizes in table.items():
            assert ours[resolution] == {ratio: tuple(size) for ratio, size in sizes.items()}
            assert list(ours[resolution]) == list(sizes)  # the first of equally near ratios wins
