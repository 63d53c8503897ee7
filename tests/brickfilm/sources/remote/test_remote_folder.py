"""Folders of a web server and of S3."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from brickfilm.build.build_dataset import build, build_dataset
from brickfilm.errors import Failed, Rejected, UsageError
from brickfilm.records import Listing
from brickfilm.sources import RemoteFolderSource
from brickfilm.sources.remote import folder
from brickfilm.stages import SceneSplitter
from tests.kit.footage import film_bytes
from tests.kit.remote_files import FileServer, file_server

FILM = film_bytes(0, frames=20)
OTHER = film_bytes(1, frames=20)


@pytest.fixture
def server() -> Iterator[FileServer]:
    with file_server() as server:
        server.add("films/a%20b.mp4", FILM)
        server.add("films/sub/c.webm", OTHER)
        server.add("films/sub/c.txt", b"text")
        server.add("other/d.mp4", OTHER)
        yield server


def test_the_folders_of_a_web_server_are_followed_downward_only(server: FileServer) -> None:
    items = list(RemoteFolderSource(f"{server.address}/films").items())
    videos = [item for item in items if isinstance(item, Listing)]
    assert [v.source_id for v in videos] == ["a b.mp4", "sub/c.webm"]
    assert [v.url for v in videos] == [
        f"{server.address}/films/{name}" for name in ("a%20b.mp4", "sub/c.webm")
    ]
    (text,) = [item for item in items if isinstance(item, Rejected)]
    assert text.reason == "no footage: .txt"
    assert not [path for path, _ in server.hits if path.startswith("other")]


@pytest.mark.slow
def test_a_url_is_footage_by_itself(tmp_path: Path, server: FileServer) -> None:
    stages = [SceneSplitter(min_frames=5)]
    dataset = build_dataset(f"{server.address}/films/", *stages, workdir=tmp_path / "folder")
    ids = {i for table in dataset["clips"].values() for i in table["source_id"]}
    assert ids == {"a b.mp4", "sub/c.webm"}
    one = RemoteFolderSource(f"{server.address}/other/d.mp4?token=abc", licence="mit")
    result = build(one, stages, workdir=tmp_path / "one")
    (row,) = [row for table in result.dataset["clips"].values() for row in table]
    assert row["source_url"].startswith(f"{server.address}/other/d.mp4?token=hidden-")
    assert row["licence"] == "mit"


def test_pages_are_asked_with_the_password_of_their_host_and_lead_to_no_private_one(
    server: FileServer,
) -> None:
    host = server.address.removeprefix("http://")
    assert list(RemoteFolderSource(f"http://ada:secret@{host}/films").items())
    assert set(server.authorizations) == {"Basic YWRhOnNlY3JldA=="}
    with file_server("127.0.0.2") as other:
        server.moved["films/"] = f"{other.address}/films/"
        with pytest.raises(Failed, match="not a public address"):
            list(RemoteFolderSource(f"{server.address}/films").items())
        assert other.hits == []


def test_more_folders_than_are_listed_are_an_error(
    server: FileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folder, "MAX_PAGES", 2)
    assert len(list(RemoteFolderSource(f"{server.address}/films").items())) == 3
    server.add("films/sub/deep/e.mp4", FILM)
    with pytest.raises(UsageError, match="/films/ has more than 2 folders: give one of them"):
        list(RemoteFolderSource(f"{server.address}/films").items())


def test_a_folder_without_videos_is_named(server: FileServer) -> None:
    for path in ("none", "films/sub/c.txt/"):
        with pytest.raises(Failed, match="404 Not Found"):
            list(RemoteFolderSource(f"{server.address}/{path}").items())
    server.add("texts/c.txt", b"text")
    with pytest.raises(UsageError, match="no video below"):
        list(RemoteFolderSource(f"{server.address}/texts").items())
    with pytest.raises(UsageError, match="is no remote folder"):
        RemoteFolderSource("ftp://x.org/films")


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    """Run a server of S3's protocol; yield the name of a bucket with two videos."""
    boto3 = pytest.importorskip("boto3", reason="pip install 's3fs' 'moto[server]'")
    server_module = pytest.importorskip("moto.server", reason="pip install 'moto[server]'")
    pytest.importorskip("s3fs", reason="pip install 'brickfilm[remote]'")
    server = server_module.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        patch.setenv("AWS_ACCESS_KEY_ID", "key")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        client = boto3.client("s3")
        client.create_bucket(Bucket="films")
        client.put_object(Bucket="films", Key="set/a#1 b.mp4", Body=FILM)
        client.put_object(Bucket="films", Key="set/sub/c.mp4", Body=OTHER)
        client.put_object(Bucket="films", Key="else/d.mp4", Body=OTHER)
        yield "films"
    server.stop()


@pytest.mark.slow
def test_a_folder_on_s3(tmp_path: Path, bucket: str) -> None:
    source = RemoteFolderSource(f"s3://{bucket}/set/")
    videos = [item for item in source.items() if isinstance(item, Listing)]
    assert [(v.source_id, v.bytes) for v in videos] == [
        ("a#1 b.mp4", len(FILM)),
        ("sub/c.mp4", len(OTHER)),
    ]
    assert videos[0].url == "s3://films/set/a#1 b.mp4"
    assert all(v.version for v in videos)
    result = build(source, [SceneSplitter(min_frames=5)], workdir=tmp_path)
    assert result.exit_code == 0
    assert {p.read_bytes() for p in (tmp_path / "sources").glob("*.mp4")} == {FILM, OTHER}
    with pytest.raises(UsageError, match="no video below"):
        list(RemoteFolderSource(f"s3://{bucket}/empty").items())
    with pytest.raises(Failed, match=r"does not exist|NoSuchBucket"):
        list(RemoteFolderSource("s3://nobody/set").items())
