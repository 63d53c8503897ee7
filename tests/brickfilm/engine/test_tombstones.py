"""Removed items stay away, by whatever name they come."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest

from brickfilm.engine.tombstones import Tombstone, Tombstones, write_tombstone
from brickfilm.records import Clip, Image, Listing, Record, Span, Video

FILM = Video(
    path=Path("a.mp4"),
    sha256="ab" * 32,
    source_id="one",
    fps=Fraction(24),
    time_base=Fraction(1, 24),
    width=64,
    height=48,
    uploader="ada",
)


def clip(start: int, end: int, film: Video = FILM) -> Clip:
    span = Span(start_frame=start, end_frame=end, start_pts=start, end_pts=end)
    return Clip(video=film, span=span)


def image(frame: int) -> Image:
    return Image(clip=clip(200, 300), frame=frame, path=Path("x"), sha256="", width=64, height=48)


def objects(tombstone: Tombstone, record: Record, tmp_path: Path) -> bool:
    write_tombstone(tmp_path, tombstone)
    return Tombstones.load(tmp_path).rejection_for(record) is not None


@pytest.mark.parametrize(
    ("record", "gone"),
    [
        (Listing(source_id="one"), True),
        (Listing(source_id="two"), False),
        (FILM, True),
        (replace(FILM, source_id="again"), True),
        (replace(FILM, source_id="two", sha256="cd" * 32), False),
        (clip(0, 20, replace(FILM, source_id="again")), True),
    ],
)
def test_a_source_stays_away_under_another_name_too(
    record: Record, gone: bool, tmp_path: Path
) -> None:
    tombstone = Tombstone("source", "one", "2026-01-01", sources=("one",), films=(FILM.id,))
    assert objects(tombstone, record, tmp_path) is gone


@pytest.mark.parametrize(
    ("record", "gone"),
    [
        (clip(20, 40), True),
        (clip(39, 60), True),
        (clip(40, 60), False),
        (clip(0, 20), False),
        (image(19), False),
        (image(20), True),
        (image(25), True),
        (image(39), True),
        (image(40), False),
        (image(250), False),
        (FILM, False),
        (clip(20, 40, replace(FILM, sha256="cd" * 32)), False),
    ],
)
def test_a_clip_stays_away_however_the_film_is_cut_next_time(
    record: Record, gone: bool, tmp_path: Path
) -> None:
    tombstone = Tombstone("clip", "x", "2026-01-01", spans=((FILM.id, 20, 40),))
    assert objects(tombstone, record, tmp_path) is gone


def test_an_uploader_stays_away_with_films_not_seen_before(tmp_path: Path) -> None:
    tombstone = Tombstone("uploader", "ada", "2026-01-01", uploaders=("ada",))
    new = replace(FILM, sha256="ef" * 32, source_id="new")
    assert objects(tombstone, new, tmp_path)
    assert Tombstones.load(tmp_path).rejection_for(replace(new, uploader="grace")) is None


def test_a_name_with_a_line_of_its_own_is_read_again(tmp_path: Path) -> None:
    name = "ada\u2028and\x85grace"
    tombstone = Tombstone("uploader", name, "2026-01-01", uploaders=(name,))
    write_tombstone(tmp_path, tombstone)
    write_tombstone(tmp_path, tombstone)
    assert Tombstones.load(tmp_path).entries == (tombstone, tombstone)


def test_no_request_no_objection(tmp_path: Path) -> None:
    assert Tombstones.load(tmp_path).rejection_for(FILM) is None
