"""Tars in the form of WebDataset, of this machine and of a web server."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from brickfilm.build.build_dataset import build
from brickfilm.errors import Failed, UsageError
from brickfilm.records import GivenSpan, Listing
from brickfilm.sources import WebDatasetSource
from brickfilm.stages import SceneSplitter
from tests.kit.footage import film_bytes
from tests.kit.remote_files import FileServer, file_server
from tests.kit.tars import tar_bytes

FILM = film_bytes(0, frames=20)
OTHER = film_bytes(1, frames=20)
FILES = {
    "a.1.mp4": FILM,
    "a.1.txt": b"",
    "a.json": json.dumps({"caption": "from json", "license": "mit", "n": 3}).encode(),
    "sub/b.webm": OTHER,
    "sub/b.txt": "ein H\u00e4uschen\n".encode(),
    "sub/c.mp4": FILM,
    "notes.md": b"x" * 70_000,
}


@pytest.fixture
def server() -> Iterator[FileServer]:
    with file_server() as server:
        yield server


def listings(source: WebDatasetSource) -> list[Listing]:
    return [item for item in source.items() if isinstance(item, Listing)]


@pytest.mark.parametrize("is_remote", [False, True])
def test_samples_are_listed_by_headers_alone(
    tmp_path: Path, server: FileServer, is_remote: bool
) -> None:
    (tmp_path / "s-0.tar").write_bytes(tar_bytes(FILES))
    url = server.add("s-0.tar", (tmp_path / "s-0.tar").read_bytes())
    tar = url if is_remote else str(tmp_path / "s-0.tar")
    a, b, c = listings(WebDatasetSource(tar, uploader="ada"))
    name = url if is_remote else "s-0.tar"
    assert [v.source_id for v in (a, b, c)] == [
        f"{name}#{n}" for n in ("a.1.mp4", "sub/b.webm", "sub/c.mp4")
    ]
    assert a.spans == (GivenSpan(caption="from json"),)
    assert (a.licence, a.uploader, a.bytes) == ("mit", "ada", len(FILM))
    assert b.spans == (GivenSpan(caption="ein H\u00e4uschen"),)
    assert c.spans == ()
    assert a.url == (f"{url}#a.1.mp4" if is_remote else "")


@pytest.mark.parametrize("is_remote", [False, True])
def test_videos_of_a_tar_have_their_own_bytes(
    tmp_path: Path, server: FileServer, is_remote: bool
) -> None:
    (tmp_path / "s.tar").write_bytes(tar_bytes(FILES))
    tar = server.add("s.tar", tar_bytes(FILES)) if is_remote else str(tmp_path / "s.tar")
    source = WebDatasetSource(tar, columns={"caption": ""})
    (fetch,) = source.stages()
    with fetch.open(tmp_path) as compute:
        for listing, body in zip(listings(source), (FILM, OTHER, FILM), strict=True):
            path = tmp_path / compute(listing)["film"]["path"]
            assert path.read_bytes() == body
            assert path.suffix == Path(listing.source_id).suffix


def test_a_tar_that_is_replaced_is_listed_anew(tmp_path: Path) -> None:
    for films in ([FILM], [OTHER, FILM]):
        files = {f"{n}.mp4": film for n, film in enumerate(films)}
        (tmp_path / "s.tar").write_bytes(tar_bytes(files))
        source = WebDatasetSource(tmp_path / "s.tar")
        (fetch,) = source.stages()
        with fetch.open(tmp_path) as compute:
            paths = [compute(listing)["film"]["path"] for listing in listings(source)]
        assert [(tmp_path / path).read_bytes() for path in paths] == films


@pytest.mark.slow
def test_a_build_of_two_tars(tmp_path: Path) -> None:
    for n, film in enumerate((FILM, OTHER)):
        (tmp_path / f"s-0{n}.tar").write_bytes(
            tar_bytes({"x.mp4": film, "x.txt": b"street %d" % n})
        )
    source = WebDatasetSource(str(tmp_path / "s-{00..01}.tar"))
    result = build(source, [SceneSplitter(min_frames=5)], workdir=tmp_path / "work")
    tables = list(result.dataset["clips"].values())
    captions = {i: c for t in tables for i, c in zip(t["source_id"], t["caption"], strict=True)}
    assert captions == {"s-00.tar#x.mp4": "street 0", "s-01.tar#x.mp4": "street 1"}
    found = [v.version for v in listings(source)]
    (tmp_path / "s-00.tar").write_bytes(tar_bytes({"x.mp4": OTHER, "x.txt": b"new"}))
    again = [v.version for v in listings(WebDatasetSource(str(tmp_path / "s-*.tar")))]
    assert found[0] != again[0]  # another content: it is fetched anew
    assert found[1] == again[1]


def test_tars_that_give_nothing_have_a_reason(tmp_path: Path, server: FileServer) -> None:
    (tmp_path / "images.tar").write_bytes(tar_bytes({"a.jpg": b"x"}))
    (tmp_path / "no.tar").write_bytes(b"<html>" * 1000)
    (tmp_path / "bad.tar").write_bytes(tar_bytes({"a.mp4": FILM, "a.json": b"{"}))
    server.add("whole.tar", tar_bytes(FILES))
    server.has_ranges = False
    paths = [*sorted(map(str, tmp_path.glob("*.tar"))), f"{server.address}/whole.tar"]
    items = list(WebDatasetSource([*paths, f"{server.address}/gone.tar"]).items())
    assert all(isinstance(item, Failed) for item in items)
    assert sorted(item.reason for item in items) == [
        *("dead link", "no JSON", "no ranges", "no tar", "no video")
    ]
    for missing in ("gone.tar", str(tmp_path / "x-*.tar")):
        with pytest.raises(UsageError, match="there is no tar"):
            list(WebDatasetSource(missing).items())


def test_other_fields_and_a_wrong_name(tmp_path: Path) -> None:
    fields = json.dumps({"long": "a", "caption": "b"}).encode()
    files = {"a.mp4": FILM, "a.json": fields, "a.txt": b"c"}
    files |= {"b.mp4": FILM, "b.json": b'{"text": 1}'}
    (tmp_path / "s.tar").write_bytes(tar_bytes(files))
    for columns, captions in (
        ({}, ["c", "1"]),
        ({"caption": "long"}, ["a", None]),
        ({"caption": ""}, [None, None]),
    ):
        videos = listings(WebDatasetSource(tmp_path / "s.tar", columns=columns))
        assert [v.spans[0].caption if v.spans else None for v in videos] == captions
    (tmp_path / "t.tar").write_bytes(tar_bytes({"a.mp4": FILM, "a.txt": b"c"}))
    for tar, there in (("s.tar", "caption, long, text"), ("t.tar", "no .json")):
        wrong = WebDatasetSource(tmp_path / tar, columns={"caption": "lnog"})
        with pytest.raises(UsageError, match=rf"no \.json has a field 'lnog': there is {there}"):
            listings(wrong)


def test_a_caption_is_a_text_or_none_at_all(tmp_path: Path) -> None:
    described = {
        "null": b'{"caption": null, "licence": null}',
        "list": b'{"caption": ["a", "b"]}',
        "latin": '{"caption": "gr\u00fcn"}'.encode("latin-1"),
        "long": json.dumps({"caption": "x" * (1 << 20)}).encode(),
        "good": b'\xef\xbb\xbf{"caption": "a street"}',
    }
    files = {f"{name}.mp4": FILM for name in described}
    files |= {f"{name}.json": text for name, text in described.items()}
    (tmp_path / "s.tar").write_bytes(tar_bytes(files | {"._good.mp4": b"resource fork"}))
    items = list(WebDatasetSource(tmp_path / "s.tar").items())
    failed = {i.record.source_id: i.reason for i in items if isinstance(i, Failed) and i.record}
    assert failed == {
        "s.tar#list.mp4": "no text",
        "s.tar#latin.mp4": "not UTF-8",
        "s.tar#long.mp4": "text too large",
    }
    null, good = (item for item in items if isinstance(item, Listing))
    assert (null.spans, null.licence) == ((), "")
    assert good.spans == (GivenSpan(caption="a street"),)


def test_hard_links_and_folders_with_a_hash(tmp_path: Path) -> None:
    folder = tmp_path / "a#b"
    folder.mkdir()
    link = tarfile.TarInfo("again.mp4")
    link.type, link.linkname = tarfile.LNKTYPE, "a.mp4"
    with tarfile.open(folder / "s.tar", "w") as tar:
        info = tarfile.TarInfo("a.mp4")
        info.size = len(FILM)
        tar.addfile(info, io.BytesIO(FILM))
        tar.addfile(link)
    source = WebDatasetSource(folder / "s.tar")
    (fetch,) = source.stages()
    with fetch.open(tmp_path) as compute:
        paths = [compute(listing)["film"]["path"] for listing in listings(source)]
    assert [(tmp_path / path).read_bytes() == FILM for path in paths] == [True, True]
