"""Make each wrong change of mutants.toml in a copy of the code, and see that a test fails.

`python -m tests.mutants.run [NAME ...]` prints a line for each and the share that was killed. Tests
that fail on the unchanged code prove nothing: their mutants count as survivors.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
COPIED = ("brickfilm", "finetune", "tests", "recipes", "cards", "docs", "pyproject.toml")
TESTS_FAILED = 1
"""Exit code of pytest; 0 is a survivor, any other is a broken command."""
MIN_KILLED = 0.95


@dataclass(frozen=True, kw_only=True)
class Mutant:
    """A wrong change, and the tests that must fail on it."""

    name: str
    file: str
    old: str
    new: str
    tests: str
    """Arguments of pytest."""

    def mutated(self, text: str) -> str:
        """Return the text with the change; raise ValueError if it does not apply exactly once."""
        if text.count(self.old) != 1:
            raise ValueError(f"{self.name}: {text.count(self.old)} places in {self.file}, not one")
        return text.replace(self.old, self.new)


def read_mutants() -> list[Mutant]:
    table = tomllib.loads(Path(__file__).with_name("mutants.toml").read_text(encoding="utf-8"))
    return [Mutant(**entry) for entry in table["mutant"]]


@contextmanager
def copied_code() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        for name in COPIED:
            source = ROOT / name
            if source.is_dir():
                ignored = shutil.ignore_patterns("__pycache__")
                shutil.copytree(source, Path(folder, name), ignore=ignored)
            else:
                shutil.copy(source, folder)
        yield Path(folder)


def tests_pass(tests: str, code: Path) -> bool:
    options = ("-q", "-x", "-p", "no:cacheprovider", "-m", "not soak")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, *shlex.split(tests)],
        cwd=code,
        env={**os.environ, "PYTHONPATH": str(code), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode not in (0, TESTS_FAILED):
        raise RuntimeError(f"pytest {tests}\n{done.stdout[-2000:]}")
    return done.returncode == 0


def tests_pass_changed(mutant: Mutant, code: Path) -> bool:
    """Run the mutant's tests on the changed code, and put the code back."""
    path = code / mutant.file
    text = path.read_text(encoding="utf-8")
    path.write_text(mutant.mutated(text), encoding="utf-8")
    try:
        return tests_pass(mutant.tests, code)
    finally:
        path.write_text(text, encoding="utf-8")


def survivors(mutants: Sequence[Mutant]) -> list[str]:
    """Return the names of the mutants that no test noticed, and print every result."""
    alive = []
    with copied_code() as code:
        pass_unchanged = cache(lambda tests: tests_pass(tests, code))
        for mutant in mutants:
            if tests_pass_changed(mutant, code):
                result = "SURVIVED"
            else:
                result = "killed  " if pass_unchanged(mutant.tests) else "NO PROOF"
            print(f"{result} {mutant.name}", flush=True)
            alive += [] if result == "killed  " else [mutant.name]
    print(f"{len(mutants) - len(alive)} of {len(mutants)} killed")
    return alive


if __name__ == "__main__":
    chosen = [m for m in read_mutants() if not sys.argv[1:] or m.name in sys.argv[1:]]
    alive = survivors(chosen)
    sys.exit(len(alive) > (1 - MIN_KILLED) * len(chosen))
