"""Time drawing a step's clips and reading their rows, from 1,000 to 1,000,000 clips.

    python -m tests.benchmarks.data_path [--steps 2000]

The index and the sampler of training, on synthetic rows, without pixels and latents: the time to
read those does not depend on the number of clips.
"""

from __future__ import annotations

import json
import tempfile
import time
from itertools import islice
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from finetune.config import Bucket, Recipe
from finetune.data.index import CLIP_DTYPE, Index
from finetune.data.sampler import Sampler, SamplerState

CAPTION = b"A small figure in a red jacket walks along a street of brick houses and waves."
RECIPE = Recipe(
    dataset="synthetic",
    out="nowhere",
    steps=1,
    frame_interval=2,
    buckets=(
        Bucket(resolution="360p", frames=64, batch_size=4),
        Bucket(resolution="360p", frames=32, batch_size=8),
    ),
)


def make_index(folder: Path, clips: int) -> Index:
    """Write an index of clips of 80 to 300 frames, in three shapes."""
    random = np.random.default_rng(0)
    rows = np.zeros(clips, dtype=CLIP_DTYPE)
    rows["sha256"] = random.integers(0, 256, (clips, 32))
    rows["frames"] = random.integers(80, 300, clips)
    rows["height"], rows["fps_num"], rows["fps_den"] = 720, 24, 1
    rows["width"] = random.choice([960, 1280, 1720], clips)
    rows["caption"][:, 1] = len(CAPTION)
    np.save(folder / "clips.npy", rows)
    (folder / "strings.bin").write_bytes(CAPTION)
    about = {"fingerprint": "", "uncaptioned": 0, "unreadable": 0}
    (folder / "index.json").write_text(json.dumps(about))
    return Index.open(folder)


def measured(clips: int, steps: int) -> tuple[float, float, float]:
    """Return seconds to start; microseconds per step: median, and mean with epochs begun."""
    with tempfile.TemporaryDirectory() as folder:
        index = make_index(Path(folder), clips)
        started = time.perf_counter()
        sampler = Sampler(index, RECIPE, np.ones(clips, dtype=bool), seed=0)
        start_seconds = time.perf_counter() - started
        times = []
        batch_specs = sampler.batch_specs(SamplerState())
        for _ in range(steps):
            started = time.perf_counter()
            (spec,) = islice(batch_specs, 1)
            for clip in spec.clips:
                index.row(clip)
            times.append(time.perf_counter() - started)
        return start_seconds, float(np.median(times)) * 1e6, float(np.mean(times)) * 1e6


def main(steps: Annotated[int, typer.Option(help="of each size")] = 2000) -> None:
    """Print the table of docs/performance.md."""
    print("| clips | s to start | us per step, median | us per step, mean |\n|---|---|---|---|")
    for clips in (1_000, 10_000, 100_000, 1_000_000):
        start_seconds, median, mean = measured(clips, steps)
        print(f"| {clips:,} | {start_seconds:.3f} | {median:.0f} | {mean:.0f} |", flush=True)


if __name__ == "__main__":
    typer.run(main)
