"""`brickfilm demo`: build a dataset from the demo video."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from brickfilm.cli import build_options as options
from brickfilm.cli.app import OutOption, app

if TYPE_CHECKING:
    from brickfilm.build.recipe import DatasetRecipe


@app.command()
def demo(out: OutOption = Path("work/demo"), replace_: options.Replace = False) -> None:
    """Build a captioned dataset from a small brick film: no key, no network."""
    from brickfilm import FolderSource
    from brickfilm.cli.build import check_replaced, run_build
    from brickfilm.demo import DEMO_VIDEO

    film = out / "film" / DEMO_VIDEO.name
    source = FolderSource(film if film.is_file() else DEMO_VIDEO)
    check_replaced(source, out, replace=replace_)
    run_build(demo_recipe(out), out)


def demo_recipe(out: Path) -> DatasetRecipe:
    """Copy the demo video and its captions to `out`/film, and return a recipe for them."""
    from brickfilm import CaptionAudit, FolderSource
    from brickfilm.build.caption_options import CaptionOptions
    from brickfilm.build.recipe import default_recipe
    from brickfilm.build.work_folder import check_work_folder
    from brickfilm.demo import DEMO_LICENCE, copy_demo_film

    check_work_folder(out, FolderSource(out / "film"))
    source = FolderSource(copy_demo_film(out / "film"), licence=DEMO_LICENCE)
    recipe = default_recipe(source, CaptionOptions(captions="sidecar"))
    return replace(recipe, stages=(*recipe.stages, CaptionAudit()))
