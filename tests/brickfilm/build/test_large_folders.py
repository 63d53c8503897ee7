"""New files of a large folder go to folders in it; those of before stay, and nothing is lost."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from brickfilm import FolderSource, FrameSampler, SceneSplitter
from brickfilm.build.link_artefacts import link_artefacts
from brickfilm.engine import sinks
from brickfilm.hub.removal import RemovalRequest, remove
from tests.kit.small_build import inline_build, two_shots

STAGES = (SceneSplitter(), FrameSampler())


def files(work: Path) -> dict[str, int]:
    found = [p for kind in ("clips", "stills") for p in (work / kind).rglob("*") if p.is_file()]
    return {str(p.relative_to(work)): p.stat().st_ino for p in found}


def table(work: Path) -> pa.Table:
    names = sorted(work.glob("dataset/clips/*.parquet"))
    return pa.concat_tables([pq.read_table(name) for name in names])


@pytest.mark.slow
def test_a_folder_that_became_large_goes_on_in_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    films, flat, work = (tmp_path / name for name in ("films", "flat", "work"))
    films.mkdir()
    two_shots(films / "a.mp4", size=(96, 64))
    inline_build(FolderSource(films), *STAGES, workdir=work)
    before = files(work)
    two_shots(films / "b.mp4", size=(96, 64), seed=1)
    inline_build(FolderSource(films), *STAGES, workdir=flat)

    monkeypatch.setattr(sinks, "LARGE_FOLDER_BYTES", -1)
    inline_build(FolderSource(films), *STAGES, workdir=work)
    monkeypatch.undo()
    after = files(work)
    assert before.items() < after.items()
    new = [Path(name) for name in after.keys() - before.keys()]
    assert {p.parent.name for p in new} == {p.name[:2] for p in new}
    assert sorted(Path(name).name for name in after) == sorted(p.split("/")[1] for p in files(flat))
    assert table(work).equals(table(flat))

    inline_build(FolderSource(films), *STAGES, workdir=work)
    assert files(work) == after
    (tmp_path / "linked").mkdir()
    link_artefacts(work, tmp_path / "linked")
    assert files(tmp_path / "linked") == after
    remove(work, RemovalRequest("source", "b.mp4"))
    assert files(work) == before
