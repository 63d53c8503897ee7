"""The door: what needs all rows at once, done over the sorted table.

Rows of one place become one, near-duplicates are grouped, repeated captions are marked, and films
that share pictures land in the same split.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from brickfilm.records import Caption, Clip, Image, Video

DatasetRow = dict[str, Any]

NEAR_DUPLICATE_BITS = 8
"""Bits of 64 in which each of a clip's three perceptual hashes may differ from its twin's.

A copy at half the size and crf 35 differs in 0-8 bits (34 clips of four films, rendered and real),
two shots of one film in 28 or more, two parts of one shot that holds still in 10 or more.
"""
FLAT_HASH_BITS = 8
"""Hashes with fewer bits set, or unset, are of black or flat frames: alike, and no evidence."""


@dataclass(frozen=True)
class SplitAssignment:
    """Which split each film is in, and the films that had to move since the last build."""

    split_by_video: Mapping[str, str]
    moved_videos: Mapping[str, str]
    """Film id to the split it was in before."""
    history: Mapping[str, Mapping[str, Any]]
    """What to remember: the order in which films were first seen, and their split."""


def clip_row(clip: Clip) -> DatasetRow:
    """A row of the config `clips`, in the order of docs/dataset-schema.md; no scores yet."""
    fps = clip.fps
    return {
        "id": clip.id,
        "video": str(clip.path),
        **_caption_columns(clip.caption),
        "num_frames": clip.span.frames,
        "fps": float(fps),
        "fps_num": fps.numerator,
        "fps_den": fps.denominator,
        **_size_columns(clip.width, clip.height),
        "duration": clip.end - clip.start,
        **_source_columns(clip.video),
        "start": clip.start,
        "end": clip.end,
        "start_frame": clip.span.start_frame,
        "end_frame": clip.span.end_frame,
        "sha256": clip.sha256,
        "frame_hashes": list(clip.frame_hashes),
        "near_duplicate_group": "",
        "new_drawings": list(clip.unique_frames),
        **{f"score_{name}": float(value) for name, value in sorted(clip.scores.items())},
    }


def image_row(image: Image) -> DatasetRow:
    """A row of the config `images`."""
    return {
        "id": image.id,
        "clip_id": image.clip.id,
        "image": str(image.path),
        **_caption_columns(image.caption),
        **_size_columns(image.width, image.height),
        **_source_columns(image.video),
        "sha256": image.sha256,
    }


def dedupe_by_id(rows: Iterable[DatasetRow]) -> list[DatasetRow]:
    """Sorted rows, one an id: where a film came under two names, the least name wins."""
    ordered = sorted(rows, key=lambda row: (row["id"], row["source_id"]))
    return list({row["id"]: row for row in reversed(ordered)}.values())[::-1]


def group_near_duplicates(rows: Sequence[DatasetRow]) -> None:
    """Fill `near_duplicate_group`: the least id among the clips that look alike."""
    groups = _UnionFind(row["id"] for row in rows)
    for a, b in near_duplicate_pairs([row["frame_hashes"] for row in rows]):
        groups.union(rows[a]["id"], rows[b]["id"])
    for row in rows:
        row["near_duplicate_group"] = groups.find(row["id"])


def mark_repeated_captions(rows: Sequence[DatasetRow]) -> None:
    """Fill `score_caption_repeats`: how many other rows have the same words, if any."""
    counts = Counter(row["caption"] for row in rows)
    for row in rows:
        row["score_caption_repeats"] = float(counts[row["caption"]] - 1) if row["caption"] else 0.0


def near_duplicate_pairs(hashes: Sequence[Sequence[str]]) -> Iterator[tuple[int, int]]:
    """Pairs of clips whose first, middle and last frames look alike, each by its 64-bit hash."""
    index = [n for n, of_clip in enumerate(hashes) if _is_informative(of_clip)]
    if not index:
        return
    table = np.array([[int(h, 16) for h in hashes[n]] for n in index], dtype=np.uint64)
    for i in range(len(index) - 1):
        distance = np.bitwise_count(table[i + 1 :] ^ table[i]).max(axis=1)
        for j in np.flatnonzero(distance <= NEAR_DUPLICATE_BITS):
            yield index[i], index[i + 1 + int(j)]


def assign_splits(
    rows: Sequence[DatasetRow],
    previous_history: Mapping[str, Mapping[str, Any]],
    test_fraction: float,
) -> SplitAssignment:
    """Assign whole components of films that share near-duplicates: a leak is impossible.

    A component is in `test` if the hash of its oldest film falls below `test_fraction`.
    """
    films = _connected_components(rows)
    seen = _first_seen_order(films, previous_history)
    oldest = {group: min(members, key=seen.__getitem__) for group, members in films.items()}
    tested = {g for g, film in oldest.items() if _hash_fraction(film) < test_fraction}
    if tested and tested == set(films):  # train always exists
        tested.remove(max(tested, key=lambda group: _hash_fraction(oldest[group])))
    split_by_video = {
        film: "test" if group in tested else "train"
        for group, members in films.items()
        for film in members
    }
    before = {film: fact["split"] for film, fact in previous_history.items() if "split" in fact}
    moved_videos = {f: before[f] for f, now in split_by_video.items() if before.get(f, now) != now}
    history = {f: {"seen": seen[f], "split": split} for f, split in split_by_video.items()}
    return SplitAssignment(split_by_video, moved_videos, history)


def video_id_of(row_id: str) -> str:
    """The film's id, which opens the id of every clip and image cut from it."""
    return row_id.split("-", 1)[0]


