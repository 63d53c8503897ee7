"""Files of web servers: read from any place, over broken connections, and never a wrong byte."""

from __future__ import annotations

import io
import random
from collections.abc import Iterator

import pytest

from brickfilm.errors import Failed
from brickfilm.sources.remote import web_file
from brickfilm.sources.remote.addresses import Access, size_of, split_member, suffix_of
from brickfilm.sources.remote.web_file import WebFile
from tests.kit.remote_files import FileServer, file_server

BODY = random.Random(0).randbytes(3_000_000)
OPEN = Access(allow_private=True)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FileServer]:
    monkeypatch.setattr(web_file, "PAUSES", (0.0, 0.0))
    with file_server() as server:
        server.add("a.bin", BODY)
        yield server


def test_a_file_is_read_whole_in_one_request(server: FileServer) -> None:
    with OPEN.open(f"{server.address}/a.bin") as file:
        assert size_of(file) == len(BODY)
        assert file.read() == BODY
    assert server.hits == [("a.bin", 0)]


def test_a_file_is_read_from_any_place(server: FileServer) -> None:
    with OPEN.open(f"{server.address}/a.bin") as file:
        for at, count in ((2_000_000, 10), (5, 20), (2_999_990, 100), (0, 1)):
            file.seek(at)
            assert file.read(count) == BODY[at : at + count]
        assert file.seek(-3, io.SEEK_END) == len(BODY) - 3
        assert file.read() == BODY[-3:]
        assert file.read(1) == b""


def test_addresses_are_escaped_as_browsers_do(server: FileServer) -> None:
    for path, asked in (("a b/\u00fc.mp4", "a%20b/%C3%BC.mp4"), ("c%20d.mp4", "c%20d.mp4")):
        server.add(asked, b"film")
        with OPEN.open(f"{server.address}/{path}") as file:
            assert file.read() == b"film"


@pytest.mark.parametrize("has_ranges", [True, False])
def test_a_broken_connection_is_continued(server: FileServer, has_ranges: bool) -> None:
    server.has_ranges = has_ranges
    server.cuts = [1_000_000, 500_000]
    with OPEN.open(f"{server.address}/a.bin") as file:
        assert file.read() == BODY
    assert [start for _, start in server.hits] == (
        [0, 1_000_000, 1_500_000] if has_ranges else [0, 0, 0]
    )


def test_a_file_that_changes_on_the_way_fails(server: FileServer) -> None:
    server.cuts = [1_000_000]
    with OPEN.open(f"{server.address}/a.bin") as file:
        assert file.read(10) == BODY[:10]
        server.add("a.bin", BODY[::-1])
        with pytest.raises(Failed, match="has changed") as error:
            file.read()
    assert error.value.reason == "changed"


@pytest.mark.parametrize(
    ("statuses", "reason"),
    [([404], "dead link"), ([410], "dead link"), ([403], "forbidden"), ([503] * 3, "busy server")],
)
def test_refusals_have_a_reason(server: FileServer, statuses: list[int], reason: str) -> None:
    server.statuses = list(statuses)
    with pytest.raises(Failed) as error, OPEN.open(f"{server.address}/a.bin?token=abc") as file:
        file.read()
    assert error.value.reason == reason
    assert "abc" not in str(error.value)
    assert len(server.hits) == len(statuses)


def test_a_busy_server_is_asked_again(server: FileServer) -> None:
    server.statuses = [503, 429]
    with OPEN.open(f"{server.address}/a.bin") as file:
        assert file.read(3) == BODY[:3]


def test_a_password_goes_to_its_own_host_only(server: FileServer) -> None:
    with file_server("127.0.0.2") as other:
        other.add("b.bin", b"there")
        server.moved["b.bin"] = f"{other.address}/b.bin"
        file = WebFile(f"{server.address}/b.bin", authorization="Basic x")
        assert io.BufferedReader(file).read() == b"there"
        assert (server.authorizations, other.authorizations) == (["Basic x"], [""])


@pytest.mark.parametrize("address", ["file:///etc/hostname", "ftp://127.0.0.1/x"])
def test_a_redirect_leads_to_web_addresses_only(server: FileServer, address: str) -> None:
    server.moved["c.bin"] = address
    with pytest.raises(Failed), OPEN.open(f"{server.address}/c.bin") as file:
        file.read()


def test_trusted_hosts_may_be_private(server: FileServer) -> None:
    url = f"{server.address}/a.bin"
    for trusted, allowed in ((frozenset(), False), (frozenset(["127.0.0.1"]), True)):
        access = Access(trusted_hosts=trusted)
        with access.guard(), access.open(url) as file:
            if allowed:
                assert file.read(3) == BODY[:3]
                with Access().guard(), pytest.raises(Failed, match="not a public"):
                    WebFile(url).readinto(bytearray(1))
                assert WebFile(url).readinto(bytearray(1)) == 1  # the outer guard is back
            else:
                with pytest.raises(Failed, match="not a public address"):
                    file.read(3)


@pytest.mark.parametrize(
    ("address", "base", "member", "suffix"),
    [
        ("https://x.org/a.MOV?x=1#t=3", "https://x.org/a.MOV?x=1", "", "mov"),
        ("https://x.org/a.tar#b/c%20d.webm", "https://x.org/a.tar", "b/c%20d.webm", "webm"),
        ("/a b.tar#c#d.mkv", "/a b.tar", "c#d.mkv", "mkv"),
        ("s3://b/a#1.mp4", "s3://b/a#1.mp4", "", "mp4"),
        ("https://x.org/t.parquet#video:17", "https://x.org/t.parquet", "video:17", "mp4"),
        ("https://x.org/download.php?id=3", "https://x.org/download.php?id=3", "", "mp4"),
    ],
)
def test_addresses(address: str, base: str, member: str, suffix: str) -> None:
    assert split_member(address) == (base, member)
    assert suffix_of(address) == suffix
