"""Errors of the system end a command in one line with what a user can do."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from finetune.data.index import Index
from finetune.errors import exit_with_one_line


def test_a_limit_of_open_files_is_no_damage_of_an_index(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def read_bytes(path: Path) -> bytes:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE), str(path))

    monkeypatch.setattr(Path, "read_bytes", read_bytes)
    with pytest.raises(SystemExit) as left, exit_with_one_line():
        Index.open(tmp_path)
    assert left.value.code == 1
    assert capsys.readouterr().err == (
        "error: Too many open files: raise the limit of open files with `ulimit -n 1024`\n"
    )
