"""Planted secrets: no file of a build holds a password, and a token is in the ledger only."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from brickfilm.build.build_dataset import build
from brickfilm.hub.removal import RemovalRequest, remove
from brickfilm.sources import Connection, YouTubeSource
from brickfilm.stages import FrameSampler, SceneSplitter
from tests.kit.footage import film_bytes
from tests.kit.servers.videos import video_site
from tests.kit.youtube import NO_DELAYS

PASSWORD, TOKEN = "s3cr3t-pass", "t0k3n-value"


def holders(work: Path, secret: str) -> set[str]:
    files = (path for path in work.rglob("*") if path.is_file())
    return {path.name for path in files if secret.encode() in path.read_bytes()}


@pytest.mark.slow
def test_no_file_and_no_message_holds_a_secret(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with video_site() as site:
        site.add("ant", film_bytes(0, frames=30), cuts=[5000])
        site.add("bee", b"no film at all " * 99)
        userinfo = site.address.replace("://", f"://me:{PASSWORD}@")
        entries = [
            f"{userinfo}/films/ant.mp4?token={TOKEN}",
            f"{userinfo}/films/bee.mp4?access_token={TOKEN}",
            f"{userinfo}/gone?key={TOKEN}",
        ]
        connection = Connection(timeout=5, retries=1, proxy="")
        source = YouTubeSource(
            entries,
            max_height=72,
            rate_limits=NO_DELAYS,
            connection=connection,
        )
        result = build(source, [SceneSplitter(min_frames=5), FrameSampler()], workdir=tmp_path)
        assert any(f"ant.mp4?token={TOKEN}" in hit.path for hit in site.hits)
        assert all(header.startswith("Basic ") for header in site.authorizations)
    (row, *_) = result.dataset["clips"]["train"]
    assert row["source_url"] == row["source_id"]
    assert "?token=hidden-" in row["source_url"]
    assert holders(tmp_path, PASSWORD) == set()
    assert holders(tmp_path, TOKEN) <= {"ledger.sqlite", "ledger.sqlite-wal"}
    printed = caplog.text + repr(source) + " ".join(o.message for o in result.item_results)
    assert PASSWORD not in printed
    assert TOKEN not in printed
    assert "addresses hold a token" in caplog.text
    remove(tmp_path, RemovalRequest("source", row["source_id"]))
    assert not list((tmp_path / "sources").glob("*ant*"))
