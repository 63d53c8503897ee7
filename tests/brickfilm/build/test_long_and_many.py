"""A video of hours, thousands of small ones, the largest frames: nothing lost, memory bounded."""

from __future__ import annotations

import struct
import time
from fractions import Fraction
from pathlib import Path

import pytest

from brickfilm.dataset.reader import find_dataset
from tests.benchmarks.growth import longer
from tests.brickworld import BrickFilm, Shot
from tests.kit.odd_videos import Film
from tests.kit.peak_memory import peak_megabytes

RATE = Fraction(12)
MINUTE = tuple(Shot(frames=120, hold=6) for _ in range(6))
MAX_GROWTH_MB = 350
"""For 122,400 frames and 1,020 clips more; 292 MB before calls gave free memory back."""
SMALL, DRAWN = 10_000, 20
MAX_8K_MB = 3000
"""For frames of the default `max_pixels`: 85 bytes a pixel for a decoder and an encoder."""


def footage(path: Path, seed: int, shots: tuple[Shot, ...]) -> Path:
    BrickFilm(seed=seed, size=(96, 64), fps=RATE, shots=shots).render(path)
    return path


def hours(minute: Path, minutes: int, folder: Path) -> tuple[Path, Path]:
    """Return a folder with a video that repeats a minute, and one to build it in."""
    films = folder / f"{minutes}-minutes"
    films.mkdir()
    longer(minute, minutes, films / "film.mp4")
    return films, folder / f"{minutes}-work"


def total_frames(work: Path) -> int:
    return int(find_dataset(work).to_pandas("clips")["num_frames"].sum())


@pytest.mark.soak
@pytest.mark.timeout(7200)
def test_three_hours_lose_no_frame_and_take_a_bounded_memory(tmp_path: Path) -> None:
    minute, peaks = footage(tmp_path / "minute.mp4", 1, MINUTE), []
    for minutes in (10, 180):
        films, work = hours(minute, minutes, tmp_path)
        start = time.perf_counter()
        peaks.append(peak_megabytes(films, work))
        print(f"{minutes} minutes: {peaks[-1]:.0f} MB, {time.perf_counter() - start:.0f} s")
        assert total_frames(work) == minutes * 60 * RATE
    assert peaks[1] < peaks[0] + MAX_GROWTH_MB


def numbered(content: bytes, number: int) -> bytes:
    """Return an MP4 of the same pictures with a box that makes its bytes differ."""
    return content + struct.pack(">I4sI", 12, b"free", number)


@pytest.mark.soak
@pytest.mark.timeout(7200)
def test_ten_thousand_small_files_are_built_once(tmp_path: Path) -> None:
    films, work = tmp_path / "films", tmp_path / "work"
    films.mkdir()
    drawn = [
        footage(tmp_path / f"{seed}.mp4", seed, (Shot(frames=16, hold=2),)).read_bytes()
        for seed in range(DRAWN)
    ]
    for number in range(SMALL):
        path = films / f"{number:05d}.mp4"
        path.write_bytes(numbered(drawn[number % DRAWN], number))
    for run in ("built", "replayed"):
        start = time.perf_counter()
        peak = peak_megabytes(films, work)
        print(f"{SMALL} files {run}: {peak:.0f} MB, {time.perf_counter() - start:.0f} s")
        assert total_frames(work) == 16 * SMALL
    assert len(list((work / "clips").iterdir())) == SMALL


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_the_largest_frames_that_max_pixels_allows_take_three_gigabytes(tmp_path: Path) -> None:
    films, work = tmp_path / "films", tmp_path / "work"
    films.mkdir()
    Film(size=(8192, 4320), frames=6, options={"preset": "ultrafast"}).write(films / "film.mp4")
    peak = peak_megabytes(films, work)
    print(f"8192 x 4320: {peak:.0f} MB")
    assert total_frames(work) == 6
    assert peak < MAX_8K_MB
