"""Draw the scores of files over time as one HTML page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from brickfilm.files import atomic_write
from brickfilm.inspection.measured_files import MeasuredFile
from brickfilm.report.page import page_environment
from brickfilm.stages import Keep

WIDTH, HEIGHT = 1000, 60
"""Units of a chart's view box."""


@dataclass(frozen=True)
class ScoreChart:
    """One score of a file over time, in units of the chart."""

    name: str
    minimum: float
    maximum: float
    line: str
    """Path of an SVG: a level for each window."""
    cuts: list[float]
    """x of the start of each clip but the first."""
    bounds: list[float]
    """y of each bound that lies within the range."""


def write_score_page(path: Path, files: Sequence[MeasuredFile], keeps: Sequence[Keep] = ()) -> None:
    """Write a page with a chart for each score of each file; bounds of `keeps` are drawn in."""
    charts = [(f, [score_chart(f, name, keeps) for name in f.scores]) for f in files]
    page = page_environment("brickfilm.inspection").get_template("scores.html.jinja")
    with atomic_write(path) as stream:
        html = page.render(charts=charts, width=WIDTH, height=HEIGHT)
        stream.write(html.encode(errors="replace"))  # names need not be Unicode


def score_chart(file: MeasuredFile, name: str, keeps: Sequence[Keep] = ()) -> ScoreChart:
    """Compute the chart of one score; bounds outside of its range are left out."""
    values = [window.scores[name] for window in file.windows]
    low, high = min(values), max(values)
    end = max(window.end for window in file.windows) or 1.0

    def x(seconds: float) -> float:
        return round(WIDTH * seconds / end, 1)

    def y(value: float) -> float:
        return round(HEIGHT * (1 - (value - low) / (high - low)), 1) if high > low else HEIGHT / 2

    line = [f"M{x(w.start)} {y(w.scores[name])}H{x(w.end)}" for w in file.windows]
    limits = [n for k in keeps if k.score == name for n in (k.at_least, k.at_most) if n is not None]
    return ScoreChart(
        name,
        low,
        high,
        "".join(line),
        [x(clip.start) for clip in file.clips[1:]],
        [y(n) for n in limits if low <= n <= high],
    )
