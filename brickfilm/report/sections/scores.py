"""Distribution of the clips' scores."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from brickfilm.report.context import ReportContext
from brickfilm.report.sections.base import Section

BINS = 24
MEANINGS = {
    "black_share": "0 to 1: share of the frames that are black",
    "blockiness": "steps at edges of 8 x 8 blocks over those inside, minus 1",
    "brightness": "0 to 255: median mean luma",
    "camera_pan": "frame heights per second: median speed of the camera to the right",
    "camera_shake": "frame heights: deviation of the camera's position from a smooth path",
    "camera_tilt": "frame heights per second: median speed of the camera up",
    "camera_zoom": "median logarithm of the scale per second, in is positive",
    "caption_repeats": "number of other clips with the same caption",
    "color_bars": "0 to 1: share of the frames that are a test card of colour bars",
    "contrast": "0 to 255: median standard deviation of the luma",
    "cut_end": "0 to 1: probability that the cut at its end is one",
    "cut_inside": "0 to 1: highest probability of a cut inside the clip that was not made",
    "cut_start": "0 to 1: probability that the cut at its start is one",
    "drawing_fps": "unique frames per second while something moves",
    "flashes": "number of pictures of up to 0.4 s after which the one before returns",
    "flat_share": "0 to 1: share of the frames that have one luma all over",
    "flicker": "median relative change of exposure between unique frames",
    "freeze_share": "0 to 1: share of the time in frames held for half a second or more",
    "hold": "frames: most common hold length, 1 on ones, 2 on twos",
    "hold_regularity": "0 to 1: share of the holds with the most common length",
    "interlacing": "0 to 1: share of the moved pixels that are combed",
    "letterbox": "0 to 1: share of the picture in black bars",
    "letterbox_bottom": "0 to 1: the bottom bar as a share of the height",
    "letterbox_left": "0 to 1: the left bar as a share of the width",
    "letterbox_right": "0 to 1: the right bar as a share of the width",
    "letterbox_top": "0 to 1: the top bar as a share of the height",
    "motion": "frame heights per second: median optical flow between unique frames",
    "overlay_share": "0 to 1: share of the picture that stands still from shot to shot",
    "pulldown": "1 if a conversion from 24 to 30 fps left uneven holds",
    "sharpness": "edge strength over contrast, higher is sharper",
    "text_share": "0 to 1: median share of the picture in boxes around lines of text",
    "vmaf_motion": "levels: mean of FFmpeg's vmafmotion",
}
"""Unit and meaning of the scores of the default stages (docs/dataset-schema.md)."""


@dataclass(frozen=True)
class ScoreHistogram:
    """Range, median and histogram of one score over all clips."""

    name: str
    minimum: float
    median: float
    maximum: float
    bars: list[int]
    """Heights in percent of the tallest bar."""

    @property
    def meaning(self) -> str:
        """Return unit and meaning in a line; '' for a score of one's own."""
        return MEANINGS.get(self.name.removeprefix("score_"), "")


def scores(context: ReportContext) -> Section | None:
    """Return a histogram of each score that is not the same for every clip."""
    names = sorted({n for row in context.clips for n in row if n.startswith("score_")})
    columns = {n: [row[n] for row in context.clips if row.get(n) is not None] for n in names}
    histograms = [score_histogram(n, np.array(v)) for n, v in columns.items() if len(set(v)) > 1]
    return Section("scores", "Scores", {"histograms": histograms}) if histograms else None


def score_histogram(name: str, values: NDArray[np.float64]) -> ScoreHistogram:
    """Compute range, median and histogram of the finite values."""
    finite = values[np.isfinite(values)]
    if not len(finite):
        return ScoreHistogram(name, np.nan, np.nan, np.nan, [0] * BINS)
    heights, _ = np.histogram(finite, bins=BINS)
    percent = np.ceil(100 * heights / heights.max()).astype(int)
    return ScoreHistogram(
        name, float(finite.min()), float(np.median(finite)), float(finite.max()), percent.tolist()
    )
