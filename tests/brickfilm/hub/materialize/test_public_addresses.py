"""A stranger's rows make no request to this machine or its network."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from brickfilm.dataset.reader import find_dataset
from brickfilm.errors import Failed, UsageError
from brickfilm.hub.materialize import NothingMaterializedError, materialize
from brickfilm.records import Listing
from brickfilm.sources import YouTubeSource
from brickfilm.sources.base import public_addresses
from brickfilm.sources.base.public_addresses import (
    check_web_address,
    is_public,
    public_addresses_only,
)
from brickfilm.sources.remote.web_file import WebFile
from brickfilm.sources.youtube.settings import Connection
from brickfilm.sources.youtube.ytdlp import open_session
from tests.kit.http_source import HttpSource
from tests.kit.servers.loopback import serving
from tests.kit.toy_dataset import toy_dataset
from tests.kit.youtube import NO_DELAYS


@contextmanager
def server(host: str, location: str = "") -> Iterator[tuple[str, list[str]]]:
    """Serve 404, or a redirect to `location`; yield the address and the paths asked for."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(302 if location else 404)
            self.send_header("Location", location)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_HEAD = do_GET  # noqa: N815

        def log_message(self, *args: Any) -> None:
            """Log nothing."""

    with serving(Handler, host) as address:
        yield address, asked


@contextmanager
def text_server(text: str) -> Iterator[str]:
    """Serve a text under every path; yield the address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *args: Any) -> None:
            """Log nothing."""

    with serving(Handler, "127.0.0.1") as address:
        yield address


@pytest.mark.parametrize(
    ("address", "public"),
    [
        *((a, True) for a in ("8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8")),
        ("64:ff9b::8.8.8.8", True),
        *(
            (a, False)
            for a in ("127.0.0.1", "10.1.2.3", "169.254.169.254", "192.168.0.9", "0.0.0.0")
        ),
        *((a, False) for a in ("::1", "fe80::1%eth0", "fd00::1", "::ffff:127.0.0.1", "100.64.0.1")),
        *((a, False) for a in ("2002:7f00:1::", "224.0.0.1", "240.0.0.1")),
        *((a, False) for a in ("64:ff9b::127.0.0.1", "64:ff9b:1::a9fe:a9fe", "::127.0.0.1")),
        *((a, False) for a in ("fec0::1", "::ffff:0:127.0.0.1")),
    ],
)
def test_public_addresses(address: str, public: bool) -> None:
    assert is_public(address) == public


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "ftp://host/x", "ytsearch:x", "x", "http://"]
)
def test_only_web_addresses_are_fetched(url: str) -> None:
    with pytest.raises(UsageError, match="not a web address"):
        check_web_address(url)


@pytest.mark.parametrize("source", [HttpSource(), YouTubeSource((), rate_limits=NO_DELAYS)])
@pytest.mark.parametrize("is_redirected", [False, True])
def test_nothing_is_asked_of_a_private_address(
    source: Any, is_redirected: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """127.0.0.1 stands for a public address, 127.0.0.2 for a private one."""
    monkeypatch.setattr(public_addresses, "is_public", lambda ip: ip == "127.0.0.1")
    with server("127.0.0.2") as (private, asked):
        with server("127.0.0.1", f"{private}/secret.mp4") as (public, seen):
            url = f"{public}/film.mp4" if is_redirected else f"{private}/film.mp4"
            with (
                source.open_refetch(tmp_path) as refetch,
                public_addresses_only(),
                pytest.raises((Failed, OSError), match="not a public address"),
            ):
                refetch(Listing(source_id="x", url=url), 72)
        assert asked == []
        assert bool(seen) == is_redirected


@pytest.mark.parametrize("url", ["http://0x7f.1", "http://2130706433", "http://LOCALHOST"])
def test_other_names_of_this_machine_are_private(url: str) -> None:
    with public_addresses_only(), pytest.raises(Failed, match="not a public address"):
        WebFile(f"{url}:9/film.mp4").read(1)


PLAYLIST = """#EXTM3U
#EXT-X-TARGETDURATION:9
#EXT-X-KEY:METHOD=SAMPLE-AES,URI="{0}/key"
#EXTINF:9,
{0}/a.ts
#EXT-X-ENDLIST
"""


@pytest.mark.parametrize("protocol", ["m3u8_native", "m3u8", "rtsp"])
def test_no_other_program_connects(
    protocol: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ffmpeg, where it is installed, reads encrypted playlists, and resolves names by itself."""
    monkeypatch.setattr(public_addresses, "is_public", lambda ip: ip == "127.0.0.1")
    with server("127.0.0.2") as (private, asked), text_server(PLAYLIST.format(private)) as public:
        listing = Listing(source_id="x", url=f"{public}/a.m3u8")
        info = {"id": "x", "title": "x", "ext": "mp4", "url": listing.url, "protocol": protocol}
        session = open_session(listing, Connection(), NO_DELAYS)
        with session as ytdlp, public_addresses_only(), pytest.raises(Failed) as failed:
            ytdlp.download(info | {"format_id": "x"}, tmp_path / "a.mp4")
    assert failed.value.reason == "other protocol" and "from its folder" in str(failed.value)
    assert asked == []


def test_materialize_needs_allow_private(tmp_path: Path) -> None:
    toy_dataset(tmp_path / "built", videos=1, clips=1)
    with server("127.0.0.1") as (address, asked):
        saved = with_url(tmp_path / "built/dataset", f"{address}/film.mp4")
        for allow in (False, True):
            with pytest.raises(NothingMaterializedError):
                materialize(
                    find_dataset(saved), tmp_path / "out", downloads=HttpSource(),
                    allow_private=allow,
                )  # fmt: skip
            assert bool(asked) == allow
            table = (tmp_path / "out/materialized.csv").read_text()
            assert ("--allow-private" in table) == (not allow)


def with_url(folder: Path, url: str) -> Path:
    import pyarrow as pa
    import pyarrow.parquet as pq

    for file in folder.rglob("*.parquet"):
        table = pq.read_table(file)
        position = table.schema.get_field_index("source_url")
        values = pa.array([url] * len(table), pa.string())
        pq.write_table(table.set_column(position, table.schema.field(position), values), file)
    return folder
