"""Draw histograms as small PNG files for cards: the same numbers give the same bytes."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from PIL.ImageDraw import ImageDraw
    from PIL.ImageFont import FreeTypeFont, ImageFont

WIDTH, HEIGHT = 480, 240
MARGIN_LEFT, MARGIN_RIGHT, MARGIN_TOP, MARGIN_BOTTOM = 56, 16, 40, 44
TEXT_COLOR, GRID_COLOR, BAR_COLOR = "#24292f", "#d0d7de", "#3b7dd8"
MEDIAN_COLOR, BACKGROUND_COLOR = "#c2410c", "#ffffff"
BINS, TICKS = 30, 5
FLOAT_TOLERANCE = 1e-9


def histogram_png(values: Sequence[float], title: str, unit: str = "") -> bytes:
    """Draw a histogram of the finite values, 480 x 240 pixels, with the median marked."""
    from PIL import Image, ImageDraw

    data = np.asarray(values, dtype=float)
    counts, edges = np.histogram(data[np.isfinite(data)], bins=_bin_edges(data))
    image = Image.new("RGB", (WIDTH, HEIGHT), BACKGROUND_COLOR)
    draw = ImageDraw.Draw(image)
    draw.text((MARGIN_LEFT, 10), title, fill=TEXT_COLOR, font=_font(18))
    _draw_grid(draw, counts)
    _draw_bars(draw, counts)
    _draw_x_axis(draw, edges, unit)
    _draw_median(draw, float(np.median(data[np.isfinite(data)])), edges)
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


def _bin_edges(data: np.ndarray) -> np.ndarray:
    """Return bin edges: one bin for each integer if there are few of them, else BINS equal ones."""
    finite = data[np.isfinite(data)]
    low, high = float(finite.min()), float(finite.max())
    if np.all(finite == np.round(finite)) and high - low < BINS:
        return np.arange(low - 0.5, high + 1.0)
    return np.linspace(low, high if high > low else low + 1.0, BINS + 1)


def axis_ticks(edges: np.ndarray) -> list[float]:
    """Return about five round tick values: multiples of 1, 2 or 5 times a power of ten."""
    low, high = float(edges[0]), float(edges[-1])
    power = 10.0 ** np.floor(np.log10((high - low) / TICKS))
    step = next(power * n for n in (1, 2, 5, 10) if (high - low) / (power * n) <= TICKS)
    if np.all(edges + 0.5 == np.round(edges + 0.5)):
        step = max(step, 1.0)
    first, last = np.ceil(low / step - FLOAT_TOLERANCE), np.floor(high / step + FLOAT_TOLERANCE)
    return [float(n * step) for n in range(int(first), int(last) + 1)]


def _draw_grid(draw: ImageDraw, counts: np.ndarray) -> None:
    """Draw horizontal lines at half and full height of the tallest bar."""
    highest = int(counts.max())
    for fraction in (0.0, 0.5, 1.0) if highest % 2 == 0 else (0.0, 1.0):
        y = _y(fraction)
        draw.line((MARGIN_LEFT, y, WIDTH - MARGIN_RIGHT, y), fill=GRID_COLOR)
        label = f"{round(fraction * highest):,}"
        draw.text((MARGIN_LEFT - 8, y), label, fill=TEXT_COLOR, font=_font(13), anchor="rm")


def _draw_bars(draw: ImageDraw, counts: np.ndarray) -> None:
    step = (WIDTH - MARGIN_LEFT - MARGIN_RIGHT) / len(counts)
    for n, count in enumerate(counts):
        if count:
            left, top = MARGIN_LEFT + n * step, _y(count / counts.max())
            draw.rectangle((left + 1, min(top, _y(0) - 1), left + step - 1, _y(0)), fill=BAR_COLOR)


def _draw_x_axis(draw: ImageDraw, edges: np.ndarray, unit: str) -> None:
    for value in axis_ticks(edges):
        x = _x(value, edges)
        anchor = "la" if x < MARGIN_LEFT + 8 else "ra" if x > WIDTH - MARGIN_RIGHT - 8 else "ma"
        draw.text((x, _y(0) + 8), f"{value:.3g}", fill=TEXT_COLOR, font=_font(13), anchor=anchor)
    corner = (WIDTH - MARGIN_RIGHT, HEIGHT - 18)
    draw.text(corner, unit, fill=TEXT_COLOR, font=_font(13), anchor="ra")


def _draw_median(draw: ImageDraw, median: float, edges: np.ndarray) -> None:
    x = _x(median, edges)
    draw.line((x, MARGIN_TOP, x, _y(0)), fill=MEDIAN_COLOR, width=2)
    anchor = "la" if x < WIDTH / 2 else "ra"
    shift = 6 if anchor == "la" else -6
    position, label = (x + shift, MARGIN_TOP - 4), f"median {median:.3g}"
    draw.text(position, label, fill=MEDIAN_COLOR, font=_font(13), anchor=anchor)


def _x(value: float, edges: np.ndarray) -> float:
    """Return the x coordinate of a value."""
    return MARGIN_LEFT + float((value - edges[0]) / (edges[-1] - edges[0])) * (
        WIDTH - MARGIN_LEFT - MARGIN_RIGHT
    )


def _y(fraction: float) -> float:
    """Return the y coordinate of a fraction of the tallest bar."""
    return HEIGHT - MARGIN_BOTTOM - fraction * (HEIGHT - MARGIN_TOP - MARGIN_BOTTOM - 14)


def _font(size: int) -> FreeTypeFont | ImageFont:
    from PIL import ImageFont

    return ImageFont.load_default(size)
