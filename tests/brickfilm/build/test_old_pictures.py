"""A work folder of a version that lost the colour matrix: only clips that need it are cut again."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest

from brickfilm.build.build_dataset import BuildResult, build
from brickfilm.engine.ledger.packed import unpack
from brickfilm.records import DeinterlaceMode
from brickfilm.sources import FolderSource
from brickfilm.stages import ClipWriter, FrameSampler, SceneSplitter
from tests.kit.field_film import FieldFilm
from tests.kit.inline_executor import InlineExecutor
from tests.kit.patches import Patches

pytestmark = pytest.mark.slow


def built(films: Path, work: Path, max_height: int | None = None) -> BuildResult:
    writer = ClipWriter(max_height=max_height)
    return build(FolderSource(films), [SceneSplitter(), writer, FrameSampler()], workdir=work)


def forget_pictures(work: Path) -> None:
    """Make the ledger one of an older version: what it said of pictures goes, as do new keys."""
    db = sqlite3.connect(work / "ledger.sqlite")
    for part, key, text in db.execute("SELECT part, key, answer FROM answers").fetchall():
        answer = json.loads(unpack(text))
        answer.pop("picture", None)
        answer.pop("state", None)
        old_key = key.removesuffix(":colours")
        db.execute(
            "UPDATE answers SET answer = ?, key = ?, digest = NULL WHERE part = ? AND key = ?",
            (json.dumps(answer), old_key, part, key),
        )
    db.commit()
    db.close()


@pytest.mark.parametrize("deinterlace", ["auto", "reject"])
def test_interlaced_videos_stay_as_they_were_until_the_option_changes(
    deinterlace: DeinterlaceMode, tmp_path: Path
) -> None:
    """No stage behind the probe has a new key, so no captioner is asked again either."""
    films, work = tmp_path / "films", tmp_path / "work"
    films.mkdir()
    FieldFilm(films / "film.mpg", kind="interlaced").write()
    executor, stages = InlineExecutor(), [SceneSplitter(), ClipWriter(), FrameSampler()]
    off = FolderSource(films, deinterlace="off")
    build(off, stages, workdir=work, executor=executor)
    rename_part(work, off.probe.digest, FolderSource(films).probe.digest)
    forget_pictures(work)
    before, clips = answers(work), sorted((work / "clips").iterdir())
    again = build(
        FolderSource(films, deinterlace=deinterlace), stages, workdir=work, executor=executor
    )
    changed = {part for (part, key), at in answers(work).items() if before.get((part, key)) != at}
    assert changed == {FolderSource(films, deinterlace=deinterlace).probe.digest}
    assert sorted((work / "clips").iterdir()) == clips
    rejected = [r.reason for r in again.item_results if r.status == "rejected"]
    assert rejected == ([] if deinterlace == "auto" else ["interlaced"])


def rename_part(work: Path, old: str, new: str) -> None:
    db = sqlite3.connect(work / "ledger.sqlite")
    db.execute("UPDATE answers SET part = ? WHERE part = ?", (new, old))
    db.commit()
    db.close()


def answers(work: Path) -> dict[tuple[str, str], float]:
    db = sqlite3.connect(work / "ledger.sqlite")
    try:
        return {
            (part, key): at for part, key, at in db.execute("SELECT part, key, at FROM answers")
        }
    finally:
        db.close()


@pytest.mark.parametrize(
    ("storage", "height", "cut_again"),
    [
        ({"matrix": 1}, None, 0),
        ({"matrix": 6, "tagged": False, "pix_fmt": "yuv444p"}, 90, 0),
        ({"matrix": 1, "pix_fmt": "yuv444p"}, None, 1),
        ({"matrix": 1}, 90, 1),
    ],
    ids=["plain", "untagged", "converted", "scaled"],
)
def test_only_lost_colours_are_cut_again(
    storage: dict[str, object], height: int | None, cut_again: int, tmp_path: Path
) -> None:
    films, work = tmp_path / "films", tmp_path / "work"
    films.mkdir()
    Patches(films / "film.mp4", **storage).write()  # type: ignore[arg-type]
    built(films, work, height)
    forget_pictures(work)
    before, stills = answers(work), {p: p.stat().st_ino for p in (work / "stills").iterdir()}
    again = built(films, work, height)
    new = {key for (_, key), at in answers(work).items() if at not in before.values()}
    assert sum(key.endswith(":colours") for key in new) == cut_again
    assert all(key.endswith(":colours") or "film.mp4" in key for key in new)  # else only Probe's
    assert {p: p.stat().st_ino for p in (work / "stills").iterdir()} == stills
    assert again.exit_code == 0
    assert len(again.dataset["clips"]["train"]) == 1
    after = answers(work)
    built(films, work, height)
    assert answers(work) == after
