"""`brickfilm measure`: scores of files over time, and what conditions would drop."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from brickfilm.cli import build_options as options
from brickfilm.cli.app import app, print_json, print_text
from brickfilm.errors import Failed, UsageError
from brickfilm.schema.plural import pluralize

if TYPE_CHECKING:
    from brickfilm.inspection import DropShare, MeasuredFile
    from brickfilm.records import Clip
    from brickfilm.stages import Keep, SceneSplitter

LEVELS = "▁▂▃▄▅▆▇█"
MAX_COLUMNS = 60
"""Characters of a line over time."""


@app.command("measure")
def measure_command(
    files: Annotated[list[str], typer.Argument(help="videos, or folders of videos")],
    every: Annotated[float, typer.Option(help="seconds of footage for each value")] = 1.0,
    measures: Annotated[
        str, typer.Option(help="default, first, or all (adds vmaf_motion, which is slow)")
    ] = "default",
    detector: options.Detector = None,
    keep: options.KeepIf = None,
    hdr: options.Hdr = "reject",
    deinterlace: options.Deinterlace = "auto",
    fps: options.FrameRate = None,
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE.html", help="write a page of charts")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print everything as JSON")] = False,
) -> None:
    """Print the scores of videos over time, and what --keep would drop of their clips.

    Exit with 1 if a video failed, or no file has a clip, as a build would.
    """
    from brickfilm.build.keep_options import keeps_of
    from brickfilm.inspection import drop_shares, measure_files
    from brickfilm.inspection.score_page import write_score_page

    keeps, splitter = keeps_of(keep or ()), _splitter(measures, detector)
    _check(keeps, splitter, plot)
    settings = {"hdr": hdr, "deinterlace": deinterlace, "fps": fps}
    measured: list[MeasuredFile] = []
    for name in files:
        for file in measure_files(name, every=every, splitter=splitter, **settings):
            measured.append(file)
            if not as_json:
                _print_file(file)
    shares = drop_shares([clip for file in measured for clip in file.clips], keeps) if keeps else []
    if plot:
        write_score_page(plot, measured, keeps)
    if as_json:
        facts = {"files": [_facts(f) for f in measured], "drops": [asdict(s) for s in shares]}
        print_json(facts)
    else:
        _print_shares(shares)
    failed = any(isinstance(error, Failed) for file in measured for error in file.errors)
    raise typer.Exit(int(failed or not any(file.clips for file in measured)))


def _splitter(measures: str, detector: str | None) -> SceneSplitter:
    """Return the stage that a build into a new work folder would have."""
    from brickfilm.build.shot_detector import new_detector
    from brickfilm.stages import SceneSplitter

    name = detector if detector not in (None, "auto") else new_detector()
    named = "default" if measures == "auto" else measures
    return SceneSplitter().with_measures(named).with_detector(name)


def _check(keeps: Sequence[Keep], splitter: SceneSplitter, plot: Path | None) -> None:
    from brickfilm.build.keep_options import check_score
    from brickfilm.stages.keep import CLIP_PROPERTIES

    for bound in keeps:
        check_score(bound.score, splitter.provides)
        if bound.score not in {*splitter.provides, *CLIP_PROPERTIES}:
            raise UsageError(f"--keep {bound.condition}: measure it with --measures all")
    if plot and not plot.resolve().parent.is_dir():
        raise UsageError(f"--plot {str(plot)!r}: there is no folder {str(plot.parent)!r}")


def _print_file(file: MeasuredFile) -> None:
    print_text(file.source_id)
    if not file.clips:
        for error in file.errors or ("no clip",):
            print_text(f"  {error}")
        return
    end = max(window.end for window in file.windows)
    seconds = sum(clip.end - clip.start for clip in file.clips)
    rest = f", {pluralize(len(file.errors), 'part')} left out" if file.errors else ""
    print_text(f"  {pluralize(len(file.clips), 'clip')} of {seconds:.1f} s, to {end:.1f} s{rest}")
    print_text(f"  {'score':18}{'least':>10}{'median':>10}{'most':>10}  over time")
    for name in file.scores:
        values = sorted(window.scores[name] for window in file.windows)
        numbers = (values[0], values[len(values) // 2], values[-1])
        columns = "".join(f"{value:10.4g}" for value in numbers)
        over_time = sparkline(file.windows, name) if values[0] < values[-1] else ""
        print_text(f"  {name:18}{columns}  {over_time}".rstrip())


def sparkline(windows: Sequence[Clip], name: str) -> str:
    """Return a score over time in characters of equal time; a space for what is in no window."""
    end = max(window.end for window in windows)
    columns = min(MAX_COLUMNS, len(windows))
    values = [window.scores[name] for window in windows]
    low, high = min(values), max(values)
    text = [" "] * columns
    for window, value in zip(windows, values, strict=True):
        share = (value - low) / (high - low) if high > low else 0
        level = LEVELS[round(share * (len(LEVELS) - 1))]
        first = min(int(window.start / end * columns), columns - 1)
        last = max(first, round(window.end / end * columns) - 1)
        text[first : last + 1] = level * (last + 1 - first)
    return "".join(text)


def _print_shares(shares: Sequence[DropShare]) -> None:
    for share in shares:
        of_clips = 100 * share.clips / max(1, share.of_clips)
        of_seconds = 100 * share.seconds / (share.of_seconds or 1)
        print_text(
            f"{share.condition}: drops {share.clips} of {pluralize(share.of_clips, 'clip')} "
            f"({of_clips:.0f} %), {of_seconds:.0f} % of the seconds"
        )


def _facts(file: MeasuredFile) -> dict[str, Any]:
    """Return a file's scores as JSON."""
    return {
        "source_id": file.source_id,
        "clips": [_clip_facts(clip) for clip in file.clips],
        "windows": [_clip_facts(window) for window in file.windows],
        "left_out": [{"reason": e.reason, "message": str(e)} for e in file.errors],
    }


def _clip_facts(clip: Clip) -> dict[str, Any]:
    frames = {"start_frame": clip.span.start_frame, "end_frame": clip.span.end_frame}
    return {"start": clip.start, "end": clip.end, **frames, "scores": dict(clip.scores)}
