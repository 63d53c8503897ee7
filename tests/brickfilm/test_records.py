from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest

from brickfilm.records import Caption, Image, Span, with_fields
from tests.kit.toy_stages import clip, video

CLIP = clip(video("a.mp4"), 24, 72)
IMAGE = Image(clip=CLIP, frame=47, path=Path("f.jpg"), sha256="", width=64, height=36)
CAPTION = Caption(text="a wall")


@pytest.mark.parametrize("record", [CLIP, IMAGE])
@pytest.mark.parametrize("fields", [{}, {"caption": CAPTION, "sha256": "0f", "width": 8}])
def test_with_fields_gives_what_replace_gives(record: object, fields: dict[str, object]) -> None:
    before = replace(record)
    assert with_fields(record, **fields) == replace(record, **fields)
    assert record == before


def test_another_place_gives_another_id_and_other_times() -> None:
    known = CLIP.id, CLIP.start, CLIP.end, CLIP.fps
    span = Span(start_frame=0, end_frame=24, start_pts=0, end_pts=24)
    moved = with_fields(CLIP, span=span)
    assert (moved.id, moved.start, moved.end, moved.fps) != known
    assert (moved.id, moved.end) == (replace(CLIP, span=span).id, replace(CLIP, span=span).end)
    assert with_fields(IMAGE, clip=moved).id.startswith(moved.id)


def test_a_field_that_does_not_exist_is_refused() -> None:
    with pytest.raises(TypeError, match="colour"):
        with_fields(CLIP, colour="red")


@pytest.mark.parametrize("time_base", [Fraction(1, 3), Fraction(1001, 30_000), Fraction(7, 3)])
def test_times_are_the_floats_nearest_to_the_exact_ones(time_base: Fraction) -> None:
    span = Span(start_frame=0, end_frame=9, start_pts=-7, end_pts=2**61 + 1)
    long = replace(CLIP, video=replace(CLIP.video, time_base=time_base), span=span)
    assert long.start == float(-7 * time_base)
    assert long.end == float((2**61 + 1) * time_base)
