"""Clips are upright, in square pixels, of even size, with the source's colours."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.video.reformatter import Colorspace

from brickfilm.media import Frame, open_video, probe, reduced_frames
from brickfilm.records import Clip
from brickfilm.stages import ClipWriter, SceneSplitter
from tests.kit.ask_stage import clips_of, video_of, written

RED, GREEN, BLUE = (220, 30, 30), (30, 200, 30), (30, 30, 220)


def film(
    path: Path,
    *,
    size: tuple[int, int] = (320, 180),
    turned: int = 0,
    pixel_aspect: Fraction = Fraction(1),
    pix_fmt: str = "yuv420p",
    codec: str = "libx264",
    bt709: bool = False,
) -> Path:
    """Write twenty frames: red above, blue below, a green square in the upper left corner."""
    width, height = size
    picture = np.full((height, width, 3), RED, np.uint8)
    picture[height // 2 :] = BLUE
    picture[: height // 4, : height // 4] = GREEN
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = width, height, pix_fmt
        stream.codec_context.sample_aspect_ratio = pixel_aspect
        if turned:
            stream.set_display_rotation(turned)
        if bt709:
            stream.codec_context.colorspace = 1
            stream.codec_context.color_primaries = 1
            stream.codec_context.color_trc = 1
        for _ in range(20):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            space = Colorspace.ITU709 if bt709 else None
            container.mux(stream.encode(frame.reformat(format=pix_fmt, dst_colorspace=space)))
        container.mux(stream.encode())
    return path


def first(path: Path) -> Frame:
    with open_video(path) as reader:
        return next(reader.frames())


def one_clip(path: Path, work: Path) -> Clip:
    (clip,), _ = written(ClipWriter(), clips_of(SceneSplitter(), video_of(path), work), work)
    return clip


def colour(frame: Frame, x: float, y: float) -> tuple[int, ...]:
    """Return which of the three colours is at relative position (x, y)."""
    picture = frame.image()
    pixel = picture.getpixel((int(x * picture.width), int(y * picture.height)))
    return min(
        (RED, GREEN, BLUE),
        key=lambda c: sum(abs(a - b) for a, b in zip(c, pixel, strict=True)),  # type: ignore[arg-type]
    )


@pytest.mark.parametrize("turned", [90, 180, 270])
def test_a_rotated_video_is_made_upright(turned: int, tmp_path: Path) -> None:
    path = film(tmp_path / "film.mp4", turned=turned)
    info = probe(path)
    assert (info.width, info.height) == ((320, 180) if turned == 180 else (180, 320))
    with av.open(str(path)) as container:
        rotation = next(container.decode(video=0)).rotation % 360
    corners = {90: (0.05, 0.9), 180: (0.95, 0.9), 270: (0.95, 0.05)}
    clip = one_clip(path, tmp_path)
    shown = first(tmp_path / clip.path)  # type: ignore[operator]
    assert shown.raw.rotation == 0
    assert (clip.width, clip.height) == (info.width, info.height)
    assert colour(shown, *corners[rotation]) == GREEN


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv420p10le"])
@pytest.mark.parametrize("turned", [0, 90, 180, 270])
def test_reduced_frames_are_upright(turned: int, pix_fmt: str, tmp_path: Path) -> None:
    path = film(tmp_path / "film.mp4", size=(640, 360), turned=turned, pix_fmt=pix_fmt)
    with open_video(path) as reader:
        small = next(reduced_frames(reader))
    with open_video(path) as reader:
        large = next(reader.frames()).luma()
    height, width = small.luma.shape
    assert (width, height) == (large.shape[1] // 2, large.shape[0] // 2)
    assert np.abs(small.luma[4::8, 4::8].astype(int) - large[8::16, 8::16]).mean() < 4


@pytest.mark.parametrize(
    ("aspect", "size"),
    [(Fraction(16, 11), (464, 180)), (Fraction(8, 9), (320, 202)), (Fraction(1), (320, 180))],
    ids=str,
)
def test_pixels_become_square(aspect: Fraction, size: tuple[int, int], tmp_path: Path) -> None:
    path = film(tmp_path / "film.mp4", pixel_aspect=aspect)
    info = probe(path)
    clip = one_clip(path, tmp_path)
    assert (clip.width, clip.height) == (info.width, info.height) == size
    clip_info = probe(tmp_path / clip.path)  # type: ignore[operator]
    assert (clip_info.width, clip_info.height) == size


@pytest.mark.parametrize("pix_fmt", ["yuv444p", "yuv420p10le", "yuvj420p"])
def test_any_pixel_format_becomes_yuv420p(pix_fmt: str, tmp_path: Path) -> None:
    clip = one_clip(film(tmp_path / "film.mp4", pix_fmt=pix_fmt), tmp_path)
    shown = first(tmp_path / clip.path)  # type: ignore[operator]
    assert shown.raw.format.name == "yuv420p"
    assert [colour(shown, 0.5, 0.2), colour(shown, 0.5, 0.9)] == [RED, BLUE]


def test_odd_sizes_lose_a_line(tmp_path: Path) -> None:
    path = film(tmp_path / "film.mp4", size=(321, 181), pix_fmt="yuv444p")
    clip = one_clip(path, tmp_path)
    assert (clip.width, clip.height) == (320, 180)


def test_colour_tags_are_kept(tmp_path: Path) -> None:
    clip = one_clip(film(tmp_path / "film.mp4", bt709=True), tmp_path)
    shown = first(tmp_path / clip.path).raw  # type: ignore[operator]
    assert (shown.colorspace, shown.color_primaries, shown.color_trc) == (1, 1, 1)
    assert colour(first(tmp_path / clip.path), 0.5, 0.2) == RED  # type: ignore[operator]


def test_there_is_no_sound(tmp_path: Path) -> None:
    clip = one_clip(film(tmp_path / "film.mp4"), tmp_path)
    with av.open(str(tmp_path / clip.path)) as container:  # type: ignore[operator]
        assert [stream.type for stream in container.streams] == ["video"]
