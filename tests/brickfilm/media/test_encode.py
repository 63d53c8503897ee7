"""A clip's bytes depend on frames and settings alone."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import pytest

from brickfilm.records import Clip, Span
from brickfilm.stages import ClipWriter
from tests.brickworld import BrickFilm, Shot
from tests.kit.ask_stage import video_of, written


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("films") / "a.mp4"
    shots = tuple(Shot(frames=frames) for frames in (24, 40))
    BrickFilm(seed=2, fps=Fraction(24), size=(320, 180), shots=shots).render(path)
    return path


@pytest.mark.slow
def test_the_last_frame_is_shown_until_the_end_of_the_span(film: Path, tmp_path: Path) -> None:
    video = replace(video_of(film), path=film)
    ticks = round(1 / (24 * video.time_base))
    span = Span(start_frame=4, end_frame=9, start_pts=4 * ticks, end_pts=9 * ticks - ticks // 2)
    (clip,), _ = written(ClipWriter(), [Clip(video=video, span=span)], tmp_path)
    assert clip.path
    with av.open(str(tmp_path / clip.path)) as container:
        stream = container.streams.video[0]
        shown = [packet.duration for packet in container.demux(stream) if packet.pts is not None]
        assert [n * stream.time_base * 24 for n in sorted(shown)] == [0.5, 1, 1, 1, 1]


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
