"""Lines of text with times, from the usual subtitle files."""

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
"""A line belongs to a clip if at least this share of it lies within the clip."""


@dataclass(frozen=True)
class Cue:
    """Text shown for [start, end), in seconds from the film's own zero."""

    start: float
    end: float
    text: str

    def overlap(self, start: float, end: float) -> float:
        """Seconds shared with [start, end)."""
        return max(0.0, min(self.end, end) - max(self.start, start))


def find_sidecar(film: Path, suffixes: tuple[str, ...]) -> Path | None:
    """The file beside a film that has its name and one of these suffixes."""
    beside = (film.with_suffix(suffix) for suffix in suffixes)
    return next((path for path in beside if path.is_file()), None)


def sidecar_digest(film: Path, suffixes: tuple[str, ...]) -> str:
    """What the file beside a film says, as a digest; empty where there is none."""
    beside = find_sidecar(film, suffixes)
    return _digest(beside, beside.stat().st_mtime_ns) if beside else ""


def read_cues(path: Path) -> tuple[Cue, ...]:
    """The lines of a .vtt, .srt or .json file, by start."""
    return _read(path, path.stat().st_mtime_ns)


def cues_in_span(lines: tuple[Cue, ...], start: float, end: float) -> list[Cue]:
    """The lines of a span: the one that overlaps it most, and all that lie mostly within it."""
    shared = [(line, line.overlap(start, end)) for line in lines]
    most = max((seconds for _, seconds in shared), default=0.0)
    return [
        line
        for line, seconds in shared
        if seconds > 0
        and (seconds == most or seconds >= MIN_OVERLAP_SHARE * (line.end - line.start))
    ]


def cue_at(lines: tuple[Cue, ...], time: float) -> Cue | None:
    """The line shown at a time, in seconds."""
    return next((line for line in lines if line.start <= time < line.end), None)


@lru_cache(maxsize=16)
def _digest(path: Path, changed: int) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@lru_cache(maxsize=16)
def _read(path: Path, changed: int) -> tuple[Cue, ...]:
    try:
        lines = _from_json(path) if path.suffix == ".json" else _from_subtitles(path)
    except (OSError, ValueError, KeyError, TypeError, pysubs2.Pysubs2Error) as error:
        raise Failed(
            f"{path.name} cannot be read as captions: {error}", reason="unreadable captions"
        ) from error
    return tuple(sorted(lines, key=lambda line: (line.start, line.end)))


def _from_subtitles(path: Path) -> list[Cue]:
    events = pysubs2.load(str(path), encoding="utf-8-sig")
    return [
        Cue(e.start / 1000, e.end / 1000, " ".join(html.unescape(e.plaintext).split()))
        for e in events
        if not e.is_comment and e.plaintext.strip()
    ]


def _from_json(path: Path) -> list[Cue]:
    """A list of {"start", "end", "text"} in seconds, or such a list under "segments"."""
    data = json.loads(path.read_text(encoding="utf-8-sig"))
    entries = data["segments"] if isinstance(data, dict) else data
    return [
        Cue(float(e["start"]), float(e["end"]), " ".join(str(e["text"]).split())) for e in entries
    ]
