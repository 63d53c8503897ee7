"""How well shots are found: ours, and PySceneDetect's two, at tolerances 0 and 1.

    python -m tests.benchmarks.shots                       # rendered films that tuning never saw
    python -m tests.benchmarks.shots --split tuning        # those that it saw
    python -m tests.benchmarks.shots --troubles            # with the troubles of real brick films
    python -m tests.benchmarks.shots --films DIR --truth FILE.json [--json]    # your own films

The truth of your films: {"a.mp4": {"cuts": [73, ...], "ignore": [78, ...], "kind": "stop-motion"}},
a cut being the first frame of the new shot, the other kind being "ordinary".
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from brickfilm.detectors import Adaptive, Content, Detector, HoldAware
from brickfilm.media import open_video
from brickfilm.records import Listing, Video
from brickfilm.scan.analyzer import analyze_frames
from brickfilm.scan.held_frames import FrameDifference
from brickfilm.scan.scan_result import ScanResult
from brickfilm.scan.timestamps import TimestampAnalyzer
from brickfilm.sources.folder import Probe
from tests.benchmarks.corpus import corpus
from tests.benchmarks.figure import bars_svg
from tests.benchmarks.hardships import hardships
from tests.benchmarks.scoring import Score, pooled, score

DETECTORS: dict[str, Detector] = {"ours": HoldAware(), "adaptive": Adaptive(), "content": Content()}
TOLERANCES = (0, 1)
KINDS = ("stop-motion", "ordinary")


@dataclass(frozen=True)
class Film:
    """A film and its truth."""

    path: Path
    cell: str
    kind: str
    cuts: tuple[int, ...]
    ignore: tuple[int, ...] = ()
    bar: float = 0.0


@dataclass(frozen=True)
class Judged:
    """What one detector found in one film."""

    film: Film
    cuts: list[int]
    inner: int
    """Shots with a true cut inside, two frames or more from either end."""
    shots: int

    def score(self, tolerance: int) -> Score:
        return score(self.cuts, self.film.cuts, self.film.ignore, tolerance)


def video_of(path: Path) -> Video:
    """A film as the pipeline sees it."""
    stage = Probe()
    item = Listing(source_id=path.name, path=path)
    with stage.open(path.parent) as compute:
        (video,) = stage.apply(item, compute(item))
    return video


def judge(film: Film) -> dict[str, Judged]:
    """One decode for all detectors."""
    video = video_of(film.path)
    with open_video(film.path) as opening:
        answers = analyze_frames(
            opening, video, [TimestampAnalyzer(), FrameDifference(), *DETECTORS.values()]
        )
    seen = ScanResult.from_answers(video, answers)
    return {name: _judged(film, d, seen) for name, d in DETECTORS.items()}


def _judged(film: Film, detector: Detector, seen: ScanResult) -> Judged:
    metrics = seen.metrics(detector)
    shots = detector.shots(metrics)
    inner = sum(any(start + 1 < cut < end - 1 for cut in film.cuts) for start, end in shots)
    return Judged(film, detector.cuts(metrics), inner, len(shots))


def rendered(folder: Path, split: str, films: int, only: str, troubles: bool) -> Iterator[Film]:
    """The corpus, as films to judge."""
    drawing = hardships if troubles else corpus
    for drawn in drawing(folder, split, films=films, only=only):  # type: ignore[arg-type]
        cuts, ignore = (tuple(drawn.facts[name]) for name in ("cuts", "ignore"))
        yield Film(drawn.path, drawn.cell.name, drawn.kind, cuts, ignore, drawn.cell.bar)


def labelled(folder: Path, truth: Path) -> list[Film]:
    """Films of a folder with their truth in a file; each is a cell of its own."""
    try:
        told = json.loads(truth.read_text()).items()
    except (OSError, ValueError, AttributeError) as error:
        raise typer.BadParameter(f"--truth {truth} is no JSON object of films: {error}") from error
    if not told:
        raise typer.BadParameter(f"--truth {truth} names no film")
    return [_labelled(folder, name, facts) for name, facts in told]


def _labelled(folder: Path, name: str, facts: dict[str, Any]) -> Film:
    kind = facts.get("kind", "ordinary")
    if not (folder / name).is_file():
        raise typer.BadParameter(f"--truth names {name!r}, which --films {folder} does not hold")
    if "cuts" not in facts:
        raise typer.BadParameter(f"{name!r} has no 'cuts' in --truth: name them, [] for none")
    if kind not in KINDS:
        raise typer.BadParameter(f"{name!r} is of kind {kind!r}: choose {' or '.join(KINDS)}")
    return Film(folder / name, name, kind, tuple(facts["cuts"]), tuple(facts.get("ignore", ())))


def as_json(judged: Iterable[Mapping[str, Judged]], tolerance: int) -> dict[str, Any]:
    """Counts for every detector, kind and film at one tolerance."""
    everything = list(judged)
    return {"detectors": {name: _detector(everything, name, tolerance) for name in DETECTORS}}


def _detector(judged: list[Mapping[str, Judged]], name: str, tolerance: int) -> dict[str, Any]:
    mine = [each[name] for each in judged]
    kinds = sorted({one.film.kind for one in mine})
    return {
        "pooled": {
            kind: _rates(pooled(o.score(tolerance) for o in mine if o.film.kind == kind))
            for kind in kinds
        },
        "films": {o.film.path.name: _counts(o, tolerance) for o in mine},
    }


def _rates(counted: Score) -> dict[str, float]:
    return {"f1": counted.f1, "precision": counted.precision, "recall": counted.recall}


def _counts(one: Judged, tolerance: int) -> dict[str, Any]:
    counted = one.score(tolerance)
    return {"cuts": one.cuts, "tp": counted.tp, "fp": counted.fp, "fn": counted.fn}


def table(judged: list[Mapping[str, Judged]]) -> Table:
    """F1 by cell; bars that ours misses are marked."""
    shown = Table(title="F1 of shot detection, by tolerance in frames")
    shown.add_column("cell")
    shown.add_column("cuts", justify="right")
    for name in DETECTORS:
        for tolerance in TOLERANCES:
            shown.add_column(f"{name} ±{tolerance}", justify="right")
    shown.add_column("bar")
    cells = dict.fromkeys(each["ours"].film.cell for each in judged)
    for cell in cells:
        shown.add_row(*_row(cell, [each for each in judged if each["ours"].film.cell == cell]))
    for kind in sorted({each["ours"].film.kind for each in judged}):
        shown.add_row(*_row(kind, [each for each in judged if each["ours"].film.kind == kind], 0))
    return shown


def f1_by_cell(judged: list[Mapping[str, Judged]]) -> list[tuple[str, dict[str, float]]]:
    """For the figure: each cell's F1 at tolerance 1, by detector."""
    cells = dict.fromkeys(each["ours"].film.cell for each in judged)
    return [
        (
            cell,
            {
                name: pooled(
                    each[name].score(1) for each in judged if each[name].film.cell == cell
                ).f1
                for name in DETECTORS
            },
        )
        for cell in cells
    ]


