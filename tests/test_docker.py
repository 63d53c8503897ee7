"""The Dockerfiles, read line by line: no container runtime is at hand to build them."""

from __future__ import annotations

import json
import re
import tomllib
from fnmatch import fnmatch
from pathlib import PurePosixPath

import pytest

from tests.kit import ROOT

INSTRUCTIONS = {"FROM", "RUN", "COPY", "ENV", "USER", "WORKDIR", "ENTRYPOINT"}

pytestmark = pytest.mark.parametrize("name", ["cpu", "gpu"])


def instructions(name: str) -> list[tuple[str, str]]:
    text = (ROOT / f"recipes/docker/{name}.Dockerfile").read_text()
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [(line.split()[0], line.partition(" ")[2]) for line in lines]


def is_ignored(path: str) -> bool:
    """Return whether .dockerignore leaves a path, or a folder above it, out of the context."""
    lines = [n for n in (ROOT / ".dockerignore").read_text().splitlines() if n and n[0] != "#"]
    first, *more = PurePosixPath(path).parts
    return any(
        fnmatch(first, line) or (line[:3] == "**/" and any(fnmatch(p, line[3:]) for p in more))
        for line in lines
    )


def test_an_image_is_made_of_what_a_clone_has(name: str) -> None:
    steps = instructions(name)
    assert {step for step, _ in steps} == INSTRUCTIONS
    assert [rest for step, rest in steps if step == "FROM"] == ["python:3.12-slim"]  # it was run
    for *sources, target in (rest.split() for step, rest in steps if step == "COPY"):
        assert target.startswith("/src/")
        for source in sources:
            assert (ROOT / source).exists() and not is_ignored(source), source
    assert is_ignored(".venv") and is_ignored("brickfilm/cli/__pycache__/app.pyc")


def test_an_image_runs_a_command_of_ours_and_not_as_root(name: str) -> None:
    steps = instructions(name)
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    (entry,) = (json.loads(rest) for step, rest in steps if step == "ENTRYPOINT")
    assert len(entry) == 1 and entry[0] in scripts
    (user,) = (place for place, (step, _) in enumerate(steps) if step == "USER")
    assert not re.match(r"(0|root)\b", steps[user][1])
    assert "RUN" not in [step for step, _ in steps[user:]]
    (environment,) = (rest for step, rest in steps if step == "ENV")
    assert {"HOME=/tmp", "USER=worker"} <= set(environment.split())
