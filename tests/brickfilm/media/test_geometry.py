"""Frames are shown as their display matrix and pixel aspect say, also where those change."""

from __future__ import annotations

from fractions import Fraction
from itertools import product
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from brickfilm.media import open_video, reduced_frames
from brickfilm.stages import ClipWriter, FrameSampler, SceneSplitter
from tests.kit.ask_stage import clips_of, video_of, written
from tests.kit.patches import Patches

CORNERS = ((220, 30, 30), (30, 200, 30), (30, 30, 220), (200, 200, 200))
"""Colours of the stored corners: upper left, upper right, lower left, lower right."""
LAYOUT = (0, 0, 1, 1, 2, 2, 3, 3)
"""The corner that each of the eight patches belongs to."""
TURNS = tuple(product((0, 90, 180, 270), (False, True)))


def corner_film(path: Path, turned: int, mirrored: bool, aspect: Fraction = Fraction(1)) -> Path:
    colors = tuple(CORNERS[k] for k in LAYOUT)
    film = Patches(path, colors=colors, frames=20, turned=turned, mirrored=mirrored)
    return Patches(**{**vars(film), "pixel_aspect": aspect}).write()


def shown_corners(path: Path) -> dict[tuple[int, int], tuple[int, int, int]]:
    """Return where each stored corner is shown, (right, below) to colour, from the matrix alone."""
    with av.open(str(path)) as container:
        frame = next(container.decode(video=0))
        side_data = frame.side_data.get("DISPLAYMATRIX")
    a, b, _, c, d = np.frombuffer(bytes(side_data), np.int32)[:5] if side_data else (1, 0, 0, 0, 1)
    where = {}
    for color, (y, x) in zip(CORNERS, product((-1, 1), repeat=2), strict=True):
        where[int(a * x + c * y > 0), int(b * x + d * y > 0)] = color
    return where


def corners_of(picture: NDArray[Any]) -> dict[tuple[int, int], tuple[int, int, int]]:
    height, width = picture.shape[:2]
    corners = {}
    for x, y in product((0, 1), repeat=2):
        seen = picture[(height - 9) * y + 4, (width - 9) * x + 4].astype(int)
        corners[x, y] = min(CORNERS, key=lambda color: int(np.abs(seen - color).sum()))
    return corners


@pytest.mark.parametrize(("turned", "mirrored"), TURNS)
def test_every_display_matrix_is_honoured(turned: int, mirrored: bool, tmp_path: Path) -> None:
    path = corner_film(tmp_path / "film.mp4", turned, mirrored)
    video = video_of(path)
    assert ("mirrored" in (video.conversions or ())) == mirrored
    with open_video(path) as reader:
        shown = next(reader.frames()).display_frame.to_ndarray(format="rgb24")
    assert corners_of(shown) == shown_corners(path)
    assert shown.shape[:2] == ((320, 180) if turned in (90, 270) else (180, 320))
    with open_video(path) as reader:
        luma = next(reduced_frames(reader)).luma
    brightness = shown @ (0.299, 0.587, 0.114)
    assert np.abs(luma[::20, ::20] - brightness[::20, ::20]).mean() < 20


@pytest.mark.parametrize(("turned", "size"), [(0, (464, 180)), (90, (180, 464)), (180, (464, 180))])
def test_pixel_aspect_is_that_of_stored_lines(
    turned: int, size: tuple[int, int], tmp_path: Path
) -> None:
    path = corner_film(tmp_path / "film.mp4", turned, True, Fraction(16, 11))
    clips = clips_of(SceneSplitter(), video_of(path), tmp_path)
    (clip,), _ = written(ClipWriter(), clips, tmp_path)
    _, (image,) = written(FrameSampler(), clips, tmp_path)
    assert (clip.width, clip.height) == (image.width, image.height) == size
    assert clip.path is not None
    with av.open(str(tmp_path / clip.path)) as container:
        frame = list(container.decode(video=0))[2]
    assert corners_of(frame.to_ndarray(format="rgb24")) == shown_corners(path)


def test_a_change_of_pixel_aspect_begins_a_clip(tmp_path: Path) -> None:
    """Three transport streams, one after the other."""
    aspects = (Fraction(1), Fraction(16, 11), Fraction(1))
    path = tmp_path / "film.ts"
    content = b""
    for number, aspect in enumerate(aspects):
        piece = tmp_path / f"{number}.ts"
        options = {"output_ts_offset": str(number)}
        Patches(
            piece, codec="mpeg2video", frames=24, pixel_aspect=aspect, container_options=options
        ).write()
        content += piece.read_bytes()
    path.write_bytes(content)
    clips = clips_of(SceneSplitter(min_frames=5), video_of(path), tmp_path)
    assert [clip.span.start_frame for clip in clips] == [0, 24, 48]
    clips, _ = written(ClipWriter(), clips, tmp_path)
    _, images = written(FrameSampler(), clips, tmp_path)
    sizes = [(320, 180), (398, 180), (320, 180)]  # MPEG-2 knows 16:9 and 2.21:1
    assert [(clip.width, clip.height) for clip in clips] == sizes
    assert [(image.width, image.height) for image in images] == sizes
