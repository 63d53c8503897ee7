"""Publish a run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from finetune.cli.app import Weights, app, print_text


@app.command()
def release(
    run: Annotated[Path, typer.Argument(help="a run's folder, or one of its checkpoints")],
    repo: Annotated[str, typer.Argument(help="user/model")],
    private: Annotated[
        bool | None, typer.Option("--private/--public", help="default: as it is")
    ] = None,
    copy_encoders: Annotated[bool, typer.Option(help="also those that are on the Hub")] = False,
    licence: Annotated[str | None, typer.Option(help="such as apache-2.0")] = None,
    dry_run: Annotated[
        bool, typer.Option(help="show files, sizes and the card; write and upload nothing")
    ] = False,
    only_here: Annotated[
        bool, typer.Option("--only-here", help="write the folder, upload nothing")
    ] = False,
    weights: Weights = None,
) -> None:
    """Publish a run: weights, encoders, samples and a card."""
    from finetune.release.release import (
        ReleaseOptions,
        build_release,
        describe_weights,
        preview_release,
        push,
    )

    settings = ReleaseOptions(
        repo_id=repo,
        private=private,
        copy_encoders=copy_encoders,
        licence=licence,
        weights=weights,
    )
    print_text(describe_weights(run, settings))
    if dry_run:
        with preview_release(run, settings) as folder:
            _print_files(folder)
            print_text(f"the card is:\n\n{(folder / 'README.md').read_text(encoding='utf-8')}")
        return
    folder = build_release(run, settings)
    _print_files(folder)
    print_text(f"built in {folder}" if only_here else f"published at {push(folder, settings)}")


def _print_files(folder: Path) -> None:
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        print_text(f"{file.stat().st_size:>14,}  {file.relative_to(folder)}")
