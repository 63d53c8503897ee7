"""Links of a stranger's work folder are not taken over by a merge."""

from __future__ import annotations

import os
from pathlib import Path

from brickfilm.build.link_artefacts import link_artefacts


def test_only_regular_files_are_linked(tmp_path: Path) -> None:
    clips = tmp_path / "theirs" / "clips"
    clips.mkdir(parents=True)
    (tmp_path / "secret").write_text("a key")
    (clips / "own.mp4").write_bytes(b"clip")
    (clips / "out.mp4").symlink_to(tmp_path / "secret")
    (clips / "loop.mp4").symlink_to(clips / "loop.mp4")
    os.mkfifo(clips / "fifo.mp4")
    link_artefacts(tmp_path / "theirs", tmp_path / "ours")
    assert [p.name for p in (tmp_path / "ours" / "clips").iterdir()] == ["own.mp4"]
