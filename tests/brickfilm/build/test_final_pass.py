"""Near-duplicates of a build are marked, or all but one are dropped with a reason."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from brickfilm import FolderSource, FrameSampler, SceneSplitter
from brickfilm.build.build_dataset import BuildResult, build
from brickfilm.build.final_pass import FinalPass
from brickfilm.build.recipe import load_recipe
from brickfilm.engine.ledger import ledger_frame
from brickfilm.errors import UsageError
from tests.kit.inline_executor import InlineExecutor
from tests.kit.small_build import two_shots

FREE_BOX = b"\x00\x00\x00\x08free"
"""Changes the bytes of an mp4, and thereby its ids, but no picture."""


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("twice")
    two_shots(folder / "a.mp4", size=(96, 64))
    (folder / "b.mp4").write_bytes((folder / "a.mp4").read_bytes() + FREE_BOX)
    return folder


def built(films: Path, work: Path, **settings: Any) -> BuildResult:
    executor = InlineExecutor()
    try:
        stages = (SceneSplitter(), FrameSampler())
        return build(FolderSource(films), stages, workdir=work, executor=executor, **settings)
    finally:
        executor.close()


@pytest.mark.slow
def test_one_of_each_group_stays_and_the_others_have_a_reason(films: Path, tmp_path: Path) -> None:
    marked = built(films, tmp_path).dataset
    rows = [row for split in marked["clips"].values() for row in split.remove_columns("video")]
    groups = [row["near_duplicate_group"] for row in rows]
    assert len(rows) == 4 and len(set(groups)) == 2
    kept = built(films, tmp_path, duplicates="keep-one").dataset
    clips = [row for split in kept["clips"].values() for row in split.remove_columns("video")]
    images = [row for split in kept["images"].values() for row in split.remove_columns("image")]
    assert sorted(row["id"] for row in clips) == sorted(set(groups))
    assert {row["clip_id"] for row in images} == {row["id"] for row in clips}
    assert all(row["near_duplicate_group"] == row["id"] for row in clips)
    results = ledger_frame(tmp_path)
    dropped = results[results.reason == "near-duplicate"]
    assert set(dropped["item"]) == {row["id"] for row in rows} - set(groups)
    assert all(groups[0][:16] in text for text in dropped.message)
    assert "Drop near-duplicates" in (tmp_path / "report.html").read_text(encoding="utf-8")
    again = built(films, tmp_path).dataset["clips"]
    assert sum(len(split) for split in again.values()) == 4


def test_a_recipe_names_the_mode_and_another_one_is_refused(tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.py"
    recipe.write_text(
        "from brickfilm import SceneSplitter\n"
        "source = 'films'\nstages = (SceneSplitter(),)\nduplicates = 'keep-best'\n"
    )
    assert load_recipe(recipe).duplicates == "keep-best"
    with pytest.raises(UsageError, match="give one of mark, keep-best, keep-one"):
        FinalPass(duplicates="drop")  # type: ignore[arg-type]