def _caption_columns(caption: Caption | None) -> DatasetRow:
    said = caption or Caption(text="", status="not captioned")
    return {
        "caption": said.text,
        "caption_status": said.status,
        "caption_model": said.model,
        "prompt_digest": said.prompt_digest,
    }


def _size_columns(width: int, height: int) -> DatasetRow:
    return {
        "height": height,
        "width": width,
        "aspect_ratio": height / width,
        "resolution": height * width,
    }


def _source_columns(video: Video) -> DatasetRow:
    return {
        "source_id": video.source_id,
        "source_url": video.url,
        "source_title": video.title,
        "uploader": video.uploader,
        "licence": video.licence,
    }


def _is_informative(hashes: Sequence[str]) -> bool:
    """Whether the hashes are evidence: flat frames look like each other whatever they show."""
    bits = [int(h, 16).bit_count() for h in hashes]
    return bool(bits) and all(FLAT_HASH_BITS <= b <= 64 - FLAT_HASH_BITS for b in bits)


def _connected_components(rows: Sequence[DatasetRow]) -> dict[str, list[str]]:
    groups = _UnionFind(video_id_of(row["id"]) for row in rows)
    for row in rows:
        groups.union(
            video_id_of(row["id"]), video_id_of(row.get("near_duplicate_group") or row["id"])
        )
    films: dict[str, list[str]] = {}
    for film in sorted({video_id_of(row["id"]) for row in rows}):
        films.setdefault(groups.find(film), []).append(film)
    return films


def _first_seen_order(
    films: Mapping[str, Sequence[str]], previous_history: Mapping[str, Mapping[str, Any]]
) -> dict[str, int]:
    """The order in which films came; those of one build by their id, so that builds repeat."""
    seen = {film: int(fact["seen"]) for film, fact in previous_history.items()}
    new = sorted(f for members in films.values() for f in members if f not in seen)
    start = max(seen.values(), default=-1) + 1
    return seen | {film: start + n for n, film in enumerate(new)}


def _hash_fraction(film: str) -> float:
    """A film's own point in [0, 1)."""
    return int(hashlib.sha256(film.encode()).hexdigest()[:8], 16) / 2**32


class _UnionFind:
    """Disjoint sets of names; a set is called by its least member."""

    def __init__(self, names: Iterable[str]) -> None:
        self._parent = {name: name for name in names}

    def find(self, name: str) -> str:
        while self._parent[name] != name:
            self._parent[name] = self._parent[self._parent[name]]
            name = self._parent[name]
        return name

    def union(self, a: str, b: str) -> None:
        least, other = sorted((self.find(a), self.find(b)))
        self._parent[other] = least
