"""The wheel, and environments that hold it beside chosen packages of this one."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable, Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement

from tests.kit import ROOT


def build_wheel(folder: Path, source: Path = ROOT) -> Path:
    """Build a wheel into a folder: of this checkout, another folder or a source distribution."""
    pip = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "-w", str(folder), str(source)], check=True, capture_output=True)
    (built,) = folder.glob("*.whl")
    return built


def make_environment(home: Path, wheel: Path) -> Path:
    """Make an environment that holds only the wheel; return its Python."""
    subprocess.run([sys.executable, "-m", "venv", str(home)], check=True)
    pip = [str(home / "bin/python"), "-m", "pip", "install", "-q", "--no-deps", "--no-index"]
    subprocess.run([*pip, str(wheel)], check=True, capture_output=True)
    return home / "bin/python"


def link_packages(home: Path, names: Iterable[str]) -> None:
    """Put packages of this environment, and all that they require, into another one as links."""
    (target,) = home.glob("lib/python*/site-packages")
    for package in with_requirements(names):
        for top in {file.parts[0] for file in package.files or () if file.parts[0] != ".."}:
            place = Path(str(package.locate_file(top)))
            if place.exists() and not (target / top).exists():
                (target / top).symlink_to(place)


def with_requirements(names: Iterable[str]) -> Iterator[Distribution]:
    """Yield the distributions of these names and those that they require, once each."""
    waiting, done = list(names), set[str]()
    while waiting:
        wanted = Requirement(waiting.pop())
        if wanted.name.lower() in done or (wanted.marker and not wanted.marker.evaluate()):
            continue
        done.add(wanted.name.lower())
        try:
            found = distribution(wanted.name)
        except PackageNotFoundError:  # of another platform's build
            continue
        yield found
        waiting += found.requires or ()
