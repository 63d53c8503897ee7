"""Datasets on the Hub as sources, by the real clients against a local Hub."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from brickfilm.build.build_dataset import build
from brickfilm.cli import app
from brickfilm.dataset.reader import find_dataset
from brickfilm.errors import Failed, UsageError
from brickfilm.records import GivenSpan, Listing
from brickfilm.schema.columns import COLUMN_TYPES
from brickfilm.schema.hub_errors import HubError
from brickfilm.sources import HubSource
from brickfilm.sources.remote import web_file
from brickfilm.stages import SceneSplitter
from tests.kit.embedded_videos import push_embedded
from tests.kit.footage import film_bytes
from tests.kit.servers.hub import HubServer
from tests.kit.tars import tar_bytes

FILMS = [film_bytes(n, frames=20) for n in range(3)]


def upload(files: Mapping[str, bytes]) -> None:
    from huggingface_hub import CommitOperationAdd, HfApi

    api = HfApi()
    api.create_repo("maker/set", repo_type="dataset", exist_ok=True)
    adds = [CommitOperationAdd(path, body) for path, body in files.items()]
    api.create_commit("maker/set", adds, commit_message="files", repo_type="dataset")


def hub_source(repo: str, video: str = "video", **settings: Any) -> HubSource:
    """Return the source; the local Hub sends files from another private host."""
    return HubSource(repo, video, allow_private=True, **settings)


def listings(source: HubSource) -> list[Listing]:
    return [item for item in source.items() if isinstance(item, Listing)]


def fetched(source: HubSource, work: Path) -> list[bytes]:
    (stage,) = source.stages()
    with stage.open(work) as compute:
        return [(work / compute(v)["film"]["path"]).read_bytes() for v in listings(source)]


def test_bytes_in_a_column_are_read_row_by_row(tmp_path: Path, hub: HubServer) -> None:
    push_embedded(FILMS, text=["an ant", "a bee", ""], license=["mit", "", ""])
    hub.requests.clear()
    source = hub_source("maker/set", licence="cc0-1.0")
    ant, bee, cat = listings(source)
    (parquet,) = [path for path in hub.files("maker/set") if path.endswith(".parquet")]
    assert ant.source_id.startswith(f"maker/set/{parquet}@")
    assert [v.source_id.partition("#")[2] for v in (ant, bee, cat)] == ["0", "1", "2"]
    assert (ant.spans, ant.licence) == ((GivenSpan(caption="an ant"),), "mit")
    assert (bee.spans, bee.licence) == ((GivenSpan(caption="a bee"),), "cc0-1.0")
    assert (cat.spans, cat.uploader) == ((), "maker")
    assert ant.url.startswith(f"{hub.url}/datasets/maker/set/resolve/")
    assert fetched(source, tmp_path) == FILMS


@pytest.mark.slow
def test_a_build_of_a_dataset_keeps_captions_and_splits_apart(
    tmp_path: Path, hub: HubServer
) -> None:
    push_embedded(FILMS, "test", caption=["an ant", "a bee", "a cat"])
    push_embedded(FILMS, "validation", caption=["1", "2", "3"])
    with pytest.raises(UsageError, match=r"no split 'train': name one of .*test.*validation"):
        listings(hub_source("maker/set"))
    command = [
        "build",
        "hub:maker/set",
        "--split",
        "test",
        "--allow-private",
        "--out",
        str(tmp_path),
    ]
    assert app(command, standalone_mode=False) == 0
    clips = find_dataset(tmp_path).to_pandas("clips")
    assert sorted(clips.caption) == ["a bee", "a cat", "an ant"]
    assert set(clips.num_frames) == {20}
    hub.requests.clear()
    assert app(command, standalone_mode=False) == 0
    videos = [r for r in hub.requests if "/resolve/" in r and r.endswith(".parquet")]
    assert len(videos) <= 8  # the list again, no video


def test_files_with_metadata(tmp_path: Path, hub: HubServer) -> None:
    metadata = "file_name,text,start,end\na.mp4,one,0,0.5\na.mp4,two,0.5,0.8\nb.mp4,bee,,\n"
    files = {"data/a.mp4": FILMS[0], "data/b.mp4": FILMS[1], "data/c.mp4": FILMS[2]}
    upload({**files, "data/metadata.csv": metadata.encode()})
    source = hub_source("maker/set")
    a, b, c = listings(source)
    assert [s.caption for s in a.spans] == ["one", "two"]
    assert (b.spans, c.spans) == ((GivenSpan(caption="bee"),), ())
    assert a.source_id == "maker/set/data/a.mp4"
    assert a.bytes == len(FILMS[0]) and a.version
    assert fetched(source, tmp_path) == FILMS
    upload({"data/a.mp4": FILMS[2]})
    assert listings(hub_source("maker/set"))[0].version != a.version


def test_paths_in_a_table(tmp_path: Path, hub: HubServer) -> None:
    rows = '{"clip": "media/a.mp4", "text": "x"}\n{"clip": "media/b.mp4", "text": "y"}\n'
    upload({"table.jsonl": rows.encode()})
    upload({"media/a.mp4": FILMS[0], "media/b.mp4": FILMS[1]})
    card = b"---\nconfigs:\n- config_name: default\n  data_files: table.jsonl\n---\n"
    upload({"README.md": card})
    source = hub_source("maker/set", video="clip", caption="text")
    assert fetched(source, tmp_path) == FILMS[:2]
    with pytest.raises(UsageError, match=r"table.jsonl has no column 'video', but clip, text"):
        listings(hub_source("maker/set"))
    with pytest.raises(UsageError, match="no column 'words' for caption"):
        listings(hub_source("maker/set", "clip", caption="words"))


def parquet_of(**columns: Any) -> bytes:
    body = io.BytesIO()
    pq.write_table(pa.table(columns), body)
    return body.getvalue()


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"video": ["elsewhere/x.mp4"]}, "row 0: there is no file 'elsewhere/x.mp4'"),
        ({"video": [{"path": "x.mp4"}]}, "row 0: there is no file 'x.mp4'"),
        ({"video": [1]}, "column 'video' of maker/set/t.parquet holds int64"),
        ({"video": [["x.mp4"]]}, "column 'video' of maker/set/t.parquet holds list<"),
        ({"video": [{"uri": "x.mp4"}]}, "column 'video' of maker/set/t.parquet holds struct<"),
        ({"video": [b"x"], "caption": [["a", "b"]]}, "column 'caption' holds list<.*--column capt"),
    ],
)
def test_columns_of_other_types_are_named(
    hub: HubServer, columns: dict[str, Any], message: str
) -> None:
    upload({"t.parquet": parquet_of(**columns)})
    with pytest.raises(UsageError, match=message):
        listings(hub_source("maker/set"))


def test_a_file_that_only_the_metadata_have_fails(hub: HubServer) -> None:
    upload({"a.mp4": FILMS[0], "metadata.csv": b"file_name,text\na.mp4,x\nb.mp4,y\n"})
    a, b = hub_source("maker/set").items()
    assert isinstance(a, Listing) and a.spans == (GivenSpan(caption="x"),)
    assert isinstance(b, Failed) and (b.reason, str(b)[:15]) == ("dead link", "maker/set/b.mp4")


def test_tars_of_a_repository(tmp_path: Path, hub: HubServer) -> None:
    samples = {"x.mp4": FILMS[0], "x.json": b'{"caption": "ex"}', "y.mp4": FILMS[1]}
    upload({"train-000.tar": tar_bytes(samples)})
    source = hub_source("maker/set")
    x, y = listings(source)
    assert (x.source_id, x.spans) == ("maker/set/train-000.tar#x.mp4", (GivenSpan(caption="ex"),))
    assert y.spans == ()
    assert fetched(source, tmp_path) == FILMS[:2]


@pytest.mark.parametrize("files", [{"a.txt": b"text"}, {"a.csv": b"n,text\n1,x\n"}, {}])
def test_a_dataset_without_videos_is_named(hub: HubServer, files: dict[str, bytes]) -> None:
    upload({"README.md": b"# set\n", **files})
    with pytest.raises(UsageError, match="maker/set"):
        listings(hub_source("maker/set"))


def test_who_may_not_read_is_told_what_to_do(
    tmp_path: Path, hub: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload({"a.mp4": FILMS[0], "b.mp4": FILMS[1]})
    hub.repo("maker/set").gated = "manual"
    hub.token("hf_guest", "guest", "read")
    for token in ("hf_guest", None):
        if token:
            monkeypatch.setenv("HF_TOKEN", token)
        else:
            monkeypatch.delenv("HF_TOKEN")
        with pytest.raises((UsageError, HubError), match=r"gated|may not read"):
            listings(hub_source("maker/set"))
    hub.repo("maker/set").readers.add("guest")
    source = hub_source("maker/set", token="hf_guest")
    assert fetched(source, tmp_path) == FILMS[:2]
    assert "hf_guest" not in repr(source) + repr(source.stages())
    with pytest.raises((UsageError, HubError), match="does not exist"):
        listings(hub_source("maker/gone", token="hf_guest"))


def test_an_interrupted_download_is_resumed(
    tmp_path: Path, hub: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web_file, "PAUSES", ())
    big = film_bytes(7, width=320, height=240, frames=60, crf=1)
    upload({"a.mp4": big})
    source = hub_source("maker/set")
    hub.cut("GET /cdn", after=1_500_000)
    with pytest.raises(Failed, match="ended early"):
        fetched(source, tmp_path)
    (part,) = (tmp_path / "sources").glob("*.part")
    kept = part.stat().st_size
    assert 0 < kept < len(big)
    assert fetched(source, tmp_path) == [big]
    assert sorted(p.suffix for p in (tmp_path / "sources").iterdir()) == [".json", ".mp4"]


@pytest.mark.slow
def test_the_build_takes_shots_where_captions_are_left_out(tmp_path: Path, hub: HubServer) -> None:
    push_embedded(FILMS, caption=["a", "b", "c"])
    source = hub_source("maker/set", caption="", keep_sources=False)
    result = build(source, [SceneSplitter(min_frames=5)], workdir=tmp_path)
    statuses = {s for t in result.dataset["clips"].values() for s in t["caption_status"]}
    assert statuses == {"not captioned"}
    assert not list((tmp_path / "sources").glob("*.mp4"))


def test_times_of_a_published_build_are_those_of_the_source_video(hub: HubServer) -> None:
    row: dict[str, list[Any]] = {name: [""] for name in COLUMN_TYPES["clips"]}
    row |= {"caption": ["an ant"], "start": [1.5], "end": [2.0]}
    upload({"t.parquet": parquet_of(**row | {"video": [FILMS[0]]})})
    (clip,) = listings(hub_source("maker/set"))
    assert clip.spans == (GivenSpan(caption="an ant"),)
    del row["video"]
    upload({"t.parquet": parquet_of(**row)})
    with pytest.raises(UsageError, match="brickfilm materialize maker/set --out"):
        listings(hub_source("maker/set"))