def _row(name: str, judged: list[Mapping[str, Judged]], bar: float | None = None) -> list[str]:
    film = judged[0]["ours"].film
    bar = film.bar if bar is None else bar
    f1 = {
        (detector, tolerance): pooled(each[detector].score(tolerance) for each in judged).f1
        for detector in DETECTORS
        for tolerance in TOLERANCES
    }
    best = max(f1["adaptive", 1], f1["content", 1])
    missed = f1["ours", 1] < bar or f1["ours", 1] < best - 0.02
    cuts = sum(len(each["ours"].film.cuts) for each in judged)
    return [name, str(cuts), *(f"{v:.2f}" for v in f1.values()), "MISSED" if missed else "met"]


def inner_cuts(judged: list[Mapping[str, Judged]]) -> str:
    """Shots that hold a hard cut inside, for each detector."""
    said = []
    for name in DETECTORS:
        bad = sum(each[name].inner for each in judged)
        said.append(f"{name} {bad / sum(each[name].shots for each in judged):.1%}")
    return "shots with a hard cut inside: " + ", ".join(said)


def main(
    films: Annotated[Path | None, typer.Option(help="Folder of your own films.")] = None,
    truth: Annotated[Path | None, typer.Option(help="Their cuts, as JSON.")] = None,
    as_json_: Annotated[bool, typer.Option("--json", help="Counts instead of a table.")] = False,
    tolerance: Annotated[int, typer.Option(help="Frames, for --json.")] = 1,
    split: Annotated[str, typer.Option(help="tuning or judging.")] = "judging",
    corpus_folder: Annotated[Path, typer.Option("--corpus")] = Path("work/shots-corpus"),
    each: Annotated[int, typer.Option(help="Rendered films for every cell.")] = 2,
    only: Annotated[str, typer.Option(help="Cells whose name holds this.")] = "",
    troubles: Annotated[
        bool, typer.Option("--troubles", help="Films with the troubles of real brick films.")
    ] = False,
    figure: Annotated[Path | None, typer.Option(help="Write bars of F1 here, as SVG.")] = None,
) -> None:
    """Judge the detectors on rendered films, or on your own."""
    if (films is None) != (truth is None):
        raise typer.BadParameter("--films and --truth go together")
    chosen = (
        labelled(films, truth)
        if films and truth
        else rendered(corpus_folder, split, each, only, troubles)
    )
    judged: list[Mapping[str, Judged]] = []
    for film in chosen:
        print(f"{film.cell}: {film.path.name}", file=sys.stderr, flush=True)
        judged.append(judge(film))
    if not judged:
        raise typer.BadParameter(f"no cell's name holds --only {only!r}")
    if figure:
        figure.write_text(bars_svg(f1_by_cell(judged), "F1 at tolerance 1"), encoding="utf-8")
    if as_json_:
        print(json.dumps(as_json(judged, tolerance), indent=1))
        return
    console = Console()
    console.print(table(judged))
    console.print(inner_cuts(judged))


if __name__ == "__main__":
    typer.run(main)
