"""`brickfilm why`, `diff`, `doctor` and `probe`: answers about a build, a file, this machine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from brickfilm.cli import build_options as options
from brickfilm.cli.app import app, console, print_json, print_text
from brickfilm.schema.plural import pluralize

if TYPE_CHECKING:
    from brickfilm.engine.ledger import CaptionEdit
    from brickfilm.inspection import ConfigDiff, ItemHistory, ProbedFile
    from brickfilm.inspection.decisions import StoredAnswer

MAX_IDS = 20
STATE_STYLES = {"ok": "green", "note": "yellow", "problem": "red"}
JsonOption = Annotated[bool, typer.Option("--json", help="print everything as JSON")]


@app.command("why")
def why_command(
    folder: Annotated[Path, typer.Argument(help="the --out folder of a build")],
    target: Annotated[
        str, typer.Argument(help="id of a clip, image or video, or VIDEO@TIME, as film.mp4@1:23.5")
    ],
    as_json: JsonOption = False,
) -> None:
    """Print what every stage decided about an item, with which numbers, when, and at what cost."""
    from brickfilm.inspection import why

    histories = why(folder, target)
    if as_json:
        print_json([asdict(history) | {"outcome": history.outcome} for history in histories])
        return
    for history in histories:
        _print_history(history)


@app.command("diff")
def diff_command(
    before: Annotated[str, typer.Argument(help="work folder, dataset folder or user/name")],
    after: Annotated[str, typer.Argument(help="the same, of the later dataset")],
    as_json: JsonOption = False,
) -> None:
    """Print rows added, gone and changed, and settings that differ; exit with 1 if rows differ."""
    from brickfilm.inspection import diff_datasets

    diff = diff_datasets(before, after)
    if as_json:
        print_json(asdict(diff))
    else:
        for setting in diff.settings:
            print_text(setting)
        for config in diff.configs:
            _print_config(config)
    raise typer.Exit(int(not diff.is_empty))


@app.command()
def doctor(
    folder: Annotated[
        Path, typer.Argument(help="work folder whose disk and model are checked")
    ] = Path(),
    as_json: JsonOption = False,
) -> None:
    """Check versions, codecs, disk, keys, YouTube, models, GPU; exit with 1 if it cannot build."""
    from brickfilm.inspection import check_machine

    checks = check_machine(folder)
    if as_json:
        print_json([asdict(check) for check in checks])
    else:
        for check in checks:
            help_ = f" -> {check.remedy}" if check.remedy else ""
            console.print(f"{check.state:8}", style=STATE_STYLES[check.state], end="")
            print_text(f"{check.name:16} {check.detail}{help_}")
    raise typer.Exit(int(any(check.state == "problem" for check in checks)))


@app.command("probe")
def probe_command(
    footage: Annotated[str, typer.Argument(help="a video, or a folder of videos")],
    hdr: options.Hdr = "reject",
    deinterlace: options.Deinterlace = "auto",
    fps: options.FrameRate = None,
    as_json: JsonOption = False,
) -> None:
    """Print what a build would see of a file; exit with 1 if it would not use one."""
    from brickfilm.inspection import probe_files

    files = list(probe_files(footage, hdr=hdr, deinterlace=deinterlace, fps=fps))
    if as_json:
        print_json([_probed_facts(file) for file in files])
    else:
        for file in files:
            print_text(file.source_id)
            for name, value in _probed_facts(file).items():
                if value not in ("", None, [], ()) and name != "source_id":
                    print_text(f"  {name.replace('_', ' '):14} {value}")
    raise typer.Exit(int(not files or any(file.error for file in files)))


def _print_history(history: ItemHistory) -> None:
    print_text(f"{history.item} of {history.source_id}: {history.outcome}")
    if history.record:
        record = history.record
        print_text(f"  {record.start:.3f}-{record.end:.3f} s, {record.num_frames} frames")
        scores = ", ".join(f"{name} {value:.4g}" for name, value in sorted(record.scores.items()))
        print_text(f"  scores: {scores}" if scores else "  scores: none was measured")
    for d in history.decisions:
        result = d.status + (f", {d.reason}" if d.reason else "")
        about = "" if d.item == history.item else f" of {d.kind} {d.item}"
        print_text(f"  {d.stage}{about}: {result}{f' ({d.message})' if d.message else ''}")
    for edit in history.edits:
        print_text(f"  by hand on {_local_time(edit.at)}: {_edit_text(edit)}")
    if history.answers:
        print_text("  stored answers:")
    for _, answers in groupby(history.answers, _scan_or_answer):
        print_text(f"    {_answers_text(history.item, list(answers))}")


def _scan_or_answer(answer: StoredAnswer) -> object:
    """Return the same for all parts of one scan, whose metrics of frames are not printed."""
    return (answer.seconds, answer.item) if "dtype" in answer.numbers else id(answer)


def _answers_text(item: str, answers: Sequence[StoredAnswer]) -> str:
    """Return a line about one answer, or about the parts of one scan."""
    first = answers[0]
    parts = ", ".join(answer.part for answer in answers)
    about = "" if first.item == item else f" of {first.item}"
    cost = "" if first.dollars is None else f", ${first.dollars:.6f}"
    line = f"{_local_time(first.at.timestamp())} {parts}{about}"
    if "dtype" in first.numbers:
        return f"{line}, {sum(answer.seconds for answer in answers):.2f} s of work: by frame"
    numbers = ", ".join(f"{name}={value}" for name, value in first.numbers.items())
    return f"{line}, {first.seconds:.2f} s of work{cost}: {numbers}"


def _edit_text(edit: CaptionEdit) -> str:
    what = "a note" if edit.caption is None else f"caption {edit.caption!r}"
    return ("rejected" if edit.reject else what) + (f": {edit.note}" if edit.note else "")


def _print_config(diff: ConfigDiff) -> None:
    counts = f"{len(diff.added):,} added, {len(diff.gone):,} gone, {diff.same:,} the same"
    print_text(f"{diff.config}: {counts}")
    for column, ids in diff.changed.items():
        print_text(f"  {column} changed in {pluralize(len(ids), 'row')}: {_some(ids)}")
    for cause, count in diff.causes.items():
        print_text(f"  {cause}: {pluralize(count, 'row')}")
    if diff.added:
        print_text(f"  added: {_some(diff.added)}")
    for reason in dict.fromkeys(diff.gone.values()):
        ids = [id for id, why in diff.gone.items() if why == reason]
        print_text(f"  gone, {reason}: {_some(ids)}")


def _some(ids: Any) -> str:
    more = f" and {len(ids) - MAX_IDS} more (--json has all)" if len(ids) > MAX_IDS else ""
    return ", ".join(ids[:MAX_IDS]) + more


def _probed_facts(file: ProbedFile) -> dict[str, Any]:
    """Return what is known of a file, for people and as JSON."""
    video, error = file.video, file.error
    facts: dict[str, Any] = {"source_id": file.source_id}
    if video:
        facts |= {
            "size": f"{video.width}x{video.height}",
            "fps": f"{video.fps} ({float(video.fps):.5g})",
            "time_base": str(video.time_base),
            "duration": f"{video.duration:.3f} s",
            "format": video.format,
            "id": video.id,
            "sha256": video.sha256,
        }
    facts |= {name: value for name, value in file.picture.items() if value not in (False, "")}
    if video:
        facts["conversions"] = ", ".join(video.conversions or ()) or "none"
    if error:
        facts["not_used"] = f"{type(error).__name__}: {error}"
    return facts


def _local_time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M:%S")
