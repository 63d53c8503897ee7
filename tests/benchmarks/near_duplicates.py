"""Measure the grouping of near-duplicates: CPU seconds and resident memory against clips.

    python -m tests.benchmarks.near_duplicates --clips 1000000
    python -m tests.benchmarks.near_duplicates --clips 100000 --embeddings   # by meaning

Each kind of clips runs in a fresh process. CPU seconds are those of the grouping alone;
memory is the highest resident size of the whole process, the clips' own strings included.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from brickfilm.dataset.near_duplicates import near_duplicate_groups
from brickfilm.dataset.semantic_duplicates import join_same_meaning
from brickfilm.dataset.union_find import UnionFind

Hashes = NDArray[np.uint64]
Embeddings = NDArray[np.float32]
DUPLICATES = 0.05
DARK = 0.3


def random_hashes(rng: np.random.Generator, clips: int) -> Hashes:
    """Return random hashes of three frames per clip."""
    return rng.integers(0, 2**64, (clips, 3), dtype=np.uint64)


def flip(rng: np.random.Generator, hashes: Hashes, most: int) -> Hashes:
    """Return copies in which up to `most` bits of every hash are flipped."""
    flipped = hashes.copy()
    flips = rng.integers(0, most + 1, hashes.shape)
    for n in range(most):
        bits = np.uint64(1) << rng.integers(0, 64, hashes.shape, dtype=np.uint64)
        flipped ^= np.where(n < flips, bits, np.uint64(0))
    return flipped


def sparse_hashes(rng: np.random.Generator, clips: int, bits: int, places: int) -> Hashes:
    """Return hashes with up to `bits` bits set, all among the lowest `places`."""
    hashes = np.zeros((clips, 3), dtype=np.uint64)
    for _ in range(bits):
        hashes |= np.uint64(1) << rng.integers(0, places, hashes.shape, dtype=np.uint64)
    return hashes


def with_copies(rng: np.random.Generator, hashes: Hashes) -> Hashes:
    """Overwrite a share of DUPLICATES of the clips with near-duplicates of others."""
    to, source = rng.permutation(len(hashes)).reshape(2, -1)[:, : int(DUPLICATES * len(hashes))]
    hashes[to] = flip(rng, hashes[source], 8)
    return hashes


def uniform(rng: np.random.Generator, clips: int) -> Hashes:
    """Random hashes, 5 % near-duplicates."""
    return with_copies(rng, random_hashes(rng, clips))


def dark(rng: np.random.Generator, clips: int) -> Hashes:
    """The same, and 30 % nearly dark clips: 40 patterns of about 14 bits, up to 5 bits flipped."""
    hashes = uniform(rng, clips)
    patterns = np.repeat(sparse_hashes(rng, 40, 18, 32)[:, :1], 3, axis=1)
    count = int(DARK * clips)
    hashes[:count] = flip(rng, patterns[rng.integers(0, 40, count)], 5)
    return hashes


def low_bits(rng: np.random.Generator, clips: int) -> Hashes:
    """The same, and 30 % clips with about 10 bits set among the lowest 24 of each hash."""
    hashes = uniform(rng, clips)
    count = int(DARK * clips)
    hashes[:count] = sparse_hashes(rng, count, 13, 24)
    return hashes


def title_card(rng: np.random.Generator, clips: int) -> Hashes:
    """The same, and all first frames alike, half the last frames too."""
    hashes = uniform(rng, clips)
    hashes[:, 0] = flip(rng, np.full((clips, 1), 0xF0F0F0F0F0F0F0F0, np.uint64), 3)[:, 0]
    hashes[: clips // 2, 2] = hashes[: clips // 2, 0]
    return hashes


def scattered(rng: np.random.Generator, clips: int) -> Hashes:
    """The worst case: 30 % clips with about 10 random bits set of 64, few of them near others."""
    hashes = uniform(rng, clips)
    count = int(DARK * clips)
    hashes[:count] = sparse_hashes(rng, count, 11, 64)
    return hashes


KINDS: dict[str, Callable[[np.random.Generator, int], Hashes]] = {
    kind.__name__: kind for kind in (uniform, dark, low_bits, title_card, scattered)
}


EMBEDDING_SIZE = 512
"""Of CLIP ViT-B/32."""
SCENE_CLIPS = 20
"""Clips of a scene in `scenes`."""


def random_directions(rng: np.random.Generator, clips: int) -> Embeddings:
    """The worst case for a projection: no direction tells the vectors apart better than another."""
    return rng.standard_normal((clips, EMBEDDING_SIZE), np.float32)


def scenes(rng: np.random.Generator, clips: int) -> Embeddings:
    """Scenes of 20 clips, 0.9 alike in cosine; 5 % of the clips again, 0.998 alike."""
    centres = random_directions(rng, -(-clips // SCENE_CLIPS))
    vectors = np.repeat(centres, SCENE_CLIPS, axis=0)[:clips]
    vectors += random_directions(rng, clips) / 3
    to, source = rng.permutation(clips).reshape(2, -1)[:, : int(DUPLICATES * clips)]
    vectors[to] = vectors[source] + random_directions(rng, len(to)) / 16
    return vectors


MEANINGS: dict[str, Callable[[np.random.Generator, int], Embeddings]] = {
    kind.__name__: kind for kind in (scenes, random_directions)
}


def measure_meaning(kind: str, clips: int) -> dict[str, float]:
    """Group embeddings of a kind, as `measure` does hashes."""
    vectors = MEANINGS[kind](np.random.default_rng(0), clips)
    before = _peak_mb()
    began = time.process_time()
    groups = UnionFind(clips)
    join_same_meaning(vectors, np.arange(clips), groups)
    sizes = Counter(groups.find(np.arange(clips)).tolist())
    return _figures(began, before, sizes)


def measure(kind: str, clips: int) -> dict[str, float]:
    """Group `clips` clips of a kind: CPU seconds, MB at the peak, groups, the largest group."""
    table = KINDS[kind](np.random.default_rng(0), clips)
    ids = [f"{n:016x}-000000-000020" for n in range(clips)]
    hashes = [[f"{h:016x}" for h in row.tolist()] for row in table]
    before = _peak_mb()
    began = time.process_time()
    return _figures(began, before, Counter(near_duplicate_groups(ids, hashes)))


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _figures(began: float, before: float, sizes: Counter[Any]) -> dict[str, float]:
    return {
        "cpu": time.process_time() - began,
        "before": before,
        "mb": _peak_mb(),
        "groups": len(sizes),
        "largest": max(sizes.values()),
    }


def main(
    clips: Annotated[int, typer.Option(help="Clips of each kind.")] = 1_000_000,
    kind: Annotated[str, typer.Option(help="One kind, as JSON, in this process.")] = "",
    embeddings: Annotated[bool, typer.Option(help="By meaning, instead of pictures.")] = False,
) -> None:
    """Measure every kind of clips and print a table."""
    if kind:
        print(json.dumps((measure_meaning if kind in MEANINGS else measure)(kind, clips)))
        return
    table = Table("clips", "kind", "CPU s", "MB before", "MB peak", "groups", "largest group")
    for name in MEANINGS if embeddings else KINDS:
        command = [sys.executable, "-m", "tests.benchmarks.near_duplicates"]
        command += ["--clips", str(clips), "--kind", name]
        found = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
        figures = [f"{found[key]:,.0f}" for key in ("before", "mb", "groups", "largest")]
        table.add_row(f"{clips:,}", name, f"{found['cpu']:.1f}", *figures)
    Console().print(table)


if __name__ == "__main__":
    typer.run(main)
