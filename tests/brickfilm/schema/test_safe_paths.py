"""Paths in data lead only to the data's own files."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from brickfilm.schema.safe_paths import (
    UnsafePathError,
    file_inside,
    is_below,
    named_files,
    relative_path,
)

OUTSIDE = (
    *("/etc/passwd", "../x", "a/../../x", "..", "ftp://host/x", "http://host/x", "file:///etc/x"),
    *("hf://models/a/b/x", "hf://datasets/a/b/../../c/d/x", "hf://datasets/a/b//etc/passwd", ""),
    *("hf://datasets/a/b/https://host/x", "s3://x/y", "x\0y", "zip://x::file:///y"),
)


@pytest.mark.parametrize("path", OUTSIDE)
def test_a_path_that_leads_elsewhere_is_refused(path: str, tmp_path: Path) -> None:
    folder = tmp_path / "set"
    folder.mkdir()
    (tmp_path / "x").touch()
    with pytest.raises(UnsafePathError, match="not in their own folder"):
        relative_path(path)
    with pytest.raises(UnsafePathError):
        file_inside(folder, path)


def test_files_in_json_are_objects_with_a_path_and_a_digest() -> None:
    still = {"path": "b.jpg", "sha256": "1", "more": [{"path": "c.jpg", "sha256": "2"}]}
    value = {"files": [{"path": "a.mp4", "sha256": "0"}, [still]], "path": "no digest", "n": [1]}
    assert named_files(value) == ["a.mp4", "b.jpg", "c.jpg"]
    below = ("a", "", "a/..b", "a//b", "..", "a/../b", "/a", "//a")
    assert [path for path in below if is_below(path)] == ["a", "", "a/..b", "a//b"]


def test_a_url_counts_in_its_own_repository() -> None:
    assert relative_path("hf://datasets/a/b@v2/media/x.mp4", "a/b") == "media/x.mp4"
    assert relative_path("hf://datasets/a/b/media/x.mp4") == "media/x.mp4"
    with pytest.raises(UnsafePathError):
        relative_path("hf://datasets/a/c/media/x.mp4", "a/b")


def test_links_do_not_lead_out_of_the_folder(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    (folder / "inner").mkdir(parents=True)
    (folder / "a").touch()
    (tmp_path / "secret").touch()
    (folder / "link").symlink_to("a")
    (folder / "out").symlink_to(tmp_path / "secret")
    (folder / "inner/up").symlink_to(tmp_path)
    (folder / "loop").symlink_to("loop")
    os.mkfifo(folder / "pipe")
    assert file_inside(folder, "link") == folder / "link"
    assert file_inside(folder, str(folder / "a")) == folder / "a"
    for path in ("out", "inner/up/secret", "loop", str(tmp_path / "secret")):
        with pytest.raises(UnsafePathError):
            file_inside(folder, path)
    for path in ("none", "pipe", "inner"):
        with pytest.raises(FileNotFoundError):
            file_inside(folder, path)


def test_files_of_the_hubs_cache_are_links_to_its_blobs(tmp_path: Path) -> None:
    home = tmp_path / "datasets--a--b"
    snapshot = home / "snapshots/0123"
    snapshot.mkdir(parents=True)
    (home / "blobs").mkdir()
    (home / "blobs/beef").touch()
    (tmp_path / "secret").touch()
    (snapshot / "x.mp4").symlink_to("../../blobs/beef")
    (snapshot / "y.mp4").symlink_to("../../../secret")
    assert file_inside(snapshot, "x.mp4") == snapshot / "x.mp4"
    with pytest.raises(UnsafePathError):
        file_inside(snapshot, "y.mp4")


def test_a_name_that_no_disk_can_hold_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"'aaaa.*' cannot be opened: File name too long"):
        file_inside(tmp_path, "a" * 5000)
