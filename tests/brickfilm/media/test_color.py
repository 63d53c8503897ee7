"""Clips and stills show the source's colours, and clips say how to read theirs."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from brickfilm.errors import MediaError
from brickfilm.media import VerificationError, open_video
from brickfilm.media.color import ColorTags
from brickfilm.media.crop_scale import CropScale
from brickfilm.stages import ClipWriter, FrameSampler, SceneSplitter
from tests.kit.ask_stage import clips_of, video_of, written
from tests.kit.patches import Patches, patch_error, rgb_by_tags

MAX_ERROR = 6
"""Levels of 255."""


def written_frames(path: Path, *heights: int | None) -> tuple[list[av.VideoFrame], Path]:
    """Return the third frame of a clip of each height, and the path of the image."""
    work, frames = path.parent, []
    clips = clips_of(SceneSplitter(), video_of(path), work)
    for height in heights or (None,):
        (clip,), _ = written(ClipWriter(max_height=height), clips, work)
        assert clip.path is not None
        with av.open(str(work / clip.path)) as container:
            frames.append(list(container.decode(video=0))[2])
    _, (image,) = written(FrameSampler(), clips, work)
    return frames, work / image.path


def tags(frame: av.VideoFrame) -> tuple[int, int, int, int]:
    return (frame.colorspace, frame.color_primaries, frame.color_trc, frame.color_range)


def check_colors(frame: av.VideoFrame, still: Path) -> None:
    assert frame.format.name == "yuv420p"
    assert patch_error(rgb_by_tags(frame)) <= MAX_ERROR
    assert patch_error(frame.to_ndarray(format="rgb24")) <= MAX_ERROR
    assert patch_error(np.asarray(Image.open(still))) <= MAX_ERROR


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv422p", "yuv444p", "yuv420p10le"])
@pytest.mark.parametrize("full", [False, True], ids=["limited", "full"])
@pytest.mark.parametrize("matrix", [1, 6, 9])
@pytest.mark.slow
def test_every_storage_keeps_its_colors(
    matrix: int, full: bool, pix_fmt: str, tmp_path: Path
) -> None:
    path = tmp_path / "film.mp4"
    Patches(path, matrix=matrix, full=full, pix_fmt=pix_fmt).write()
    frames, still = written_frames(path, None, 90)
    assert [frame.height for frame in frames] == [180, 90]
    for frame in frames:
        assert tags(frame) == (matrix, 1, 1, 1)
        check_colors(frame, still)


@pytest.mark.parametrize(
    "storage",
    [
        {"pix_fmt": "yuv444p10le", "matrix": 9},
        {"pix_fmt": "yuv420p", "pixel_aspect": Fraction(16, 11)},
        {"pix_fmt": "yuvj420p", "full": True, "turned": 90},
        {"pix_fmt": "yuv444p", "size": (322, 181)},
        {"pix_fmt": "gbrp10le", "codec": "ffv1", "matrix": 0},
    ],
    ids=lambda storage: storage["pix_fmt"],
)
def test_conversions_keep_matrix_and_colors(storage: dict[str, Any], tmp_path: Path) -> None:
    source = Patches(tmp_path / "film.mkv", **({"matrix": 1} | storage))
    if source.turned:
        source = replace(source, path=tmp_path / "film.mp4")
    (frame,), still = written_frames(source.write())
    assert tags(frame) == (source.matrix or 1, 1, 1, 1)
    if not source.turned:
        check_colors(frame, still)


def test_tags_are_completed_as_ffmpeg_reads_them(tmp_path: Path) -> None:
    path = Patches(tmp_path / "film.mp4", matrix=6, tagged=False).write()
    (frame,), still = written_frames(path)
    assert tags(frame) == (6, 1, 1, 1)
    check_colors(frame, still)


def test_a_matrix_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    path = Patches(tmp_path / "film.mp4").write()
    with open_video(path) as reader:
        frame = next(reader.frames())
    frame.raw.colorspace = 8  # YCgCo
    with pytest.raises(MediaError, match=r"matrix 8 of .*: convert the video to BT\.709"):
        ColorTags.of(frame.raw)


@pytest.mark.parametrize("fault", ["matrix", "range"])
def test_verify_finds_a_wrong_tag(
    fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The planes are the source's; only what the clip says of them is wrong."""
    path = Patches(tmp_path / "film.mp4", matrix=1).write()
    right = ColorTags.write_to

    def wrong(tags: ColorTags, target: Any) -> None:
        if fault == "matrix":
            return right(replace(tags, matrix=6), target)
        return right(replace(tags, is_full_range=True), target)

    monkeypatch.setattr(ColorTags, "write_to", wrong)
    with pytest.raises(VerificationError, match=r"the colours of frame 0"):
        written_frames(path)


def test_verify_finds_a_wrong_conversion(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A scaler that is not told the matrix converts to BT.601."""
    path = Patches(tmp_path / "film.mp4", matrix=1, pix_fmt="yuv444p").write()
    monkeypatch.setattr(
        "brickfilm.media.display_transform.scaler_colors", lambda tags: "sws_dither=auto"
    )
    with pytest.raises(VerificationError, match="the colours of frame 0"):
        written_frames(path)


def test_a_smaller_export_keeps_matrix_and_colors(tmp_path: Path) -> None:
    path = Patches(tmp_path / "film.mp4", matrix=1).write()
    with open_video(path) as reader:
        frame = CropScale((0, 0, 320, 180), (160, 90))(next(reader.frames()).raw)
    assert (frame.width, frame.height, tags(frame)) == (160, 90, (1, 1, 1, 1))
    assert patch_error(rgb_by_tags(frame)) <= MAX_ERROR
