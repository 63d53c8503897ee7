"""Assign videos to the splits `train` and `test`, and keep assignments from build to build."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from brickfilm.dataset.rows import DatasetRow, video_id_of
from brickfilm.dataset.union_find import UnionFind

History = Mapping[str, Mapping[str, Any]]
"""By video id: `seen`, its place in the order in which videos came, and `split`."""


@dataclass(frozen=True)
class SplitAssignment:
    """The split of each video, and the videos whose split changed since the last build."""

    split_by_video: Mapping[str, str]
    moved_videos: Mapping[str, str]
    """Video id to its former split."""
    history: History


def assign_splits(
    rows: Iterable[DatasetRow], previous_history: History, test_fraction: float
) -> SplitAssignment:
    """Assign whole components of videos that share near-duplicates, so that no picture leaks.

    A component is in `test` if the hash of its oldest video is below `test_fraction`. If all are,
    the one with the highest hash is in `train`.
    """
    components = _connected_components(rows)
    seen = _first_seen_order(components, previous_history)
    oldest = {root: min(videos, key=seen.__getitem__) for root, videos in components.items()}
    test = {root for root, video in oldest.items() if _hash_fraction(video) < test_fraction}
    if test and test == set(components):
        test.remove(max(test, key=lambda root: _hash_fraction(oldest[root])))
    split_by_video = {
        video: "test" if root in test else "train"
        for root, videos in components.items()
        for video in videos
    }
    before = {v: entry["split"] for v, entry in previous_history.items() if "split" in entry}
    moved = {v: before[v] for v, split in split_by_video.items() if before.get(v, split) != split}
    history = {v: {"seen": seen[v], "split": split} for v, split in split_by_video.items()}
    return SplitAssignment(split_by_video, moved, history)


def _connected_components(rows: Iterable[DatasetRow]) -> dict[str, list[str]]:
    """Return the videos of each component, by the least of them."""
    groups = ((row["id"], row.get("near_duplicate_group") or row["id"]) for row in rows)
    pairs = {(video_id_of(clip), video_id_of(group)) for clip, group in groups}
    names = sorted({video for video, _ in pairs})
    number = {name: n for n, name in enumerate(names)}
    videos = UnionFind(len(names))
    joined = np.array([(number[a], number[b]) for a, b in pairs], dtype=np.intp).reshape(-1, 2)
    videos.join(joined[:, 0], joined[:, 1])
    components: dict[str, list[str]] = {}
    for name, root in zip(names, videos.find(np.arange(len(names))), strict=True):
        components.setdefault(names[root], []).append(name)
    return components


def _first_seen_order(
    components: Mapping[str, Sequence[str]], previous_history: History
) -> dict[str, int]:
    """Return each video's place in the order of arrival; those of one build are sorted by id."""
    seen = {video: int(entry["seen"]) for video, entry in previous_history.items()}
    new = sorted(v for videos in components.values() for v in videos if v not in seen)
    start = max(seen.values(), default=-1) + 1
    return seen | {video: start + n for n, video in enumerate(new)}


def _hash_fraction(video: str) -> float:
    """Return a number in [0, 1) that depends on nothing but the video's id."""
    return int(hashlib.sha256(video.encode()).hexdigest()[:8], 16) / 2**32
