"""Reduced frames match the full ones, in every pixel format and rotation."""

from __future__ import annotations

import gc
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from brickfilm.errors import UsageError
from brickfilm.media import FrameExtras, ReducedFrame, open_video, reduced_frames


def first_of(path: Path, size: tuple[int, int], pixels: str, angle: int) -> ReducedFrame:
    """Return the reduced frame of a smooth picture, in a pixel format and rotation."""
    rng = np.random.default_rng(4)
    soft = cv2.resize(rng.integers(0, 256, (4, 6, 3), np.uint8), size)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"crf": "10"})
        stream.width, stream.height = size
        stream.pix_fmt = pixels
        if angle:
            stream.set_display_rotation(angle)
        frame = av.VideoFrame.from_ndarray(soft, format="rgb24")
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    with open_video(path) as reader:
        return next(reduced_frames(reader, FrameExtras(with_chroma=True)))


@pytest.mark.parametrize("size", [(320, 180), (1282, 722), (238, 134)], ids=str)
@pytest.mark.parametrize("pixels", ["yuv420p", "yuv444p10le"])
@pytest.mark.parametrize("angle", [0, 90])
def test_the_chroma_thumbnail_is_the_mean_of_each_cell(
    size: tuple[int, int], pixels: str, angle: int, tmp_path: Path
) -> None:
    frame = first_of(tmp_path / "film.mp4", size, pixels, angle)
    high, wide = (side // 16 for side in frame.luma.shape)
    assert frame.chroma_thumbnail.shape == (high, wide, 2)
    for seen, whole in zip(np.moveaxis(frame.chroma_thumbnail, 2, 0), frame.chroma, strict=True):
        cells = whole[: 8 * high, : 8 * wide].reshape(high, 8, wide, 8).mean(axis=(1, 3))
        assert np.abs(seen - cells).max() < 6


def test_chroma_needs_with_chroma(tmp_path: Path) -> None:
    first_of(path := tmp_path / "film.mp4", (320, 180), "yuv420p", 0)
    with open_video(path) as reader:
        frame = next(reduced_frames(reader))
    with pytest.raises(UsageError, match="with_chroma = True"):
        frame.bgr  # noqa: B018


@pytest.mark.slow
@pytest.mark.parametrize("angle", [0, 90])
def test_frames_are_freed_without_garbage_collection(angle: int, tmp_path: Path) -> None:
    first_of(path := tmp_path / "film.mp4", (320, 180), "yuv420p", angle)
    gc.collect()
    gc.disable()
    try:
        with open_video(path) as reader:
            assert [frame.size for frame in reduced_frames(reader)]
        with open_video(path) as reader:
            assert [frame.image().size for frame in reader.frames()]
        frames = (o for o in gc.get_objects() if isinstance(o, av.VideoFrame))
        alive = [frame for frame in frames if frame.format]  # PyAV keeps empty ones
    finally:
        gc.enable()
    assert alive == []
