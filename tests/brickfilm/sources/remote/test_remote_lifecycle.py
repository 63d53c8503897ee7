"""Videos of every source by address are removed, fetched again, locked and referenced."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import pytest

from brickfilm.build.build_dataset import BuildResult, build
from brickfilm.cli import app
from brickfilm.dataset.reader import find_dataset
from brickfilm.engine.executors import LocalExecutor
from brickfilm.errors import Failed
from brickfilm.hub.materialize import materialize
from brickfilm.hub.publish import PushOptions, push_to_hub
from brickfilm.hub.removal import RemovalRequest, remove
from brickfilm.records import Listing
from brickfilm.sources import (
    HubSource,
    RemoteFolderSource,
    RemoteSource,
    UrlListSource,
    WebDatasetSource,
)
from brickfilm.sources.base.lock import LOCK_FILENAME
from brickfilm.sources.remote import web_file
from brickfilm.stages import FrameSampler, SceneSplitter
from tests.kit.embedded_videos import push_embedded
from tests.kit.footage import film_bytes
from tests.kit.remote_files import FileServer, file_server
from tests.kit.servers.hub import HubServer
from tests.kit.tars import tar_bytes

FILMS = {name: film_bytes(n, frames=20) for n, name in enumerate(("ant", "bee"))}
KINDS = ("list", "tar", "folder", "hub")


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FileServer]:
    monkeypatch.setattr(web_file, "PAUSES", (0.0,))
    with file_server() as server:
        for name, body in FILMS.items():
            server.add(f"films/{name}.mp4", body)
        samples = {f"{name}.mp4": body for name, body in FILMS.items()}
        server.add("set.tar", tar_bytes(samples))
        yield server


def source_of(kind: str, folder: Path, server: FileServer, **settings: object) -> RemoteSource:
    """Return a source of the two films, one of each kind."""
    common = {"uploader": "ada", "licence": "CC BY 4.0", "allow_private": True, **settings}
    match kind:
        case "list":
            rows = [{"url": f"{server.address}/films/{name}.mp4"} for name in FILMS]
            (folder / "list.jsonl").write_text("\n".join(map(json.dumps, rows)))
            return UrlListSource(folder / "list.jsonl", **common)
        case "tar":
            return WebDatasetSource(f"{server.address}/set.tar", **common)
        case "folder":
            return RemoteFolderSource(f"{server.address}/films", **common)
    push_embedded(FILMS.values())
    return HubSource("maker/set", **common)


class Builder(Protocol):
    def __call__(self, work: Path, source: RemoteSource, max_frames: int = 200) -> BuildResult: ...


@pytest.fixture(scope="module")
def built() -> Iterator[Builder]:
    """Yield a function that builds; all builds share one worker."""
    pool = LocalExecutor(processes=1)

    def run(work: Path, source: RemoteSource, max_frames: int = 200) -> BuildResult:
        stages = [SceneSplitter(min_frames=5, max_frames=max_frames), FrameSampler(at=(0.5,))]
        return build(source, stages, workdir=work, executor=pool)

    yield run
    pool.close()


def ids_of(work: Path) -> list[str]:
    return sorted(set(find_dataset(work).to_pandas("clips").source_id))


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_video_is_removed_fetched_again_locked_and_referenced(
    kind: str, tmp_path: Path, server: FileServer, hub: HubServer, built: Builder
) -> None:
    work = tmp_path / "work"
    source = source_of(kind, tmp_path, server, keep_sources=False)
    result = built(work, source)
    assert result.exit_code == 0
    assert not list((work / "sources").glob("*.mp4"))  # deleted once they are cut
    first, *rest = ids_of(work)
    lock = json.loads((work / LOCK_FILENAME).read_text())
    assert sorted(film["source_id"] for film in lock["films"]) == [first, *rest]

    assert built(work, source, max_frames=10).exit_code == 0  # they are fetched again
    assert len(find_dataset(work).to_pandas("clips")) == 2 * len([first, *rest])

    push_to_hub(work, PushOptions(repo_id="maker/references", media="none"))
    done = materialize(
        find_dataset("maker/references"),
        tmp_path / "again",
        downloads=None if kind in ("tar", "hub") else RemoteSource(),
        allow_private=True,
    )
    assert set(done.counts) == {"same bytes"}

    remove(work, RemovalRequest("source", first), include_hub=False)
    assert ids_of(work) == rest
    sidecars = [json.loads(p.read_text())["film"] for p in (work / "sources").iterdir()]
    assert sorted(film["source_id"] for film in sidecars) == rest
    reasons = {result.reason for result in built(work, source).item_results}
    assert "removed on request" in reasons
    assert ids_of(work) == rest

    locked = tmp_path / "locked"
    locked.mkdir()
    (locked / LOCK_FILENAME).write_text(json.dumps(lock))
    exact = source.locked(locked)
    assert built(locked, exact).exit_code == 0
    assert ids_of(locked) == [first, *rest]


def fetch(source: RemoteSource, work: Path) -> list[bytes | str]:
    """Return the bytes of every video, or the reason why there are none."""
    (stage,) = source.stages()
    found: list[bytes | str] = []
    with stage.open(work) as compute:
        for item in source.items():
            try:
                assert isinstance(item, Listing)
                found.append((work / compute(item)["film"]["path"]).read_bytes())
            except Failed as error:
                found.append(error.reason)
    return found


def test_other_bytes_and_gone_videos_differ_from_a_lock(tmp_path: Path, server: FileServer) -> None:
    source = source_of("list", tmp_path, server)
    assert fetch(source, tmp_path / "a") == list(FILMS.values())
    source.finish(tmp_path / "a", [v.source_id for v in source.items()])
    server.add("films/ant.mp4", film_bytes(9, frames=20))
    del server.files["films/bee.mp4"]
    exact, drift = (source.locked(tmp_path / "a", allow_drift=d) for d in (False, True))
    assert fetch(exact, tmp_path / "b") == ["other bytes", "video gone"]
    assert fetch(drift, tmp_path / "c") == [server.files["films/ant.mp4"], "video gone"]
    (tmp_path / "list.jsonl").write_text('{"url": "https://x.org/other.mp4"}')
    assert [v.url for v in replace(exact).items()] == [v.url for v in exact.items()]


def test_an_interrupted_download_is_resumed_if_the_file_is_the_same(
    tmp_path: Path, server: FileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web_file, "PAUSES", ())
    del server.files["films/bee.mp4"]
    source = source_of("list", tmp_path, server)
    body = film_bytes(5, width=320, height=240, frames=60, crf=1)
    server.add("films/ant.mp4", body)
    for change, start in (
        (b"", 1 << 20),
        (film_bytes(6, width=320, height=240, frames=40, crf=1), 0),
    ):
        work = tmp_path / str(start)
        server.cuts = [(1 << 20) + 77_000]
        assert fetch(source, work)[0] == "not fetched"
        server.files["films/ant.mp4"] = change or body
        server.hits.clear()
        assert fetch(source, work)[0] == (change or body)
        assert max(at for path, at in server.hits if "ant" in path) >= start
        assert not list((work / "sources").glob("*.part"))


@pytest.mark.slow
def test_no_secret_of_an_address_is_stored_or_shown(
    tmp_path: Path,
    server: FileServer,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    host = server.address.removeprefix("http://")
    urls = [f"http://ada:passw0rd@{host}/films/{n}.mp4?token=t0ken" for n in ("ant", "gone")]
    rows = "".join(json.dumps({"url": url}) + "\n" for url in urls)
    (tmp_path / "list.jsonl").write_text(rows)
    command = ["build", str(tmp_path / "list.jsonl"), "--out", str(tmp_path / "work")]
    options = ["--allow-private", "--captions", "none"]
    assert app([*command, *options, "--dry-run"], standalone_mode=False) == 0
    assert app([*command, *options], standalone_mode=False) == 1
    assert set(server.authorizations) == {"Basic YWRhOnBhc3N3MHJk"}
    shown = caplog.text + "".join(capsys.readouterr())
    stored = b"".join(p.read_bytes() for p in (tmp_path / "work").rglob("*") if p.is_file())
    for secret in ("passw0rd", "t0ken"):
        assert secret not in shown
        assert secret.encode() not in stored
    (lock,) = json.loads((tmp_path / "work" / LOCK_FILENAME).read_text())["films"]
    assert lock["url"].startswith(f"http://{host}/films/ant.mp4?token=hidden-")


@pytest.mark.slow
def test_references_of_a_list_are_a_list(
    tmp_path: Path, server: FileServer, built: Builder
) -> None:
    """The rows that a push without media publishes name URL, span and caption."""
    row = {"url": f"{server.address}/films/ant.mp4", "start": 0.25, "end": 0.75, "caption": "x"}
    (tmp_path / "list.jsonl").write_text(json.dumps(row))
    built(tmp_path / "one", UrlListSource(tmp_path / "list.jsonl", allow_private=True))
    (parquet,) = (tmp_path / "one/dataset").rglob("clips/*.parquet")
    again = UrlListSource(parquet, allow_private=True)
    built(tmp_path / "two", again)
    one, two = (find_dataset(tmp_path / name).to_pandas("clips") for name in ("one", "two"))
    assert list(one.id) == list(two.id)
    assert list(one.sha256) == list(two.sha256)
    assert list(two.caption) == ["x"]
