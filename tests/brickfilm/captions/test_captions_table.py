"""Captions from CSV, JSONL and Parquet: by id, by video and time, by file name."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from brickfilm import FolderSource
from brickfilm.build.caption_options import CaptionOptions
from brickfilm.build.recipe import default_recipe
from brickfilm.captions.caption_files import read_captions, read_rows
from brickfilm.captions.caption_table import CaptionTable
from brickfilm.errors import UsageError
from brickfilm.records import Span
from brickfilm.stages import SidecarCaptioner
from tests.kit.captions import AddImages, ClipSource, clip, image, run_captions

CLIP, OTHER = (clip(n, Path("/nonexistent"), at=()).id for n in range(2))


def captions(work: Path, table: Path, count: int = 2) -> dict[str, str]:
    stages = AddImages(), SidecarCaptioner(table=table)
    run = run_captions(work, ClipSource(count, work), *stages)
    return {item.id: item.caption.text for item in run.finished}


def written(folder: Path, rows: list[dict[str, object]], suffix: str) -> Path:
    file, frame = folder / f"table{suffix}", pd.DataFrame(rows)
    match suffix:
        case ".csv":
            frame.to_csv(file, index=False)
        case ".jsonl":
            file.write_text("".join(json.dumps(row) + "\n" for row in rows))
        case _:
            frame.to_parquet(file)
    return file


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_captions_by_id(tmp_path: Path, suffix: str) -> None:
    rows = [
        {"id": CLIP, "caption": "A red car\nstops, and waits."},
        {"id": f"{CLIP}-f000020", "caption": "A red car."},
        {"id": OTHER, "caption": "A dog runs."},
    ]
    got = captions(tmp_path, written(tmp_path, rows, suffix))
    assert got == {
        CLIP: "A red car stops, and waits.",
        f"{CLIP}-f000020": "A red car.",
        OTHER: "A dog runs.",
        f"{OTHER}-f000020": "A dog runs.",  # no row of its own: its clip's
    }


def test_captions_by_video_and_time_and_by_file_name(tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [
        {"video": "film0.mp4", "start": 0, "end": 1.5, "text": "A car stops."},
        {"video": "film0.mp4", "start": 1.5, "end": 4, "text": "A dog runs."},
        {"video": "film1", "start": None, "end": None, "text": "A cat sleeps."},
    ]
    got = captions(tmp_path, written(tmp_path, rows, ".csv"))
    assert got == {
        CLIP: "A car stops. A dog runs.",
        f"{CLIP}-f000020": "A dog runs.",
        OTHER: "A cat sleeps.",
        f"{OTHER}-f000020": "A cat sleeps.",
    }
    rows = [{"file_name": f"data/{CLIP}-0123abcd.mp4", "text": "A car stops."}]
    assert captions(tmp_path / "w", written(tmp_path, rows, ".jsonl"), 1)[CLIP] == "A car stops."


def test_only_the_rows_that_changed_are_read_again(tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [{"id": CLIP, "caption": "A."}, {"id": OTHER, "caption": "B."}]
    stage = SidecarCaptioner(table=written(tmp_path, rows, ".csv"))
    items = [replace(clip(n, tmp_path), caption=None) for n in range(2)]
    before = [stage.key(item) for item in items]
    rows[1]["caption"] = "C is longer."
    written(tmp_path, rows, ".csv")
    assert [stage.key(item) == key for item, key in zip(items, before, strict=True)] == [
        True,
        False,
    ]


@pytest.mark.parametrize(
    ("name", "content", "where"),
    [
        ("t.csv", "id,caption\na,b,c\n", "line 2: 3 fields, but the header has 2"),
        ("t.csv", 'id,caption\na,"b\n', "line 2: unexpected end of data"),
        ("t.csv", "id,words\na,b\n", "no column 'caption' or 'text': rename one of id, words"),
        ("t.csv", "id,caption\n,b\n", "line 2: it names no clip and no video: fill one of id,"),
        ("t.csv", "id,caption\na,b\n\na,c\n", "line 4: 'a' has another caption in line 2"),
        ("t.csv", "video,start,end,text\nv,x,2,b\n", "line 2: start='x' is no number of seconds"),
        ("t.csv", "video,start,end,text\nv,-1,2,b\n", "line 2: start='-1' is no number"),
        ("t.csv", "video,start,end,text\nv,0,nan,b\n", "line 2: end='nan' is no number"),
        ("t.csv", "video,start,end,text\nv,3,2,b\n", "line 2: end=2 is before start=3"),
        ("t.csv", "video,start,end,text\nv,,2,b\n", "line 2: start is empty"),
        ("t.jsonl", '{"id": "a", "caption": "b"}\n{"id"\n', "line 2: no JSON"),
        ("t.jsonl", "[1]\n", "line 1: a JSON object was expected"),
        ("t.jsonl", '{"id": "a", "caption": ["b"]}\n', "line 1: caption is a list or an object"),
        ("t.csv", "id,caption,caption\na,b,c\n", "two columns 'caption': rename one"),
        ("t.parquet", "PAR", "cannot be read"),
        ("t.xlsx", "PK", r"give a \.csv, \.jsonl or \.parquet file"),
    ],
)
def test_a_malformed_table_says_line_and_field_before_anything_runs(
    tmp_path: Path, name: str, content: str, where: str
) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(UsageError, match=where):
        SidecarCaptioner(table=tmp_path / name).check()
    with pytest.raises(UsageError, match=r"missing\.csv' cannot be read"):
        SidecarCaptioner(table=tmp_path / "missing.csv").check()


def test_a_table_can_be_named_at_the_command_line() -> None:
    recipe = default_recipe(FolderSource("films"), CaptionOptions(captions="sidecar:a/t.csv"))
    (stage,) = (s for s in recipe.stages if isinstance(s, SidecarCaptioner))
    assert stage.table == "a/t.csv"
    with pytest.raises(UsageError, match="is not known"):
        default_recipe(FolderSource("films"), CaptionOptions(captions="none:a/t.csv"))


def test_spreadsheets_of_other_countries_are_read(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("id;caption\n0123;Ein Auto, rot\n", encoding="utf-8-sig")
    (row,) = read_rows(tmp_path / "t.csv")
    assert row.cells == {"id": "0123", "caption": "Ein Auto, rot"}
    (tmp_path / "t.csv").write_bytes("id,caption\n1,Stra\xdfe\n".encode("latin-1"))
    with pytest.raises(UsageError, match="is not UTF-8: save it as 'CSV UTF-8'"):
        read_rows(tmp_path / "t.csv")


def test_captions_that_look_like_missing_values_are_captions(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("caption\nNA\nNone\n\n007\n")
    assert read_captions(tmp_path / "t.csv") == ["NA", "None", "007"]


def test_a_table_of_many_videos_is_searched_by_time(tmp_path: Path) -> None:
    lines = [f"film{n},{s},{s + 1},Line {s}." for n in range(10) for s in range(2000)]
    (tmp_path / "t.csv").write_text("video,start,end,text\n" + "\n".join(lines) + "\n")
    table = CaptionTable.read(tmp_path / "t.csv")
    item = clip(7, tmp_path)
    later = replace(item, span=Span(start_frame=0, end_frame=20, start_pts=15_000, end_pts=15_020))
    assert table.text_for(later) == "Line 1500. Line 1501."
    assert table.text_for(image(item)) == "Line 2."
