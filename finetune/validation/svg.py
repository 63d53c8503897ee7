"""Draw small charts as inline SVG."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np

WIDTH, HEIGHT = 320, 100
MARGIN, AXIS_HEIGHT = 4, 20  # the axis labels are below the chart
BINS = 12
SERIES_NAMES = ("clips", "samples")  # behind and in front
Points = Sequence[tuple[float, float]]


def line_chart(title: str, points: Points, *, note: str, markers: bool = False) -> str:
    """Draw a line through (x, y) points, and label its first and last point."""
    if not points:
        return ""
    xs, ys = (np.array(values, dtype=float) for values in zip(*points, strict=True))
    across = _rescale(xs, MARGIN, WIDTH - MARGIN)
    up = _rescale(ys, HEIGHT - AXIS_HEIGHT, MARGIN)
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in zip(across, up, strict=True))
    marks = [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3"/>' for x, y in zip(across, up, strict=True)]
    inner = f'<polyline points="{path}"/>' + ("".join(marks) if markers else "")
    first, last = (f"step {x:g}: {y:.4g}" for x, y in (points[0], points[-1]))
    return _figure(title, inner, first, last if len(points) > 1 else "", note)


def overlaid_histograms(
    title: str,
    back: Sequence[float],
    front: Sequence[float],
    axis_limits: tuple[float, float] | None = None,
) -> str:
    """Draw two histograms over one axis, each scaled to its highest bar; the front is outlined.

    axis_limits: the ends of the axis; None uses the range of the values.
    """
    values = [*back, *front]
    if not values:
        return ""
    low, high = axis_limits or (min(values), max(values))
    if high <= low:
        low, high = low - abs(low) / 2 - 1e-6, high + abs(high) / 2 + 1e-6
    inner = _bars(back, low, high, "back") + _bars(front, low, high, "front")
    series = zip(SERIES_NAMES, (back, front), strict=True)
    means = [
        f"{name} {np.mean(series_values):.3g}" for name, series_values in series if series_values
    ]
    return _figure(title, inner, f"{low:.3g}", f"{high:.3g}", "; ".join(means))


def _bars(values: Sequence[float], low: float, high: float, kind: str) -> str:
    counts, _ = np.histogram(values, bins=BINS, range=(low, high))
    shares = counts / max(1, counts.max())
    wide = (WIDTH - 2 * MARGIN) / BINS
    return "".join(
        f'<rect class="{kind}" x="{MARGIN + n * wide:.1f}" width="{wide:.1f}" '
        f'y="{HEIGHT - AXIS_HEIGHT - share * (HEIGHT - MARGIN - AXIS_HEIGHT):.1f}" '
        f'height="{share * (HEIGHT - MARGIN - AXIS_HEIGHT):.1f}"/>'
        for n, share in enumerate(shares)
        if share
    )


def _rescale(values: np.ndarray, start: float, end: float) -> np.ndarray:
    span = float(values.max() - values.min()) or 1.0
    scaled: np.ndarray = start + (values - values.min()) / span * (end - start)
    return scaled


def _figure(title: str, inner: str, left: str, right: str, note: str) -> str:
    base = HEIGHT - AXIS_HEIGHT
    return (
        f"<figure><figcaption>{escape(title)}<small>{escape(note)}</small></figcaption>"
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img"><title>{escape(title)}</title>'
        f'<line x1="{MARGIN}" x2="{WIDTH - MARGIN}" y1="{base}" y2="{base}"/>{inner}'
        f'<text x="{MARGIN}" y="{HEIGHT - 6}">{escape(left)}</text>'
        f'<text x="{WIDTH - MARGIN}" y="{HEIGHT - 6}" text-anchor="end">{escape(right)}</text>'
        "</svg></figure>"
    )
