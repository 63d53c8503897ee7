"""Wrong usage of any command is one line and exit code 2."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import pytest

from brickfilm.cli import app, main

WRONG = (
    *("", "nothing", "--nothing", "prompt", "prompt show nowhere"),
    *("build", "build films", "build films --out o --captions x", "build films --out o --wait=3"),
    *("build no.py --out o", "build films --out o --for x --captions none", "build films --locked"),
    *("build films --out o --captions none", "cancel films --out o", "demo --oot x"),
    *("status", "status films", "lint", "lint films", "lint no.csv", "validate", "validate films"),
    *("validate 'no repo/x'", "export films", "export films --to x", "export films --for x"),
    *("push films", "push films repo", "push films a/b --shard-mb 0", "push films a/b"),
    *("remove films", "remove films --clip x", "remove no --clip x", "remove 'a b/c' --clip x"),
    *("remove films --clip x --source y", "materialize films", "materialize films --out o"),
    *("materialize films --out o --recipe no.py", "captions", "captions export films"),
    *("captions export films --to x.csv", "captions import films --from no.csv"),
    *("why films", "why films x", "diff films", "diff films no", "doctor --nothing"),
    *("measure", "measure no.mp4", "measure films --keep x"),
    *("probe no.mp4", "review films", "merge", "captions revert films x"),
    *("build films --out o --captions sidecar:no.csv",),
)


@pytest.mark.parametrize("words", WRONG)
def test_wrong_usage_exits_with_2(
    words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "films").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPENAI_API_KEY", "x")
    monkeypatch.setattr(sys, "argv", ["brickfilm", *shlex.split(words)])
    with pytest.raises(SystemExit) as left:
        main()
    assert left.value.code == 2
    said = capsys.readouterr().err
    assert "Traceback" not in said
    assert not said.startswith("error: ") or said.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["films"]


def test_every_command_is_among_them() -> None:
    names = {c.name or c.callback.__name__ for c in app.registered_commands if c.callback}
    names |= {str(group.name) for group in app.registered_groups}
    assert names <= {words.split(" ")[0] for words in WRONG}
