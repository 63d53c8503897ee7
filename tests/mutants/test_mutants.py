"""At least 95 % of the wrong changes in mutants.toml are noticed by the tests they name."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path

import pytest

from tests.mutants.run import MIN_KILLED, ROOT, read_mutants, survivors

MUTANTS = read_mutants()


def test_every_change_applies_to_the_present_code() -> None:
    for mutant in MUTANTS:
        text = (ROOT / mutant.file).read_text(encoding="utf-8")
        compile(mutant.mutated(text), mutant.name, "exec")
        paths = [word for word in shlex.split(mutant.tests) if word.startswith("tests/")]
        assert paths and all((ROOT / path).exists() for path in paths), mutant.name


def test_there_are_sixty_changes_with_names_of_their_own() -> None:
    names = {mutant.name for mutant in MUTANTS}
    halves = [mutant.file.split("/")[0] for mutant in MUTANTS]
    assert len(names) == len(MUTANTS) >= 60
    assert min(halves.count("brickfilm"), halves.count("finetune")) >= 20


@pytest.mark.soak
def test_the_tests_notice_wrong_changes() -> None:
    alive = survivors(MUTANTS)
    assert len(alive) <= (1 - MIN_KILLED) * len(MUTANTS), alive


@pytest.mark.slow
def test_tests_that_fail_on_the_unchanged_code_prove_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tests = tmp_path / "test_it.py"
    tests.write_text("def test_it():\n    assert False\n")
    broken = replace(MUTANTS[0], name="broken", tests=str(tests))
    assert survivors([broken]) == ["broken"]
    assert "NO PROOF broken\n0 of 1 killed" in capsys.readouterr().out
