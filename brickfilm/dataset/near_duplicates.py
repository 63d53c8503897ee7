"""Group clips whose frames look alike, by the Hamming distance of their 64-bit perceptual hashes.

Two clips are near-duplicates if each frame's hash differs from its counterpart in at most
NEAR_DUPLICATE_BITS bits, and groups are the connected components of that relation. All pairs are
found (no false negatives) without comparing all of them, by multi-index hashing with covering
masks (Norouzi et al., CVPR 2012; Pagh, SODA 2016). Buckets that stay large, such as those of dark
frames, are split by the next frame's hash, or compared clip by clip except inside a group.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from brickfilm.dataset.union_find import Indices, UnionFind

Hashes = NDArray[np.uint64]

NEAR_DUPLICATE_BITS = 8
"""Bits of 64 in which each of a clip's three perceptual hashes may differ from its counterpart's.

A copy at half the size and crf 35 differs in 0-8 bits (34 clips of four videos, rendered and real),
two shots of one video in 28 or more, two parts of one static shot in 10 or more.
"""
FLAT_HASH_BITS = 8
"""Hashes with fewer bits set, or unset, are of black or flat frames and match anything flat."""

SMALL_BUCKET = 256  # compared pair by pair at once; larger buckets are searched recursively
SAMPLED_NEIGHBOURS = 8  # per clip of a large bucket, to join dense clusters before the search
SMALL_SEARCH = 2048  # clips that are not worth a table
LARGE_SEARCH = 2**18  # clips that are worth the 46 longer keys of two bands, not 21 of three
FIRST_ROWS, MOST_ROWS = 64, 1024  # compared with all others before costs are estimated again
TILE = (32, 4096)  # pairs compared in one numpy call: the buffers stay in the L2 cache
TABLE_COST = 64  # of sorting one clip into one table, in direct comparisons


def near_duplicate_groups(ids: Sequence[str], frame_hashes: Iterable[Sequence[str]]) -> list[str]:
    """Return the least id in each clip's group of near-duplicates; its own id if it has none.

    Hashes are hexadecimal. Clips without hashes or with a flat frame match nothing, and clips with
    different numbers of hashes do not match each other. Rows with equal ids share a group.
    """
    order = sorted(range(len(ids)), key=ids.__getitem__)
    groups = UnionFind(len(ids))
    same = np.flatnonzero([ids[a] == ids[b] for a, b in pairwise(order)])
    groups.join(same, same + 1)
    values, counts = _parsed(frame_hashes)
    starts = np.cumsum(counts)[order] - counts[order]
    counts = counts[order]
    for count in np.unique(counts[counts > 0]):
        places = np.flatnonzero(counts == count)
        hashes = values[starts[places, None] + np.arange(count)]
        groups.join(places, places[group_hashes(hashes)])
    least_ids: list[str] = [""] * len(ids)
    for n, root in zip(order, groups.find(np.arange(len(ids))), strict=True):
        least_ids[n] = ids[order[root]]
    return least_ids


def _parsed(frame_hashes: Iterable[Sequence[str]]) -> tuple[Hashes, Indices]:
    """Return all hashes one after the other, and how many each clip has."""
    values, counts = array("Q"), array("q")
    for digits in frame_hashes:
        values.extend(int(h, 16) for h in digits)
        counts.append(len(digits))
    return np.array(values, np.uint64), np.array(counts, np.intp)


def group_hashes(hashes: Hashes) -> Indices:
    """Return for each row of `hashes` (clips x frames) the least row of its group."""
    groups = UnionFind(len(hashes))
    clips = np.flatnonzero(_is_informative(hashes))
    columns = np.ascontiguousarray(hashes.T)
    clips = clips[np.lexsort(columns[:, clips])]  # stable: the least of equal rows comes first
    first = np.r_[True, (hashes[clips[1:]] != hashes[clips[:-1]]).any(axis=1)][: clips.size]
    groups.join(clips, clips[first][np.cumsum(first) - 1])
    _Search(columns, groups).run(np.sort(clips[first]), tuple(range(len(columns))))
    return groups.find(np.arange(len(hashes)))


@dataclass(frozen=True)
class _Search:
    """Join every two near-duplicates among distinct, informative clips."""

    hashes: Hashes
    """One row per frame, one column per clip."""
    groups: UnionFind

    def run(self, clips: Indices, frames: tuple[int, ...]) -> None:
        """Join the near-duplicates among `clips`, with the hashes of `frames` as keys.

        Repeat what is estimated to be cheaper: split the clips into buckets, or compare the next
        few rows with all others. A dense cluster becomes one group in the first rounds.
        """
        rows = FIRST_ROWS
        while True:
            roots = self.groups.find(clips)
            _, inverse, counts = np.unique(roots, return_inverse=True, return_counts=True)
            sizes = counts[inverse]
            apart = clips.size - int(sizes.max(initial=0))
            if not apart:
                return
            if clips.size > SMALL_SEARCH and frames:
                masks = covering_masks(2 if clips.size > LARGE_SEARCH else 3)
                costs = {f: _table_cost(self.hashes[f, clips], roots, masks) for f in frames}
                frame = min(costs, key=costs.__getitem__)
                if costs[frame] < _pairs_apart(roots.astype(np.uint64)):
                    self._run_tables(clips, frame, frames, masks)
                    return
            order = np.lexsort((roots, sizes))  # the largest group need not be compared
            clips = clips[order]
            self._compare_rows(clips, _run_bounds(roots[order]), min(rows, apart))
            clips = clips[rows:]
            rows = min(2 * rows, MOST_ROWS)

    def _run_tables(
        self, clips: Indices, frame: int, frames: tuple[int, ...], masks: Sequence[np.uint64]
    ) -> None:
        """Search each bucket of clips with equal masked hashes of `frame`, for every mask."""
        others = tuple(f for f in frames if f != frame)
        for mask in masks:
            keys = _table_keys(self.hashes[frame, clips] & mask, self.groups.find(clips))
            order = np.argsort(keys)
            keys, ordered = keys[order], clips[order]
            buckets = _run_bounds(keys >> np.uint64(32))
            self._compare_neighbours(ordered, frame, buckets, _run_bounds(keys))
            for n in np.flatnonzero(np.diff(buckets) > SMALL_BUCKET):
                self.run(ordered[buckets[n] : buckets[n + 1]], others)

    def _compare_neighbours(
        self, clips: Indices, frame: int, buckets: Indices, groups: Indices
    ) -> None:
        """Compare all pairs of different groups in small buckets, and a few in large ones.

        `buckets` and `groups` bound the buckets and the runs of one group inside a bucket.
        """
        values = self.hashes[frame, clips]
        left = np.arange(clips.size)
        right = np.repeat(groups[1:], np.diff(groups))  # the first one of another group
        stop = np.repeat(buckets[1:], np.diff(buckets))
        sampled = np.repeat(np.diff(buckets) > SMALL_BUCKET, np.diff(buckets))
        stop[sampled] = np.minimum(stop[sampled], right[sampled] + SAMPLED_NEIGHBOURS)
        while left.size:
            rest = right < stop
            left, right, stop = left[rest], right[rest], stop[rest]
            near = _is_near(values[left], values[right])
            self._join_near(clips[left[near]], clips[right[near]])
            right = right + 1

    def _compare_rows(self, clips: Indices, groups: Indices, rows: int) -> None:
        """Compare the first `rows` clips with all that follow them, except in their own group."""
        hashes = self.hashes[:, clips]
        ends = np.repeat(groups[1:], np.diff(groups))
        for top in range(0, rows, TILE[0]):
            bottom = min(top + TILE[0], rows)
            start = ends[top] if ends[top] >= bottom else top
            for left in range(start, clips.size, TILE[1]):
                right = left + TILE[1]
                a, b = _near_pairs(hashes[:, top:bottom, None], hashes[:, None, left:right])
                self.groups.join(clips[top + a], clips[left + b])

    def _join_near(self, a: Indices, b: Indices) -> None:
        """Join a[i] and b[i] where all their frames are near."""
        for column in self.hashes:
            near = _is_near(column[a], column[b])
            a, b = a[near], b[near]
        self.groups.join(a, b)


@cache
def covering_masks(bands: int, distance: int = NEAR_DUPLICATE_BITS) -> tuple[np.uint64, ...]:
    """Return masks of which one hides all differences of any two hashes within `distance` bits.

    The differences are distributed over `bands` bands of bits such that one band has at most its
    share r (pigeonhole principle). In it every bit has a non-zero vector of r + 1 bits; some
    non-zero vector is orthogonal to those of r bits, and the mask it selects hides them.
    """
    spare = distance + 1 - bands  # shares add up to this: more differences than shares are too many
    shares = [(spare + band) // bands for band in range(bands)]
    return tuple(mask for band, r in enumerate(shares) for mask in _band_masks(band, bands, r))


def _band_masks(band: int, bands: int, r: int) -> Iterator[np.uint64]:
    vectors = 2 ** (r + 1) - 1
    for selected in range(1, vectors + 1):
        bits = ((bit, selected & (1 + bit // bands % vectors)) for bit in range(band, 64, bands))
        yield np.uint64(sum(1 << bit for bit, common in bits if common.bit_count() % 2))


def _is_informative(hashes: Hashes) -> NDArray[np.bool_]:
    """Return whether no frame of a clip is flat: flat frames look alike whatever they show."""
    bits = np.bitwise_count(hashes)
    fewest, most = bits.min(axis=1), bits.max(axis=1)
    informative: NDArray[np.bool_] = (fewest >= FLAT_HASH_BITS) & (most <= 64 - FLAT_HASH_BITS)
    return informative


def _is_near(a: Hashes, b: Hashes) -> NDArray[np.bool_]:
    near: NDArray[np.bool_] = np.bitwise_count(a ^ b) <= NEAR_DUPLICATE_BITS
    return near


def _near_pairs(rows: Hashes, columns: Hashes) -> tuple[Indices, Indices]:
    """Return the places of near pairs in one tile: frame by frame, only where still near."""
    a, b = np.nonzero(_is_near(rows[0], columns[0]))
    for row, column in zip(rows[1:, :, 0], columns[1:, 0], strict=True):
        near = _is_near(row[a], column[b])
        a, b = a[near], b[near]
    return a, b


def _run_bounds(ordered: Hashes | Indices) -> Indices:
    """Return where each run of equal values starts, and where the last one ends."""
    bounds: Indices = np.r_[0, np.flatnonzero(ordered[1:] != ordered[:-1]) + 1, ordered.size]
    return bounds


def _table_keys(masked: Hashes, roots: Indices) -> Hashes:
    """Return 32 bits of a bucket's key and 32 of the root: one sort orders by both.

    Masked hashes that collide in 32 bits share a bucket, which costs comparisons and loses none.
    """
    mixed = masked * np.uint64(0x9E3779B97F4A7C15)  # every bit changes the upper half
    return mixed & np.uint64(0xFFFFFFFF00000000) | roots.astype(np.uint64)


def _table_cost(values: Hashes, roots: Indices, masks: Sequence[np.uint64]) -> float:
    """Estimate the comparisons that a search by all masks takes, from every eighth mask."""
    sample = masks[::8]
    pairs = sum(_pairs_apart(_table_keys(values & mask, roots)) for mask in sample)
    return len(masks) * (pairs / len(sample) + TABLE_COST * values.size)


def _pairs_apart(keys: Hashes) -> float:
    """Count the pairs of equal buckets and different roots."""
    ordered = np.sort(keys)
    return _equal_pairs(ordered >> np.uint64(32)) - _equal_pairs(ordered)


def _equal_pairs(ordered: Hashes) -> float:
    counts = np.diff(_run_bounds(ordered)).astype(float)
    return float((counts * (counts - 1)).sum() / 2)
