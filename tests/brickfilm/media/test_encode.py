"""A clip's bytes depend on frames and settings alone."""

from __future__ import annotations

import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import pytest

from tests.brickworld import BrickFilm, Shot


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("films") / "a.mp4"
    shots = tuple(Shot(frames=frames) for frames in (24, 40))
    BrickFilm(seed=2, fps=Fraction(24), size=(320, 180), shots=shots).render(path)
    return path


BUILD = (
    "import sys, hashlib; from pathlib import Path; from brickfilm import *; work = sys.argv[2]; "
    "build_dataset(FolderSource(sys.argv[1]), SceneSplitter(), ClipWriter(), workdir=work); "
    "clips = sorted(Path(work, 'clips').glob('*.mp4')); "
    "print([hashlib.sha256(c.read_bytes()).hexdigest() for c in clips])"
)


@pytest.mark.slow
def test_uninitialised_memory_changes_no_byte(film: Path, tmp_path: Path) -> None:
    """MALLOC_PERTURB_ makes glibc fill fresh memory with a byte, so reads of it would show."""
    outputs = {
        subprocess.run(
            [sys.executable, "-c", BUILD, str(film), str(tmp_path / filler)],
            env={**os.environ, "MALLOC_PERTURB_": filler},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for filler in ("1", "170")
    }
    assert len(outputs) == 1
