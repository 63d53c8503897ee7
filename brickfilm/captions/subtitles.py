"""Read timed captions from subtitle files (.vtt, .srt) and .json beside a video."""

from __future__ import annotations

import hashlib
import html
import math
import re
from functools import lru_cache
from pathlib import Path
from typing import Any

import pysubs2

from brickfilm.captions.cues import Cue, CueIndex
from brickfilm.captions.json_reply import one_line
from brickfilm.errors import Failed
from brickfilm.files import parse_json, printable

_ARROW = "-->"
_TIME = re.compile(r"(?:\d+:)?[0-5]?\d:[0-5]?\d[.,]\d{1,3}")


class _Malformed(ValueError):
    """The file is not written as its format says; the message names line or entry, and field."""


def find_sidecar(video: Path, suffixes: tuple[str, ...]) -> Path | None:
    """Return the first existing file with the video's name and one of these suffixes."""
    candidates = (video.with_suffix(suffix) for suffix in suffixes)
    return next((path for path in candidates if path.is_file()), None)


def sidecar_digest(video: Path, suffixes: tuple[str, ...]) -> str:
    """Return the sha256 of the sidecar of a video; '' if it has none."""
    sidecar = find_sidecar(video, suffixes)
    return _digest(sidecar, sidecar.stat().st_mtime_ns) if sidecar else ""


def read_cues(path: Path) -> CueIndex:
    """Return the cues of a .vtt, .srt or .json file; Failed, with line and field, if malformed."""
    return _read(path, path.stat().st_mtime_ns)


@lru_cache(maxsize=16)
def _digest(path: Path, mtime_ns: int) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@lru_cache(maxsize=16)
def _read(path: Path, mtime_ns: int) -> CueIndex:
    try:
        text = path.read_text(encoding="utf-8-sig")
        return CueIndex(_from_json(text) if path.suffix == ".json" else _from_subtitles(text))
    except UnicodeDecodeError as error:
        problem = f"it is not UTF-8 (byte {error.start}): save it as UTF-8"
    except (OSError, ValueError, pysubs2.Pysubs2Error) as error:
        problem = str(error)
    raise Failed(
        f"{printable(path.name)} cannot be read as captions: {problem}",
        reason="unreadable captions",
    )


def _from_subtitles(text: str) -> list[Cue]:
    """Parse VTT or SRT, after a check of what the parser would take for text in silence."""
    timed = [(n, line) for n, line in enumerate(text.splitlines(), 1) if _ARROW in line]
    for number, line in timed:
        _check_times(number, line)
    if not timed:
        if text.strip() not in ("", "WEBVTT"):
            raise _Malformed("line 1: no line of the file has times, as 00:01.000 --> 00:02.500")
        return []
    return [
        Cue(e.start / 1000, e.end / 1000, one_line(html.unescape(e.plaintext)))
        for e in pysubs2.SSAFile.from_string(text)
        if not e.is_comment and e.plaintext.strip()
    ]


def _check_times(number: int, line: str) -> None:
    start, _, rest = line.partition(_ARROW)
    times = {"start": start.strip(), "end": (rest.split() or [""])[0]}
    for field, time in times.items():
        if not _TIME.fullmatch(time):
            raise _Malformed(f"line {number}: {field} {time!r} is no time as 00:01:02.345")
    if _seconds(times["end"]) < _seconds(times["start"]):
        raise _Malformed(f"line {number}: end {times['end']} is before start {times['start']}")


def _seconds(time: str) -> float:
    *hours, minutes, seconds = time.replace(",", ".").split(":")
    return 3600 * int(hours[0] if hours else 0) + 60 * int(minutes) + float(seconds)


def _from_json(text: str) -> list[Cue]:
    """Read a list of {"start", "end", "text"} in seconds, or such a list under "segments"."""
    data = parse_json(text)
    entries = data.get("segments") if isinstance(data, dict) else data
    if not isinstance(entries, list):
        raise _Malformed('a list of {"start", "end", "text"}, alone or as "segments", was expected')
    return [_json_cue(number, entry) for number, entry in enumerate(entries, 1)]


def _json_cue(number: int, entry: Any) -> Cue:
    if not isinstance(entry, dict):
        raise _Malformed(f"entry {number}: an object with start, end and text was expected")
    start, end = (_json_seconds(number, entry, field) for field in ("start", "end"))
    if end < start:
        raise _Malformed(f"entry {number}: end {end:g} is before start {start:g}")
    if not isinstance(entry.get("text"), str):
        raise _Malformed(f"entry {number}: text {entry.get('text')!r} is no text")
    return Cue(start, end, one_line(entry["text"]))


def _json_seconds(number: int, entry: dict[str, Any], field: str) -> float:
    value = entry.get(field)
    try:
        seconds = math.nan if isinstance(value, bool | None) else float(value)
    except (TypeError, ValueError):
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        raise _Malformed(f"entry {number}: {field} {value!r} is no number of seconds")
    return seconds
