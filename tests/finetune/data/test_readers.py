"""Datasets as people keep them are read: tables, folders, tars, and what is wrong is named."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import tarfile
from collections.abc import Callable, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from huggingface_hub import HfApi
from PIL import Image

from finetune.data.index import Index, build_index
from finetune.data.row_media import read_media
from finetune.errors import DataError
from tests.kit.servers.hub import HubServer
from tests.kit.toy_clips import encoded

CLIPS = {"a.mp4": ("a red car", encoded(0, 5, 48, 64)), "b.mp4": ("a boat", encoded(1, 3, 64, 48))}
"""Names, captions and bytes of two clips."""
MEASURED = [("a red car", 5, 48, 64, Fraction(24)), ("a boat", 3, 64, 48, Fraction(24))]


def write_clips(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, (_, media) in CLIPS.items():
        (folder / name).write_bytes(media)


def write_csv(file: Path, path: str, caption: str) -> None:
    with file.open("w", newline="", encoding="utf-8-sig") as stream:  # as a spreadsheet writes it
        writer = csv.writer(stream)
        writer.writerows([(path, caption), *((n, text) for n, (text, _) in CLIPS.items())])


def video_caption_parquet(folder: Path) -> None:
    rows = [{"video": {"bytes": m, "path": n}, "caption": t} for n, (t, m) in CLIPS.items()]
    pq.write_table(pa.Table.from_pylist(rows), folder / "train-00000.parquet")


def text_parquet_of_bytes(folder: Path) -> None:
    rows = [{"video": media, "text": text} for text, media in CLIPS.values()]
    pq.write_table(pa.Table.from_pylist(rows), folder / "data.parquet")


def text_parquet_of_paths(folder: Path) -> None:
    write_clips(folder / "data" / "films")
    rows = [{"video": f"films/{name}", "text": text} for name, (text, _) in CLIPS.items()]
    pq.write_table(pa.Table.from_pylist(rows), folder / "data" / "data.parquet")


def metadata_csv(folder: Path) -> None:
    write_clips(folder / "train")
    write_csv(folder / "train" / "metadata.csv", "file_name", "text")


def metadata_jsonl(folder: Path) -> None:
    write_clips(folder)
    lines = [json.dumps({"video_path": n, "caption": t}) for n, (t, _) in CLIPS.items()]
    (folder / "metadata.jsonl").write_text("\n".join(lines))


def metadata_json(folder: Path) -> None:
    write_clips(folder / "videos")
    rows = [{"path": f"videos/{n}", "cap": t} for n, (t, _) in CLIPS.items()]
    (folder / "metadata.json").write_text(json.dumps(rows))


def pairs(folder: Path) -> None:
    write_clips(folder)
    for name, (text, _) in CLIPS.items():
        (folder / name).with_suffix(".txt").write_bytes(b"\xef\xbb\xbf" + text.encode() + b"\n")


def web_dataset(folder: Path) -> None:
    for number, (name, (text, media)) in enumerate(CLIPS.items()):
        with tarfile.open(folder / f"{number:05d}.tar", "w", format=tarfile.PAX_FORMAT) as tar:
            key = f"{'k' * 120}/{number}"  # too long for a plain header
            described = json.dumps({"caption": "of the original", "width": 9}).encode()
            members = {"json": described, "mp4": media, "txt": text.encode()}
            for suffix, content in members.items():
                member = tarfile.TarInfo(f"{key}.{suffix}")
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
        assert name


@pytest.mark.parametrize(
    "write",
    [
        video_caption_parquet,
        text_parquet_of_bytes,
        text_parquet_of_paths,
        metadata_csv,
        metadata_jsonl,
        metadata_json,
        pairs,
        web_dataset,
    ],
)
def test_datasets_of_every_convention_are_read(
    write: Callable[[Path], None], tmp_path: Path
) -> None:
    folder = tmp_path / "set"
    folder.mkdir()
    write(folder)
    index = build_index(str(folder), tmp_path / "index")
    rows = [index.row(number) for number in range(len(index))]
    assert [(r.caption, r.frames, r.height, r.width, r.fps) for r in rows] == MEASURED
    assert [read_media(row) for row in rows] == [media for _, media in CLIPS.values()]


@pytest.mark.parametrize(
    "write", [text_parquet_of_paths, metadata_csv, metadata_jsonl, pairs, web_dataset]
)
def test_datasets_of_every_convention_are_read_from_the_hub(
    write: Callable[[Path], None], tmp_path: Path, hub: HubServer
) -> None:
    folder = tmp_path / "set"
    folder.mkdir()
    write(folder)
    (folder / "notes.pdf").write_bytes(b"not of the dataset")
    HfApi().create_repo("maker/clips", repo_type="dataset")
    HfApi().upload_folder(repo_id="maker/clips", repo_type="dataset", folder_path=folder)
    hub.requests.clear()
    index = build_index("maker/clips", tmp_path / "index")
    rows = [index.row(number) for number in range(len(index))]
    assert [(r.caption, r.frames, r.height, r.width, r.fps) for r in rows] == MEASURED
    assert [read_media(row) for row in rows] == [media for _, media in CLIPS.values()]
    assert not [request for request in hub.requests if "notes.pdf" in request]


def test_a_dataset_that_is_not_on_the_hub_is_named(tmp_path: Path, hub: HubServer) -> None:
    with pytest.raises(DataError, match=r"'maker/none' is no folder here and could not be down"):
        build_index("maker/none", tmp_path / "index")
    HfApi().create_repo("maker/empty", repo_type="dataset")
    with pytest.raises(DataError, match=r"no parquet file of a training split .*nor another"):
        build_index("maker/empty", tmp_path / "index")


def test_a_dataset_of_images_alone_is_read(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    folder.mkdir()
    for number in (0, 1):
        Image.new("RGB", (64, 48), (number, 0, 0)).save(folder / f"{number}.PNG")
        (folder / f"{number}.txt").write_text(f"plate {number}")
    index = build_index(str(folder), tmp_path / "index")
    rows = [index.row(number) for number in range(len(index))]
    assert [(r.caption, r.frames, r.height, r.width) for r in rows] == [
        ("plate 0", 1, 48, 64),
        ("plate 1", 1, 48, 64),
    ]


def test_a_table_beside_the_clips_may_name_them_from_the_home_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    write_clips(tmp_path / "films")
    (tmp_path / "films" / "set.csv").write_text("path,text\n~/films/a.mp4,a red car\n")
    assert len(build_index("~/films/set.csv", tmp_path / "index")) == 1


def parquet_rows(folder: Path, **changed: Any) -> None:
    media = CLIPS["a.mp4"][1]
    good = {
        "sha256": hashlib.sha256(media).hexdigest(),
        "video": {"bytes": media, "path": None},
        "caption": "a red car",
        "num_frames": 5,
        **{"fps_num": 24, "fps_den": 1, "height": 48, "width": 64},
    }
    folder.mkdir()
    pq.write_table(pa.Table.from_pylist([{**good, **changed}]), folder / "train.parquet")
    build_index(str(folder), folder / "index")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"sha256": "0" * 32}, r"its sha256 '0{32}' has 32 digits, not 64 .*leave the column out"),
        ({"caption": ["a", "b"]}, r"its caption is a list, \['a', 'b'\]: write one text"),
        ({"height": -1}, r"height is -1: correct it"),
        ({"num_frames": 2**33}, r"num_frames is 8589934592: correct it"),
    ],
)
def test_a_row_with_a_wrong_value_is_named_with_its_remedy(
    changed: Mapping[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=rf"row 0 of row group 0 of .*train\.parquet: {message}"):
        parquet_rows(tmp_path / "set", **changed)


def test_a_caption_of_200_000_characters_is_read(tmp_path: Path) -> None:
    write_clips(tmp_path)
    (tmp_path / "set.csv").write_text(f"path,text\na.mp4,{'brick ' * 34_000}\n")
    assert len(build_index(str(tmp_path / "set.csv"), tmp_path / "index").row(0).caption) == 204_000


def test_columns_that_are_missing_name_those_that_are_read(tmp_path: Path) -> None:
    (tmp_path / "set.csv").write_text("clip,words\na.mp4,a red car\n")
    with pytest.raises(DataError, match=r"lacks the column\(s\) path, text: name the media's"):
        build_index(str(tmp_path / "set.csv"), tmp_path / "index")


def in_table(folder: Path, text: str, name: str = "metadata.csv", encoding: str = "utf-8") -> Index:
    write_clips(folder)
    (folder / name).write_text(text, encoding=encoding)
    return build_index(str(folder), folder / "index")


def test_a_caption_with_commas_but_no_quotes_is_not_cut(tmp_path: Path) -> None:
    text = "path,text\na.mp4,a red car, on a road\nb.mp4,a boat,,\n"
    index = in_table(tmp_path, text)
    assert (len(index), index.unreadable, index.row(0).caption) == (1, 1, "a boat")
    with pytest.raises(DataError, match=r"' on a road' is in no column: put quotes.*, line 2 of"):
        in_table(tmp_path, "path,text\na.mp4,a red car, on a road\n")


def test_line_ends_of_unicode_in_a_caption_end_no_line(tmp_path: Path) -> None:
    caption = "a car\u2028on\x85a road"
    line = json.dumps({"path": "a.mp4", "text": caption}, ensure_ascii=False)
    assert in_table(tmp_path, line, "metadata.jsonl").row(0).caption == caption


def test_an_emoji_cut_in_two_is_named(tmp_path: Path) -> None:
    line = '{"path": "a.mp4", "text": "a car \\ud83d"}\n'
    with pytest.raises(DataError, match=r"caption 'a car \\ud83d' has half a character"):
        in_table(tmp_path, line, "metadata.jsonl")


@pytest.mark.parametrize("rate", ["24,1,", "24.0,1,", ",,24", ",,24/1"])
def test_rates_in_a_csv_are_read(rate: str, tmp_path: Path) -> None:
    header = "path,text,num_frames,height,width,fps_num,fps_den,fps"
    index = in_table(tmp_path, f"{header}\na.mp4,a car,5,48,64,{rate}\n")
    assert index.row(0).fps == 24


@pytest.mark.parametrize("rate", ["24,0,", "-24,1,", ",,-24", ",,1e300", ",,inf"])
def test_a_rate_that_is_none_is_named(rate: str, tmp_path: Path) -> None:
    header = "path,text,num_frames,height,width,fps_num,fps_den,fps"
    with pytest.raises(DataError, match=r"none of 1 rows can be read.*, line 2 of"):
        in_table(tmp_path, f"{header}\na.mp4,a car,5,48,64,{rate}\n")


def test_two_tables_of_one_folder_are_not_both_read(tmp_path: Path) -> None:
    in_table(tmp_path, "path,text\na.mp4,a car\n")
    with pytest.raises(DataError, match=r"has both metadata\.csv and metadata\.jsonl: name"):
        in_table(tmp_path, '{"path": "a.mp4", "text": "a car"}\n', "metadata.jsonl")


def test_a_json_without_a_list_of_rows_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has '3' in the place of a row"):
        in_table(tmp_path, "3", "metadata.json")


def test_a_table_in_utf_16_names_its_encoding(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="iconv -f utf-16 -t utf-8"):
        in_table(tmp_path, "path,text\na.mp4,a car\n", encoding="utf-16")


def test_a_clip_called_test_is_read_and_a_folder_is_not(tmp_path: Path) -> None:
    for name in ("test-drive.mp4", "test/a.mp4", "test-set/a.mp4"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(CLIPS["a.mp4"][1])
        (tmp_path / name).with_suffix(".txt").write_text(name)
    index = build_index(str(tmp_path), tmp_path / "index")
    assert [index.row(number).caption for number in range(len(index))] == ["test-drive.mp4"]


def write_tar(file: Path, *members: tuple[str, bytes], mode: Any = "w") -> bytes:
    with tarfile.open(file, mode) as tar:
        for name, content in members:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return file.read_bytes()


CAR, BOAT = (
    [(f"{key}.mp4", CLIPS[f"{key}.mp4"][1]), (f"{key}.txt", CLIPS[f"{key}.mp4"][0].encode())]
    for key in "ab"
)
"""The members of two samples of a WebDataset."""


def test_a_tar_is_not_read_up_to_a_damaged_header(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "0.tar"
    whole = write_tar(file, *CAR, *BOAT)
    with tarfile.open(file) as tar:
        second = tar.getmember("b.mp4").offset
    for damaged in (whole[: second + 9] + b"?" + whole[second + 10 :], whole[: second + 100]):
        file.write_bytes(damaged)
        with pytest.raises(DataError, match=rf"cannot be read \(no header at byte {second:,}\)"):
            build_index(str(file), tmp_path / "index")
    file.write_bytes(whole[:second])
    assert len(build_index(str(file), tmp_path / "index")) == 1
    assert "0.tar has no mark of its end: it may have been cut short" in caplog.text
    write_tar(file, *CAR, mode="w:gz")
    with pytest.raises(DataError, match=r"0\.tar cannot be read"):
        build_index(str(file), tmp_path / "index")


def test_a_tar_with_posters_and_odd_json_is_read(tmp_path: Path) -> None:
    poster = io.BytesIO()
    Image.new("RGB", (64, 48)).save(poster, "PNG")
    write_tar(tmp_path / "0.tar", *CAR, ("a.png", poster.getvalue()), ("b.json", b"[1]"), BOAT[0])
    index = build_index(str(tmp_path), tmp_path / "index")
    assert (len(index), index.unreadable, index.row(0).frames) == (1, 1, 5)
