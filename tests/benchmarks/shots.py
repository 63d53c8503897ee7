"""Measure F1 of shot detection by each detector; `joint` and `transnetv2` with the extra `shots`.

    python -m tests.benchmarks.shots                       # rendered videos, not used for tuning
    python -m tests.benchmarks.shots --split tuning        # those used for tuning
    python -m tests.benchmarks.shots --degradations         # with those of real brick films
    python -m tests.benchmarks.shots --papers               # flat scenes: cards, paper, drawings
    python -m tests.benchmarks.shots --films DIR --truth FILE.json [--json]    # your own videos

The truth is {"a.mp4": {"cuts": [73, ...], "ignore": [78, ...], "kind": "stop-motion"}}; a cut is
the first frame of a new shot, the other kind is "ordinary". "ours" in the report is the detector of
a new work folder.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from brickfilm.build.shot_detector import new_detector
from brickfilm.detectors import Detector, is_installed
from brickfilm.detectors.by_name import DETECTORS_BY_NAME
from brickfilm.media import open_video
from brickfilm.records import Listing, Video
from brickfilm.scan.analyzer import analyze_frames
from brickfilm.scan.held_frames import FrameDifference
from brickfilm.scan.scan_result import ScanResult
from brickfilm.scan.timestamps import TimestampAnalyzer
from brickfilm.sources.folder import Probe
from tests.benchmarks.corpus import RenderedFilm, corpus
from tests.benchmarks.degradations import degraded_films
from tests.benchmarks.figure import bars_svg
from tests.benchmarks.paper_cells import paper_films
from tests.benchmarks.scoring import Score, pooled, score

DETECTORS: dict[str, Detector] = {
    name: make()
    for name, make in DETECTORS_BY_NAME.items()
    if is_installed() or name not in ("joint", "transnetv2")
}
OURS = new_detector()
DRAWN = (OURS, "adaptive", "content")
"""Detectors in the figure."""
TOLERANCES = (0, 1)
KINDS = ("stop-motion", "ordinary")


@dataclass(frozen=True)
class Film:
    """A video and its truth."""

    path: Path
    cell: str
    kind: str
    cuts: tuple[int, ...]
    ignore: tuple[int, ...] = ()
    required_f1: float = 0.0


@dataclass(frozen=True)
class Evaluation:
    """Cuts of one detector in one video."""

    film: Film
    cuts: list[int]
    inner: int
    """Number of shots with a true cut inside, two frames or more from either end."""
    shots: int

    def score(self, tolerance: int) -> Score:
        return score(self.cuts, self.film.cuts, self.film.ignore, tolerance)


def video_of(path: Path) -> Video:
    """Probe a video file."""
    stage = Probe()
    item = Listing(source_id=path.name, path=path)
    with stage.open(path.parent) as compute:
        (video,) = stage.apply(item, compute(item))
    return video


def evaluate(film: Film) -> dict[str, Evaluation]:
    """Run all detectors over one decode."""
    video = video_of(film.path)
    with open_video(film.path) as reader:
        answers = analyze_frames(
            reader, video, [TimestampAnalyzer(), FrameDifference(), *DETECTORS.values()]
        )
    scan = ScanResult.from_answers(video, answers)
    return {name: _evaluate(film, d, scan) for name, d in DETECTORS.items()}


def _evaluate(film: Film, detector: Detector, scan: ScanResult) -> Evaluation:
    metrics = scan.metrics(detector)
    shots = detector.shots(metrics)
    inner = sum(any(start + 1 < cut < end - 1 for cut in film.cuts) for start, end in shots)
    return Evaluation(film, detector.cuts(metrics), inner, len(shots))


def rendered_films(
    render: Callable[..., Iterator[RenderedFilm]], folder: Path, split: str, films: int, only: str
) -> Iterator[Film]:
    """Yield the corpus, rendered where needed."""
    for film in render(folder, split, films=films, only=only):
        cuts, ignore = (tuple(film.truth[name]) for name in ("cuts", "ignore"))
        yield Film(film.path, film.cell.name, film.kind, cuts, ignore, film.cell.required_f1)


def labelled_films(folder: Path, truth: Path) -> list[Film]:
    """Return the videos of a folder with their truth from a file; each is a cell of its own."""
    try:
        rows = json.loads(truth.read_text()).items()
    except (OSError, ValueError, AttributeError) as error:
        raise typer.BadParameter(
            f"--truth {truth} is not a JSON object by file name: {error}"
        ) from error
    if not rows:
        raise typer.BadParameter(f"--truth {truth} names no video")
    return [_labelled_film(folder, name, labels) for name, labels in rows]


def _labelled_film(folder: Path, name: str, labels: dict[str, Any]) -> Film:
    kind = labels.get("kind", "ordinary")
    if not (folder / name).is_file():
        raise typer.BadParameter(f"--truth names {name!r}, which is not in --films {folder}")
    if "cuts" not in labels:
        raise typer.BadParameter(f"{name!r} has no 'cuts' in --truth: name them, [] for none")
    if kind not in KINDS:
        raise typer.BadParameter(f"{name!r} is of kind {kind!r}: choose {' or '.join(KINDS)}")
    return Film(folder / name, name, kind, tuple(labels["cuts"]), tuple(labels.get("ignore", ())))


def as_json(evaluations: Iterable[Mapping[str, Evaluation]], tolerance: int) -> dict[str, Any]:
    """Return counts by detector, kind and video at one tolerance."""
    rows = list(evaluations)
    found = {name: _detector(rows, name, tolerance) for name in DETECTORS}
    return {"detectors": {"ours": found[OURS], **found}}


def _detector(
    evaluations: list[Mapping[str, Evaluation]], name: str, tolerance: int
) -> dict[str, Any]:
    mine = [each[name] for each in evaluations]
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


def _counts(one: Evaluation, tolerance: int) -> dict[str, Any]:
    counted = one.score(tolerance)
    return {"cuts": one.cuts, "tp": counted.tp, "fp": counted.fp, "fn": counted.fn}


def f1_table(evaluations: list[Mapping[str, Evaluation]]) -> Table:
    """Tabulate F1 by cell; cells in which OURS misses its minimum are marked."""
    table = Table(title=f"F1 of shot detection, by tolerance in frames; the minimum is for {OURS}")
    table.add_column("cell")
    table.add_column("cuts", justify="right")
    for name in DETECTORS:
        for tolerance in TOLERANCES:
            table.add_column(f"{name} ±{tolerance}", justify="right")
    table.add_column("minimum")
    cells = dict.fromkeys(each[OURS].film.cell for each in evaluations)
    for cell in cells:
        table.add_row(*_row(cell, [each for each in evaluations if each[OURS].film.cell == cell]))
    for kind in sorted({each[OURS].film.kind for each in evaluations}):
        table.add_row(
            *_row(kind, [each for each in evaluations if each[OURS].film.kind == kind], 0)
        )
    return table


def f1_by_cell(evaluations: list[Mapping[str, Evaluation]]) -> list[tuple[str, dict[str, float]]]:
    """Return each cell's F1 at tolerance 1, by detector, for the figure."""
    cells = dict.fromkeys(each[OURS].film.cell for each in evaluations)
    return [
        (
            cell,
            {
                name: pooled(
                    each[name].score(1) for each in evaluations if each[name].film.cell == cell
                ).f1
                for name in DRAWN
            },
        )
        for cell in cells
    ]


