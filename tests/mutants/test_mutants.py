"""At least 95 % of the wrong changes in mutants.toml are noticed by the tests they name."""

from __future__ import annotations

import pytest

from tests.mutants.run import MIN_KILLED, read_mutants, survivors

pytestmark = pytest.mark.soak


def test_the_tests_notice_wrong_changes() -> None:
    mutants = read_mutants()
    alive = survivors(mutants)
    assert len(alive) <= (1 - MIN_KILLED) * len(mutants), alive
