"""Read, decode and write media with PyAV, which is imported on first use."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from brickfilm.schema.containers import MEDIA_OPEN_OPTIONS
from brickfilm.schema.orientation import Orientation
from finetune.data.stills import image_orientation, read_rgb
from finetune.errors import BadSample

DETERMINISTIC_X264_OPTIONS = {"threads": "1", "x264-params": "mbtree=0"}
"""x264's macroblock tree reads uninitialised memory, so its bytes would not repeat."""


@dataclass(frozen=True)
class MediaInfo:
    """Frames, rate and size of a media file."""

    frames: int
    fps: Fraction
    height: int
    width: int


def probe(media: bytes) -> MediaInfo:
    """Read the properties of a video or image as it is displayed.

    Frames are counted if the container does not state them. Raise BadSample if it does not decode.
    """
    import av

    height, width, _ = next(iter_frames(media, 1), np.zeros((0, 0, 3))).shape
    try:
        with av.open(io.BytesIO(media), options=dict(MEDIA_OPEN_OPTIONS)) as container:
            stream = container.streams.video[0]
            frames = _displayed_frames(container, stream)
            return MediaInfo(frames, Fraction(stream.average_rate or 0), height, width)
    except (av.FFmpegError, IndexError) as error:
        raise BadSample(f"does not decode: {error}") from error


def _displayed_frames(container: Any, stream: Any) -> int:
    """Return the number of frames that decode; a clip cut without encoding states more.

    Its edit list leaves out those from its key frame to the cut.
    """
    if not stream.frames:
        return sum(1 for _ in container.decode(stream))
    hidden = sum(1 for packet in container.demux(stream) if packet.size and packet.is_discard)
    return int(stream.frames) - hidden


def decode_frames(media: bytes, numbers: NDArray[np.int64], size: tuple[int, int]) -> Tensor:
    """Decode frames by number from an encoded clip or image: [len(numbers), 3, H, W] uint8.

    Raise BadSample if it does not decode, has too few frames, or one that is not of this (H, W).
    """
    needed = set(numbers.tolist())
    decoded = enumerate(_iter_sized_frames(media, max(needed) + 1, size))
    images = {n: frame for n, frame in decoded if n in needed}
    missing = sorted(needed - set(images))
    if missing:
        raise BadSample(f"has no frame {missing[0]}: it is shorter than its row says")
    stacked = np.stack([images[n] for n in numbers.tolist()])
    return torch.from_numpy(stacked).permute(0, 3, 1, 2)


def decode_in_chunks(
    media: bytes, total: int, size: tuple[int, int], chunk_frames: int = 32
) -> Iterator[Tensor]:
    """Decode the first `total` frames in chunks [<= 32, 3, H, W] uint8, to bound memory."""
    stream, decoded = _iter_sized_frames(media, total, size), 0
    while chunk := list(islice(stream, chunk_frames)):
        decoded += len(chunk)
        yield torch.from_numpy(np.stack(chunk)).permute(0, 3, 1, 2)
    if decoded < total:
        raise BadSample(f"has {decoded} frames, its row says {total}")


def _iter_sized_frames(
    media: bytes, count: int, size: tuple[int, int]
) -> Iterator[NDArray[np.uint8]]:
    """Decode frames; raise BadSample for one whose height and width are not its row's."""
    for number, frame in enumerate(iter_frames(media, count)):
        if frame.shape[:2] != size:
            height, width = frame.shape[:2]
            raise BadSample(
                f"frame {number} is displayed at {height}x{width}, its row says "
                f"{size[0]}x{size[1]}: correct the row's height and width, or cut the clip where "
                "its size changes"
            )
        yield frame


def iter_frames(media: bytes, count: int) -> Iterator[NDArray[np.uint8]]:
    """Decode up to `count` frames [H, W, 3] uint8 in presentation order, as they are displayed.

    They are turned and mirrored (display matrix, EXIF), and in square pixels.
    """
    import av

    try:
        with av.open(io.BytesIO(media), options=dict(MEDIA_OPEN_OPTIONS)) as container:
            to_rgb = _to_displayed_rgb(container, media)
            for frame in islice(container.decode(video=0), count):
                yield to_rgb(frame)
    except (av.FFmpegError, IndexError, OSError, SyntaxError) as error:
        raise BadSample(f"does not decode: {error}") from error


def _to_displayed_rgb(container: Any, media: bytes) -> Callable[[Any], NDArray[np.uint8]]:
    """Return the conversion of stored frames to RGB as displayed, for an opened container."""
    if container.format.name.endswith("_pipe"):  # a still image, read as `sample --image` does
        orientation = image_orientation(media)
        return lambda frame: (
            orientation.apply(frame.to_ndarray(format="rgb24"))
            if frame.format.name.startswith("yuv")  # JPEG
            else read_rgb(io.BytesIO(media))
        )
    pixel_aspect = Fraction(container.streams.video[0].sample_aspect_ratio or 1)
    return lambda frame: _video_frame_to_rgb(frame, pixel_aspect)


def _video_frame_to_rgb(frame: Any, pixel_aspect: Fraction) -> NDArray[np.uint8]:
    """Return a frame upright, with the side stretched that makes its pixels square."""
    from av.sidedata.sidedata import SideDataContainer

    if frame.rotation % 90:
        raise BadSample(f"is displayed rotated by {frame.rotation} degrees: encode it upright")
    width = round(frame.width * max(pixel_aspect, 1))
    height = round(frame.height / min(pixel_aspect, 1))
    image = frame.to_ndarray(format="rgb24", width=width, height=height)
    # frame.side_data would keep the frame until garbage collection
    side_data = SideDataContainer(frame)  # type: ignore[call-arg]
    return Orientation.of(side_data).apply(image)


def write_video(file: Path, frames: Tensor, fps: float) -> None:
    """Write frames [N, 3, H, W] uint8 as H.264; odd sizes lose their last row or column.

    The same frames always give the same bytes.
    """
    import av

    images = frames.permute(0, 2, 3, 1).numpy()
    height, width = (side - side % 2 for side in images.shape[1:3])
    with av.open(str(file), "w") as container:
        rate = Fraction(fps).limit_denominator(1001)
        stream = container.add_stream("libx264", rate=rate, options=DETERMINISTIC_X264_OPTIONS)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for image in images[:, :height, :width]:
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
