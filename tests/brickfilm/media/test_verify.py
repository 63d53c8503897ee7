"""A written clip with other times or pictures than planned is found."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from brickfilm.media import ReferenceFrame, VerificationError, open_video, verify_clip
from tests.kit.footage import film_bytes

FRAMES = 6


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clips") / "clip.mp4"
    path.write_bytes(film_bytes(frames=FRAMES, crf=10))
    return path


@pytest.fixture(scope="module")
def pts(clip: Path) -> list[int]:
    with open_video(clip) as reader:
        return [frame.pts for frame in reader.frames()]


@pytest.fixture(scope="module")
def shown(clip: Path) -> dict[int, ReferenceFrame]:
    with open_video(clip) as reader:
        return {frame.number: ReferenceFrame.of(frame, frame.raw) for frame in reader.frames()}


def noisy(frame: ReferenceFrame) -> ReferenceFrame:
    """Return a source frame that coding has changed a little."""
    noise = np.random.default_rng(0).integers(-4, 5, frame.picture.shape)
    return ReferenceFrame((frame.picture + noise).clip(0, 255).astype(np.uint8), frame.colors)


def verify(clip: Path, pts: list[int], frames: dict[int, ReferenceFrame]) -> float:
    return verify_clip(clip, pts, frames, full=True, min_psnr_db=5)


def test_a_clip_as_planned_passes(
    clip: Path, pts: list[int], shown: dict[int, ReferenceFrame]
) -> None:
    assert verify(clip, pts, {n: noisy(frame) for n, frame in shown.items()}) > 35


@pytest.mark.parametrize("wrong", ["one frame late", "one frame less"])
def test_other_times_are_found(
    clip: Path, pts: list[int], shown: dict[int, ReferenceFrame], wrong: str
) -> None:
    late = [*pts[:3], pts[3] + 1, *pts[4:]]
    planned = late if wrong == "one frame late" else pts[:-1]
    with pytest.raises(VerificationError, match="or their timestamps differ"):
        verify(clip, planned, shown)


def test_the_picture_of_a_neighbour_is_found(
    clip: Path, pts: list[int], shown: dict[int, ReferenceFrame]
) -> None:
    swapped = {n: noisy(frame) for n, frame in shown.items()}
    swapped[2], swapped[3] = swapped[3], swapped[2]
    with pytest.raises(VerificationError, match=r"frame 2 of 'clip.mp4' matches source frame 3"):
        verify(clip, pts, swapped)
