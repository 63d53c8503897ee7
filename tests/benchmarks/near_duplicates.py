"""Measure the grouping of near-duplicates: CPU seconds and resident memory against clips.

    python -m tests.benchmarks.near_duplicates --clips 1000000

Each kind of clips runs in a fresh process. CPU seconds are those of `near_duplicate_groups` alone;
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
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from brickfilm.dataset.near_duplicates import near_duplicate_groups

Hashes = NDArray[np.uint64]
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


def measure(kind: str, clips: int) -> dict[str, float]:
    """Group `clips` clips of a kind: CPU seconds, MB at the peak, groups, the largest group."""
    table = KINDS[kind](np.random.default_rng(0), clips)
    ids = [f"{n:016x}-000000-000020" for n in range(clips)]
    hashes = [[f"{h:016x}" for h in row.tolist()] for row in table]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    began = time.process_time()
    sizes = Counter(near_duplicate_groups(ids, hashes))
    return {
        "cpu": time.process_time() - began,
        "before": before,
        "mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "groups": len(sizes),
        "largest": max(sizes.values()),
    }


def main(
    clips: Annotated[int, typer.Option(help="Clips of each kind.")] = 1_000_000,
    kind: Annotated[str, typer.Option(help="One kind, as JSON, in this process.")] = "",
) -> None:
    """Measure every kind of clips and print a table."""
    if kind:
        print(json.dumps(measure(kind, clips)))
        return
    table = Table("clips", "kind", "CPU s", "MB before", "MB peak", "groups", "largest group")
    for name in KINDS:
        command = [sys.executable, "-m", "tests.benchmarks.near_duplicates"]
        command += ["--clips", str(clips), "--kind", name]
        found = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
        figures = [f"{found[key]:,.0f}" for key in ("before", "mb", "groups", "largest")]
        table.add_row(f"{clips:,}", name, f"{found['cpu']:.1f}", *figures)
    Console().print(table)


if __name__ == "__main__":
    typer.run(main)
