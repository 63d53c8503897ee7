"""Read timed captions from subtitle files (.vtt, .srt) and .json beside a video."""

from __future__ import annotations

import hashlib
import html
import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import pysubs2

from brickfilm.errors import Failed

MIN_OVERLAP_SHARE = 0.5
"""A cue belongs to a clip if at least this share of it lies within the clip."""


@dataclass(frozen=True)
class Cue:
    """Text shown for [start, end), in seconds from the video's own zero."""

    start: float
    end: float
    text: str

    def overlap(self, start: float, end: float) -> float:
        """Return the seconds shared with [start, end)."""
        return max(0.0, min(self.end, end) - max(self.start, start))


def find_sidecar(video: Path, suffixes: tuple[str, ...]) -> Path | None:
    """Return the first existing file with the video's name and one of these suffixes."""
    candidates = (video.with_suffix(suffix) for suffix in suffixes)
    return next((path for path in candidates if path.is_file()), None)


def sidecar_digest(video: Path, suffixes: tuple[str, ...]) -> str:
    """Return the sha256 of the sidecar of a video; '' if it has none."""
    sidecar = find_sidecar(video, suffixes)
    return _digest(sidecar, sidecar.stat().st_mtime_ns) if sidecar else ""


def read_cues(path: Path) -> tuple[Cue, ...]:
    """Return the cues of a .vtt, .srt or .json file by start; Failed if it cannot be read."""
    return _read(path, path.stat().st_mtime_ns)


def cues_in_span(cues: tuple[Cue, ...], start: float, end: float) -> list[Cue]:
    """Return the cue that overlaps [start, end) most, and all that lie mostly within it."""
    overlaps = [(cue, cue.overlap(start, end)) for cue in cues]
    longest = max((seconds for _, seconds in overlaps), default=0.0)
    return [
        cue
        for cue, seconds in overlaps
        if seconds > 0
        and (seconds == longest or seconds >= MIN_OVERLAP_SHARE * (cue.end - cue.start))
    ]


def cue_at(cues: tuple[Cue, ...], time: float) -> Cue | None:
    """Return the cue shown at a time in seconds."""
    return next((cue for cue in cues if cue.start <= time < cue.end), None)


@lru_cache(maxsize=16)
def _digest(path: Path, mtime_ns: int) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@lru_cache(maxsize=16)
def _read(path: Path, mtime_ns: int) -> tuple[Cue, ...]:
    try:
        cues = _from_json(path) if path.suffix == ".json" else _from_subtitles(path)
    except (OSError, ValueError, KeyError, TypeError, pysubs2.Pysubs2Error) as error:
        raise Failed(
            f"{path.name} cannot be read as captions: {error}", reason="unreadable captions"
        ) from error
    return tuple(sorted(cues, key=lambda cue: (cue.start, cue.end)))


def _from_subtitles(path: Path) -> list[Cue]:
    events = pysubs2.load(str(path), encoding="utf-8-sig")
    return [
        Cue(e.start / 1000, e.end / 1000, " ".join(html.unescape(e.plaintext).split()))
        for e in events
        if not e.is_comment and e.plaintext.strip()
    ]


def _from_json(path: Path) -> list[Cue]:
    """Read a list of {"start", "end", "text"} in seconds, or such a list under "segments"."""
    data = json.loads(path.read_text(encoding="utf-8-sig"))
    entries = data["segments"] if isinstance(data, dict) else data
    return [
        Cue(float(e["start"]), float(e["end"]), " ".join(str(e["text"]).split())) for e in entries
    ]
