"""`make audit` never calls packages sound that nobody looked up."""

from __future__ import annotations

import json
import sys

import pytest

from tests.audit import COMMAND, NOT_INSTALLED, NOT_REACHED, main, report

FAULT = {"id": "PYSEC-1", "fix_versions": ["2.0"]}
SOUND, FAULTY = (
    {"name": name, "version": "1.0", "vulns": faults}
    for name, faults in (("sound", []), ("faulty", [FAULT]))
)
UNKNOWN = {
    "name": "unknown",
    "skip_reason": "Dependency not found on PyPI and could not be audited",
}


@pytest.mark.parametrize(
    ("packages", "code", "text"),
    [
        ([SOUND], 0, "1 packages audited, 0 known faults"),
        ([SOUND, FAULTY], 1, "faulty 1.0: PYSEC-1, mended in 2.0\n2 packages audited, 1 known"),
        ([SOUND, UNKNOWN], 0, "not audited, as the service does not know them: unknown"),
        ([UNKNOWN, UNKNOWN], 3, "nothing was audited (the service knows no package): try"),
    ],
)
def test_the_exit_code_says_what_was_audited(packages: list[object], code: int, text: str) -> None:
    answer = json.dumps({"dependencies": packages, "fixes": []})
    assert report(answer)[0] == code
    assert text in report(answer)[1]


def test_no_service_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    crash = (sys.executable, "-c", "raise ConnectionError('no route to the service')")
    assert main(command=crash) == 3
    reason = "ConnectionError: no route to the service"
    assert capsys.readouterr() == (NOT_REACHED.format(reason=reason) + "\n", "")


def test_a_missing_pip_audit_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    python, *options = COMMAND
    assert main(command=(python, "-S", *options)) == 3  # -S: without installed packages
    assert capsys.readouterr() == (NOT_INSTALLED + "\n", "")
