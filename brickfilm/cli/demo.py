"""`brickfilm demo`: the main job on a film that brickfilm draws itself."""

from __future__ import annotations

from pathlib import Path

from brickfilm.cli.build import DatasetRecipe


def demo_recipe(out: Path) -> DatasetRecipe:
    """Render the film and its captions into `out`/film, and build from there."""
    from brickfilm import (
        CaptionAudit,
        FolderSource,
        FrameSampler,
        RefusalFilter,
        SceneSplitter,
        SidecarCaptioner,
    )
    from tests.brickworld import write_demo

    film = write_demo(out / "film")
    return DatasetRecipe(
        FolderSource(film),
        (SceneSplitter(), FrameSampler(), SidecarCaptioner(), RefusalFilter(), CaptionAudit()),
    )
