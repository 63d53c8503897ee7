"""Compose a caption for each shot, and the WebVTT track of all."""

from __future__ import annotations

from fractions import Fraction

from tests.brickworld.script import Shot
from tests.brickworld.truth import Truth

LIGHT = {
    "day": "in bright daylight",
    "dusk": "in the low orange light of dusk",
    "night": "in the blue dark of night",
    "lamp": "in a warm pool of lamplight",
    "overcast": "under a grey sky",
}
MOVES = {
    "pan": " The view glides sideways across the scene.",
    "dolly": " The view moves slowly through the scene.",
    "whip": " The view swings abruptly to one side.",
    "handheld": " The view trembles a little.",
}


def caption(shot: Shot, *, seed: int) -> str:
    """Return the shot's own caption, else one composed from its set; a title card has none."""
    from tests.brickworld.sets import build_set

    if shot.caption is not None or shot.kind == "title":
        return shot.caption or ""
    stage = build_set(shot.scene or "", shot.palette or "", seed)
    view = stage.views[(shot.view or 0) % len(stage.views)]
    chosen = range(len(stage.actors)) if view.actors is None else view.actors
    acts = [stage.actors[n].does for n in chosen]
    pairs = [", while ".join(acts[n : n + 2]) for n in range(0, len(acts), 2)]
    opening = f"{view.shows} {LIGHT[shot.lighting or 'day']}"
    told = " ".join(f"{_capital(text)}." for text in (opening, *pairs))
    return told + MOVES.get(shot.camera or "", "")


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def webvtt(truth: Truth) -> str:
    """Return a WebVTT track with a cue for each shot with a caption."""
    cues = [
        f"{_clock(_time(truth, shot.start))} --> {_clock(_time(truth, shot.end))}\n{shot.caption}\n"
        for shot in truth.shots
        if shot.caption
    ]
    return "\n".join(["WEBVTT\n", *cues])


def _time(truth: Truth, frame: int) -> Fraction:
    return truth.pts[frame] * truth.time_base if frame < truth.frames else truth.duration


def _clock(seconds: Fraction) -> str:
    """Format as hh:mm:ss.mmm, rounded down, so that a cue never begins after its frame."""
    thousandths = int(seconds * 1000)
    minutes, rest = divmod(thousandths, 60_000)
    return f"{minutes // 60:02}:{minutes % 60:02}:{rest // 1000:02}.{rest % 1000:03}"
