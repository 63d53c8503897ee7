"""`brickfilm merge`: join the shards of a build, or builds made apart."""

from __future__ import annotations

import inspect
from functools import partial as bind
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from brickfilm.cli.app import app
from brickfilm.cli.build import build, recipe_of, run_builder

OF_BUILDS = ("dry_run", "wait", "shard", "take_over", "replace", "ray")
"""Options of `brickfilm build` that a merge, which computes nothing, does not have."""

From = Annotated[
    list[Path] | None,
    typer.Option("--from", help="a work folder of a build made apart; instead of OUT's shards"),
]
Partial = Annotated[bool, typer.Option("--partial", help="merge though some shards were not built")]


def merge(*, folders: From = None, partial: Partial = False, **given: Any) -> None:
    """Join the shards of a build and write their dataset; exit with 3 if some are not complete.

    Give footage and options of the build. Nothing is computed or paid for: what no shard has built
    waits.
    """
    from brickfilm.build.merge import merge_shards
    from brickfilm.engine.build_shard import find_shards

    out: Path = given["out"]
    parts = folders or [*find_shards(out).values()]
    recipe = recipe_of(given, parts[0] if parts else out)
    builder = bind(merge_shards, workdir=out, folders=folders or (), partial=partial)
    run_builder(builder, recipe, out, given["training"])


def _with_build_options() -> None:
    """Give `merge` the options of `build` beside its own, as typer reads them."""
    hints = {
        **get_type_hints(build, include_extras=True),
        **get_type_hints(merge, include_extras=True),
    }
    of_build = inspect.signature(build).parameters.keys() - set(OF_BUILDS)
    functions = [inspect.signature(build).parameters, inspect.signature(merge).parameters]
    parameters = [
        parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY, annotation=hints[parameter.name])
        for function in functions
        for parameter in function.values()
        if parameter.name in {*of_build, "folders", "partial"}
    ]
    merge.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    merge.__annotations__ = {p.name: p.annotation for p in parameters}


_with_build_options()
app.command()(merge)