def _row(
    name: str, evaluations: list[Mapping[str, Evaluation]], required_f1: float | None = None
) -> list[str]:
    film = evaluations[0][OURS].film
    required_f1 = film.required_f1 if required_f1 is None else required_f1
    f1 = {
        (detector, tolerance): pooled(each[detector].score(tolerance) for each in evaluations).f1
        for detector in DETECTORS
        for tolerance in TOLERANCES
    }
    best = max(f1["adaptive", 1], f1["content", 1])
    missed = f1[OURS, 1] < required_f1 or f1[OURS, 1] < best - 0.02
    cuts = sum(len(each[OURS].film.cuts) for each in evaluations)
    return [name, str(cuts), *(f"{v:.2f}" for v in f1.values()), "MISSED" if missed else "met"]


def inner_cuts(evaluations: list[Mapping[str, Evaluation]]) -> str:
    """Report the share of shots with a hard cut inside, by detector."""
    shares = []
    for name in DETECTORS:
        bad = sum(each[name].inner for each in evaluations)
        shares.append(f"{name} {bad / sum(each[name].shots for each in evaluations):.1%}")
    return "shots with a hard cut inside: " + ", ".join(shares)


def main(
    films: Annotated[Path | None, typer.Option(help="Folder of your own videos.")] = None,
    truth: Annotated[Path | None, typer.Option(help="Their cuts, as JSON.")] = None,
    as_json_: Annotated[bool, typer.Option("--json", help="Counts instead of a table.")] = False,
    tolerance: Annotated[int, typer.Option(help="Frames, for --json.")] = 1,
    split: Annotated[str, typer.Option(help="tuning or test.")] = "test",
    corpus_folder: Annotated[Path, typer.Option("--corpus")] = Path("work/shots-corpus"),
    each: Annotated[int, typer.Option(help="Rendered videos per cell.")] = 2,
    only: Annotated[str, typer.Option(help="Only cells whose name contains this.")] = "",
    degradations: Annotated[
        bool,
        typer.Option("--degradations", help="Videos with the degradations of real brick films."),
    ] = False,
    papers: Annotated[
        bool, typer.Option("--papers", help="Flat scenes: plain cards, paper, clay, drawings.")
    ] = False,
    figure: Annotated[Path | None, typer.Option(help="Write bars of F1 here, as SVG.")] = None,
) -> None:
    """Evaluate the detectors on rendered videos, or on your own."""
    if (films is None) != (truth is None):
        raise typer.BadParameter("give both --films and --truth")
    render = paper_films if papers else degraded_films if degradations else corpus
    chosen = (
        labelled_films(films, truth)
        if films and truth
        else rendered_films(render, corpus_folder, split, each, only)
    )
    evaluations: list[Mapping[str, Evaluation]] = []
    for film in chosen:
        print(f"{film.cell}: {film.path.name}", file=sys.stderr, flush=True)
        evaluations.append(evaluate(film))
    if not evaluations:
        raise typer.BadParameter(f"no cell's name contains --only {only!r}")
    if figure:
        figure.write_text(bars_svg(f1_by_cell(evaluations), "F1 at tolerance 1"), encoding="utf-8")
    if as_json_:
        print(json.dumps(as_json(evaluations, tolerance), indent=1))
        return
    console = Console()
    console.print(f1_table(evaluations))
    console.print(inner_cuts(evaluations))


if __name__ == "__main__":
    typer.run(main)
