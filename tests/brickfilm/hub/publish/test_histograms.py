"""Histograms are pictures whose bars are the counts."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image, ImageColor

from brickfilm.hub.publish.histograms import BAR_COLOR, HEIGHT, WIDTH, axis_ticks, histogram_png


def bar_columns(png: bytes) -> int:
    """How many columns of the picture have a bar in them."""
    pixels = np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))
    return int((pixels == ImageColor.getrgb(BAR_COLOR)).all(axis=2).any(axis=0).sum())


def test_a_histogram_is_a_png_of_known_size_and_the_same_twice() -> None:
    png = histogram_png([1.5, 2.5, 9.25], "Length", "seconds")
    with Image.open(io.BytesIO(png)) as picture:
        assert (picture.format, picture.size) == ("PNG", (WIDTH, HEIGHT))
    assert png == histogram_png([1.5, 2.5, 9.25], "Length", "seconds")


def test_values_far_apart_leave_most_of_the_picture_empty() -> None:
    spread = bar_columns(histogram_png(list(np.linspace(0, 1, 300)), "x"))
    ends = bar_columns(histogram_png([0.0, 0.01, 0.999], "x"))
    assert spread > 10 * ends > 0


@pytest.mark.parametrize("values", [[7], [0.3, 0.3], [1, 2, 2, float("nan")], [0, 1]])
def test_odd_data_still_make_a_picture(values: list[float]) -> None:
    assert bar_columns(histogram_png(values, "x")) > 0


@pytest.mark.parametrize(
    ("edges", "ticks"),
    [
        (np.linspace(61, 108, 31), [70, 80, 90, 100]),
        (np.linspace(0, 0.306, 31), [0, 0.1, 0.2, 0.3]),
        (np.linspace(0, 1, 31), [0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (np.arange(-0.5, 5), [0, 1, 2, 3, 4]),
        (np.linspace(0.3, 1.3, 31), [0.4, 0.6, 0.8, 1.0, 1.2]),
    ],
)
def test_values_below_the_bars_are_round(edges: np.ndarray, ticks: list[float]) -> None:
    assert axis_ticks(edges) == pytest.approx(ticks)
