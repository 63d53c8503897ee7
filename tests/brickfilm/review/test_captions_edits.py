"""Edits of people: exported, imported, applied by the next build without a request, and kept."""

from __future__ import annotations

import csv
import json
import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from brickfilm import CaptionAudit, GPT4oCaptioner, RefusalFilter
from brickfilm.build.build_dataset import BuildResult, build
from brickfilm.cli import app
from brickfilm.dataset.reader import find_dataset
from brickfilm.engine.ledger import (
    CaptionEdit,
    Ledger,
    delete_edits,
    merge_edits,
    read_edits,
    save_edits,
)
from brickfilm.errors import UsageError, WorkdirBusy
from brickfilm.hub.publish.card import dataset_card
from brickfilm.records import EDITED_BY_HAND
from brickfilm.review import export_captions, import_captions, list_captions, save_reviews
from tests.kit.captions import AddImages, ClipSource, Written, clip
from tests.kit.servers.openai import CaptionServer, ReceivedRequest, Reply, answer

CLIPS = [clip(n, Path("/nonexistent"), at=()).id for n in range(4)]
MINE = "A red car waits in front of a green house."


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A built folder, for tests that store nothing, and to copy."""
    work = tmp_path_factory.mktemp("built") / "w"
    with pytest.MonkeyPatch.context() as patch, CaptionServer() as running:
        patch.setenv("OPENAI_API_KEY", "sk-none")
        running.script = said
        built(work, running)
        yield work


@pytest.fixture
def work(original: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(original, tmp_path / "w"))


def said(request: ReceivedRequest) -> Reply:
    return answer("described", f"A dog number {request.digest[:6]} runs over a field.")


def no_clip_moves(request: ReceivedRequest) -> Reply:
    return said(request) if request.is_image else answer("no_movement")


def built(work: Path, server: CaptionServer, **settings: Any) -> BuildResult:
    asks = GPT4oCaptioner(base_url=server.url, **settings)
    stages = (Written(), AddImages(), asks, RefusalFilter(), CaptionAudit(asks))
    return build(ClipSource(4, work), stages, workdir=work)


def captions(result: BuildResult) -> dict[str, str]:
    return {
        row["id"]: row["caption"]
        for config in result.dataset.values()
        for rows in config.values()
        for row in rows.remove_columns([c for c in ("video", "image") if c in rows.column_names])
    }


def edited_file(work: Path, file: Path, changes: dict[str, dict[str, str]]) -> Path:
    """Export, change cells of some rows as a spreadsheet would, and return the file."""
    export_captions(work, file)
    with file.open(encoding="utf-8-sig", newline="") as stream:
        rows = list(csv.DictReader(stream))
    with file.open("w", encoding="utf-8-sig", newline="") as stream:
        writer = csv.DictWriter(stream, rows[0].keys())
        writer.writeheader()
        writer.writerows(row | changes.get(row["id"], {}) for row in rows)
    return file


def test_edits_are_applied_for_free_and_outlive_a_new_prompt(
    server: CaptionServer, work: Path, tmp_path: Path
) -> None:
    before = {row.id: row.caption for row in list_captions(work)}
    first, second, third, _ = CLIPS
    changes = {
        first: {"caption": MINE},
        second: {"reject": "yes", "note": "too dark"},
        third: {"note": "look again"},
    }
    edits = import_captions(work, edited_file(work, tmp_path / "c.csv", changes))
    assert {e.item: (e.caption, e.reject, e.note) for e in edits} == {
        first: (MINE, False, ""),
        second: (None, True, "too dark"),
        third: (None, False, "look again"),
    }
    asked = len(server.requests)
    result = built(work, server)
    assert len(server.requests) == asked
    assert captions(result) == {k: v for k, v in before.items() if k != second} | {first: MINE}
    (out,) = (r for r in result.item_results if r.reason == "rejected by hand")
    assert out.item == second and out.message.endswith("by hand: too dark")

    result = built(work, server, prompt="general")  # every other caption is asked again
    assert len(server.requests) == asked + 8 - 2
    assert captions(result)[first] == MINE and second not in captions(result)
    rows = {row.id: row for row in list_captions(work)}
    assert rows[first].model == EDITED_BY_HAND and rows[second].reject
    assert rows[third].note == "look again"


def test_what_the_model_gave_up_on_can_be_captioned(server: CaptionServer, tmp_path: Path) -> None:
    work = tmp_path / "w"
    server.script = no_clip_moves
    assert not [id for id in captions(built(work, server)) if id in CLIPS]
    (row, *_) = (row for row in list_captions(work) if row.id == CLIPS[1])
    assert (row.caption, row.status, row.reject) == ("", "no_movement", False)
    save_reviews(work, [replace(row, caption="The video shows a sad dog. I'm sorry.")])
    asked = len(server.requests)
    result = built(work, server)
    assert captions(result)[CLIPS[1]] == "The video shows a sad dog. I'm sorry."  # theirs to say
    assert len(server.requests) == asked
    card = dataset_card(find_dataset(work), "me/films", media="none", sizes={}).text
    assert "| edited by hand | 100.0 % |" in card
    assert delete_edits(work, [CLIPS[1]]) == 1
    assert CLIPS[1] not in captions(built(work, server))
    assert len(server.requests) == asked


def test_edits_caption_a_build_without_a_captioner(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stages = (Written(), AddImages())
    build(ClipSource(2, tmp_path), stages, workdir=tmp_path)
    mine, gone = CaptionEdit(item=CLIPS[0], caption=MINE), CaptionEdit(item=CLIPS[1], reject=True)
    save_edits(tmp_path, [mine, gone, CaptionEdit(item="moved", caption=MINE)])
    result = build(ClipSource(2, tmp_path), stages, workdir=tmp_path)
    assert {k: v for k, v in captions(result).items() if k in CLIPS} == {CLIPS[0]: MINE}
    assert Counter(r.status for r in result.item_results)["rejected"] == 1
    assert "edits by hand without a clip or image: moved\n" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "where"),
    [
        ("id,caption\nnobody,A dog.\n", "line 2: id='nobody' is not in this folder"),
        (f"id,caption\n{CLIPS[0]},\n", "line 2: .*caption is empty, but status is 'described'"),
        (f"id,caption\n{CLIPS[0]},{'a ' * 10_001}\n", "line 2: .*of 20,00. characters: 20,000 are"),
        (f"id,status\n{CLIPS[0]},fine\n", "line 2: .*status='fine' is none of described, "),
        (f"id,reject\n{CLIPS[0]},maybe\n", "line 2: reject='maybe' is neither yes nor no"),
        (f"id,note\n{CLIPS[0]},a\n{CLIPS[0]},b\n", "line 3: .* is already in line 2"),
        ("name,caption\nx,y\n", "needs the columns 'id' and one of caption, status, reject, note"),
        ("id,caption\nx\n", "line 2: 1 fields, but the header has 2"),
    ],
)
def test_a_wrong_row_says_its_line_and_nothing_is_stored(
    original: Path, tmp_path: Path, content: str, where: str
) -> None:
    (tmp_path / "c.csv").write_text(f"{content.rstrip()}\n")
    with pytest.raises(UsageError, match=where):
        import_captions(original, tmp_path / "c.csv")
    assert read_edits(original) == {}


def test_an_unchanged_file_is_no_edit_and_jsonl_does_as_well(work: Path, tmp_path: Path) -> None:
    for name in ("c.csv", "c.jsonl"):
        assert export_captions(work, tmp_path / name) == 8
        assert import_captions(work, tmp_path / name) == []
    lines = (tmp_path / "c.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    image = next(row for row in rows if "-f" in row["id"])
    image["caption"] = MINE
    (tmp_path / "c.jsonl").write_text("\n".join(map(json.dumps, rows)))
    assert [e.item for e in import_captions(work, tmp_path / "c.jsonl")] == [image["id"]]
    assert import_captions(work, tmp_path / "c.jsonl") == []  # once is enough
    with pytest.raises(UsageError, match=r"give a \.csv or \.jsonl file"):
        export_captions(work, tmp_path / "c.xlsx")


def test_what_a_row_of_jsonl_leaves_out_stays_as_it_is(work: Path, tmp_path: Path) -> None:
    first, second, *_ = before = list_captions(work)
    file = tmp_path / "part.jsonl"
    rows = {"id": first.id, "reject": True, "note": None}, {"id": second.id, "caption": MINE}
    file.write_text("\n".join(map(json.dumps, rows)))
    import_captions(work, file)
    rejected, captioned, *_ = list_captions(work)
    assert (rejected.caption, rejected.reject, captioned.caption) == (first.caption, True, MINE)
    file.write_text("\n".join(map(json.dumps, [rows[1] | {"id": first.id}, rows[0]])))
    with pytest.raises(UsageError, match="line 2"):  # one row for each clip
        import_captions(work, file)
    file.write_text(json.dumps({"id": first.id, "reject": False}))
    import_captions(work, file)
    assert list_captions(work)[0].caption == before[0].caption


def test_edits_are_merged_newest_first_and_removed_on_request(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    for work in (one, two):
        Ledger(work).__exit__(None, None, None)
    save_edits(one, [CaptionEdit(item="a", caption="old", at=1), CaptionEdit(item="b", at=1)])
    save_edits(two, [CaptionEdit(item="a", caption="new", at=2)])
    assert merge_edits(one, two) == 1
    assert {k: e.caption for k, e in read_edits(two).items()} == {"a": "new", "b": None}
    assert merge_edits(two, one) == 1
    assert read_edits(one) == read_edits(two)
    with Ledger(two) as ledger:
        with pytest.raises(WorkdirBusy):
            save_edits(two, [CaptionEdit(item="c", at=1)])
        ledger.delete(lambda name: name == "a", [], [])
    assert list(read_edits(two)) == ["b"]
    with pytest.raises(UsageError, match=r"has no ledger\.sqlite"):
        save_edits(tmp_path / "none", [])


def test_the_command_line_exports_imports_and_reverts(work: Path, tmp_path: Path) -> None:
    file = tmp_path / "c.csv"

    def run(*words: object) -> str:
        result = CliRunner().invoke(app, ["captions", *map(str, words)], catch_exceptions=False)
        assert result.exit_code == 0
        return result.stdout

    assert run("export", work, "--to", file) == f"8 captions: {file}\n"
    edited_file(work, file, {CLIPS[0]: {"caption": MINE}, CLIPS[1]: {"reject": "x"}})
    assert run("import", work, "--from", file).startswith("2 edits, 1 rejection among them\n")
    assert run("revert", work, CLIPS[0], CLIPS[2]) == "1 edit reverted\n"
    assert list(read_edits(work)) == [CLIPS[1]]
