"""Rows have the columns of the schema, in its order."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

from brickfilm.dataset.rows import clip_row, image_row
from brickfilm.dataset.tables import config_features
from brickfilm.records import Image
from tests.kit.toy_stages import clip, video


def test_rows_have_the_columns_of_the_schema_in_order() -> None:
    one = replace(
        clip(video("a"), 0, 24), width=64, height=48, path=Path("a.mp4"), scores={"motion": 1}
    )
    row = clip_row(one)
    assert list(row) == list(config_features("clips", [row]))
    image = Image(clip=one, frame=11, path=Path("a.jpg"), sha256="", width=64, height=48)
    assert list(image_row(image)) == list(config_features("images"))


def test_a_clip_without_a_caption_says_so_and_keeps_an_exact_rate() -> None:
    row = clip_row(replace(clip(video("a"), 0, 24), width=64, height=48))
    assert (row["caption"], row["caption_status"]) == ("", "not captioned")
    assert Fraction(row["fps_num"], row["fps_den"]) == clip(video("a"), 0, 24).fps
