"""Tars whose headers lie: an error of tarfile, before anything is read into memory."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from brickfilm.errors import Failed
from brickfilm.schema import tar_headers
from brickfilm.schema.tar_headers import CheckedTar
from brickfilm.sources import WebDatasetSource
from finetune.data.media_folders import TarShard
from finetune.data.row_media import stored_bytes
from finetune.data.rows import TAR_MEMBER
from finetune.errors import BadSample, DataError
from tests.kit.tars import tar_bytes, tar_header

MEMBER = tar_header("a.mp4", 512) + bytes(512)
END = bytes(1024)


def pax(*fields: bytes) -> bytes:
    """Return an extended header whose fields say something of the next member."""
    lines = b"".join(b"%d %s\n" % (len(f) + 4, f) for f in fields)
    return tar_header("pax", len(lines), tarfile.XHDTYPE) + lines.ljust(512, b"\0")


def sparse(name: str) -> bytes:
    block = bytearray(tar_header(name, 512, tarfile.GNUTYPE_SPARSE))
    block[483:495] = b"\x80" + (1 << 50).to_bytes(11)
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block) + bytes(512)


LIES = {
    "negative": (MEMBER + tar_header("b.mp4", -1024), "-1,024 bytes"),
    "first negative": (tar_header("b.mp4", -1024), "-1,024 bytes"),
    "beyond any disk": (tar_header("b.mp4", 1 << 80), "invalid"),
    "header of a terabyte": (tar_header("x", 1 << 40, tarfile.XHDTYPE), "1,099,511,627,776 bytes"),
    "name of a terabyte": (tar_header("x", 1 << 40, tarfile.GNUTYPE_LONGNAME), "1,099,511,"),
    "headers of headers": (pax(b"path=a.mp4") * 2000 + MEMBER, "recursion"),
    "negative by PAX": (pax(b"size=-1000") + MEMBER, "-1,000 bytes"),
    "sparse": (sparse("a.mp4") + MEMBER, "sparse"),
    "damaged sparse map": (pax(b"GNU.sparse.map=0,x") + MEMBER, "invalid literal"),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_header_that_lies_is_an_error_of_the_tar(lie: str, tmp_path: Path) -> None:
    content, reason = LIES[lie]
    path = tmp_path / "a.tar"
    path.write_bytes(content + END)
    with pytest.raises(tarfile.ReadError, match=reason), CheckedTar(path) as tar:
        list(tar)
    (failed,) = WebDatasetSource(path).items()
    assert isinstance(failed, Failed) and failed.reason == "no tar" and reason in str(failed)
    with pytest.raises(DataError, match=reason):
        list(TarShard(path).rows())


def test_a_row_never_reads_to_the_end_of_its_tar(tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(MEMBER + tar_header("b.mp4", -1) + END)
    with pytest.raises(BadSample, match="-1 bytes"):
        stored_bytes(str(tmp_path / "a.tar"), TAR_MEMBER, 2)


def test_members_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tar_headers, "MAX_MEMBERS", 2)
    content = io.BytesIO(tar_bytes({"a": b"", "b": b"", "c": b""}))
    with (
        pytest.raises(tarfile.ReadError, match="more than 2 members"),
        CheckedTar(fileobj=content) as tar,
    ):
        list(tar)


def test_a_text_as_large_as_a_video_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(tar_bytes({"a.mp4": b"x", "a.txt": b"x" * ((1 << 20) + 1)}))
    (problem,) = TarShard(tmp_path / "a.tar").rows()
    assert isinstance(problem, BadSample) and "1,048,577 bytes" in str(problem)
