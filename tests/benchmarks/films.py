"""Check a folder of real films against the list of those whose cuts were labelled by eye.

    python -m tests.benchmarks.films DIR
    python -m tests.benchmarks.films DIR --truth tests/benchmarks/held_out_films.json
    python -m tests.benchmarks.shots --films DIR --truth tests/benchmarks/real_films.json

The rule of `layout` was fitted on the films of the first list; those of the second took no part. A
list names repository, commit and path of each film, its sha256, its cuts and the frames to ignore.
The films carry no licence to redistribute: bring them yourself, and commit no frame. Cuts
were labelled from contact sheets of new drawings, before any detector ran.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Annotated, Any

import typer

LIST = Path(__file__).with_name("real_films.json")
HELD_OUT = Path(__file__).with_name("held_out_films.json")


def problem(folder: Path, name: str, labels: dict[str, Any]) -> str | None:
    """Return a problem of a film in a folder, with its remedy, or None."""
    path = folder / name
    if not path.is_file():
        repository, commit, source = labels["source"].split(" ", 2)
        return f"{name}: missing; it is {source!r} of {repository} at {commit}"
    if (found := hashlib.sha256(path.read_bytes()).hexdigest()) != labels["sha256"]:
        return f"{name}: another file, sha256 {found}, not {labels['sha256']}: fetch it again"
    return None


def main(
    folder: Annotated[Path, typer.Argument(help="Folder of the films, outside the project.")],
    truth: Annotated[Path, typer.Option(help="The list.")] = LIST,
) -> None:
    """Print what is missing or different; exit with 1 if anything is."""
    films = json.loads(truth.read_text(encoding="utf-8"))
    problems = [found for name, labels in films.items() if (found := problem(folder, name, labels))]
    cuts = sum(len(labels["cuts"]) for labels in films.values())
    print(
        "\n".join([*problems, f"{len(films) - len(problems)} of {len(films)} films, {cuts} cuts"])
    )
    raise typer.Exit(1 if problems else 0)


if __name__ == "__main__":
    typer.run(main)
