"""A caption track (WebVTT) of a film's own truth."""

from __future__ import annotations

from fractions import Fraction

from brickfilm.render.truth import Truth


def webvtt(truth: Truth) -> str:
    """One cue a shot that has a caption, from its first frame to the end of its last."""
    cues = [
        f"{_clock(_time(truth, shot.start))} --> {_clock(_time(truth, shot.end))}\n{shot.caption}\n"
        for shot in truth.shots
        if shot.caption
    ]
    return "\n".join(["WEBVTT\n", *cues])


def _time(truth: Truth, frame: int) -> Fraction:
    return truth.pts[frame] * truth.time_base if frame < truth.frames else truth.duration


def _clock(seconds: Fraction) -> str:
    """hh:mm:ss.mmm, rounded down, so that a cue never begins after its frame."""
    thousandths = int(seconds * 1000)
    minutes, rest = divmod(thousandths, 60_000)
    return f"{minutes // 60:02}:{minutes % 60:02}:{rest // 1000:02}.{rest % 1000:03}"
