"""Small frames for looking, not for showing: what detectors and measures see."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property, partial
from itertools import chain, islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brickfilm.errors import MediaError, UsageError
from brickfilm.media.decode import VideoReader, plane_view
from brickfilm.media.packet_groups import (
    MAX_GROUP_PACKETS,
    group_start_predicate,
    has_multiple_groups,
    packet_groups,
)
from brickfilm.media.parallel_decode import decode_parallel

MIN_REDUCED_WIDTH = 200
"""Frames are halved while they stay at least this wide: 200 to 399 pixels, 320 for 720p.

Halving is exact averaging of two by two and costs 0.07 ms at 720p; other factors cost five times
as much, which is a quarter of decoding."""

MIN_REDUCED_SIDE = 16
"""Pixels of the small frame's shorter side, below which nothing can be told from it."""

CHROMA_CELL_SIZE = 16
"""Pixels of the small frame along the side of a cell of `chroma_thumbnail`."""

MAX_BUFFERED_BYTES = 48 << 20
"""Bytes of packets and small frames that may wait: some 700 frames of a film at 720p."""

Uint8Array = NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class ReducedFrame:
    """One frame, averaged down by a power of two; chroma at half the size of luma."""

    pts: int
    duration: int
    """Ticks, as the container says; 0 where it does not."""
    size: tuple[int, int]
    """Width and height of the shown frame."""
    luma: Uint8Array
    """[H, W]"""
    chroma_thumbnail: Uint8Array
    """Blue and red by cells, [H/16, W/16, 2], 128 is grey: colours at a glance, a hundredth of what
    `chroma` costs."""
    planes: tuple[Uint8Array, Uint8Array] | None = field(repr=False)

    @property
    def chroma(self) -> tuple[Uint8Array, Uint8Array]:
        """Blue and red, [H/2, W/2], 128 is grey: for observers with `with_chroma`."""
        if self.planes is None:
            raise UsageError("no observer has `with_chroma = True`, so frames come without chroma")
        return self.planes

    @cached_property
    def bgr(self) -> Uint8Array:
        """[H, W, 3], for those who want colours as OpenCV has them."""
        import cv2

        height, width = self.luma.shape[0] // 2 * 2, self.luma.shape[1] // 2 * 2
        size = (width // 2, height // 2)
        planes = [self.luma[:height, :width]]
        planes += [cv2.resize(p, size, interpolation=cv2.INTER_NEAREST) for p in self.chroma]
        flat = np.concatenate([p.reshape(-1) for p in planes]).reshape(height * 3 // 2, width)
        bgr_image: Uint8Array = cv2.cvtColor(flat, cv2.COLOR_YUV2BGR_I420)
        return bgr_image


def reduced_frames(reader: VideoReader, *, with_chroma: bool = False) -> Iterator[ReducedFrame]:
    """Every frame of a film from its start, small; with chroma if asked.

    Groups of pictures are decoded side by side, `film.threads` of them, in a film that has any.
    """
    packets = reader.packets()
    start = list(islice(packets, MAX_GROUP_PACKETS))
    packets = chain(start, packets)
    if reader.threads == 1 or not has_multiple_groups(start, reader.stream):
        return (
            reduce_frame(reader, raw, with_chroma)
            for packet in packets
            for raw in reader.decode(packet)
        )
    return decode_parallel(
        reader.path,
        packet_groups(packets, group_start_predicate(reader.stream)),
        partial(reduce_frame, with_chroma=with_chroma),
        threads=reader.threads,
        max_buffered_bytes=MAX_BUFFERED_BYTES,
        bytes_per_frame=_reduced_frame_bytes(reader.stream.codec_context),
    )


def _reduced_frame_bytes(stored: Any) -> int:
    """Bytes of a frame made small."""
    halvings = _downscale_steps(stored.width)
    return int(stored.width >> halvings) * int(stored.height >> halvings)


def reduce_frame(reader: VideoReader, raw: Any, with_chroma: bool) -> ReducedFrame:
    """Average a stored frame down, and turn it upright."""
    import cv2

    told = reader.pts_of(raw), int(raw.duration or 0), reader.display_transform.display_size(raw)
    turns, halvings = int(raw.rotation) % 360 // 90, _downscale_steps(raw.width)
    if raw.format.name not in ("yuv420p", "yuvj420p"):
        raw, halvings = _convert_to_yuv420p(raw, halvings), 0

    def small(index: int) -> Uint8Array:
        return turned(downscale_by_2(plane_view(raw, index), halvings))

    def glanced(index: int) -> Uint8Array:
        return _cell_means(turned(plane_view(raw, index)), CHROMA_CELL_SIZE // 2 << halvings)

    def turned(image: Uint8Array) -> Uint8Array:
        return np.rot90(image, turns) if turns else image

    luma = small(0)
    if min(luma.shape) < MIN_REDUCED_SIDE:
        width, height = told[2]
        raise MediaError(
            f"{reader.path.name!r} is {width} x {height} pixels: too few, or too long and thin, "
            "to find shots in; scale or crop the film first"
        )
    chroma_thumbnail = cv2.merge((glanced(1), glanced(2)))
    return ReducedFrame(
        *told, luma, chroma_thumbnail, (small(1), small(2)) if with_chroma else None
    )


def _cell_means(image: Uint8Array, side: int) -> Uint8Array:
    """The mean of each square of so many pixels, from two lines of it."""
    import cv2

    high, wide = max(1, image.shape[0] // side), max(1, image.shape[1] // side)
    lines = image[side // 4 :: side // 2, : wide * side][: 2 * high]
    means: Uint8Array = cv2.resize(lines, (wide, high), interpolation=cv2.INTER_AREA)
    return means


def _convert_to_yuv420p(raw: Any, halvings: int) -> Any:
    """A frame of any other format as 8-bit yuv420p, already small."""
    return raw.reformat(
        raw.width >> halvings, raw.height >> halvings, format="yuv420p", interpolation="AREA"
    )


def _downscale_steps(width: int) -> int:
    count = 0
    while width >> (count + 1) >= MIN_REDUCED_WIDTH:
        count += 1
    return count


def downscale_by_2(image: Uint8Array, times: int) -> Uint8Array:
    """Averaged two by two, so many times. A copy: decoders use their buffers again."""
    import cv2

    for _ in range(times):
        height, width = image.shape[0] // 2, image.shape[1] // 2
        image = cv2.resize(
            image[: height * 2, : width * 2], (width, height), interpolation=cv2.INTER_AREA
        )
    return image if times else image.copy()
