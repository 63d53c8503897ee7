"""Reduce decoded frames by powers of two, for detectors and measures."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property, partial
from itertools import chain, islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brickfilm.errors import MediaError, UsageError
from brickfilm.media.color import hdr_transfer, is_full_range
from brickfilm.media.container import media_errors
from brickfilm.media.damage import NO_FLAG, FrameFlag
from brickfilm.media.decode import VideoReader, plane_view
from brickfilm.media.full_size import MAX_BAND_BYTES, full_luma, luma_bands
from brickfilm.media.packet_decoder import RawFrame
from brickfilm.media.packet_groups import (
    MAX_GROUP_PACKETS,
    group_start_predicate,
    has_multiple_groups,
    packet_groups,
)
from brickfilm.media.parallel_decode import decode_parallel
from brickfilm.media.side_data import side_data
from brickfilm.media.tone_map import tone_map
from brickfilm.schema.orientation import Orientation

MIN_REDUCED_WIDTH = 200
"""Pixels. Frames are halved while they stay at least this wide: to 200-399, 320 for 720p.

Halving averages 2 x 2 pixels exactly in 0.07 ms at 720p; other factors cost five times as much,
a quarter of the time of decoding."""

MIN_REDUCED_SIDE = 16
"""Pixels of the reduced frame's shorter side: a block of the shot detector, which halves again."""

CHROMA_CELL_SIZE = 16
"""Pixels of the reduced frame along the side of a cell of `chroma_thumbnail`."""

LUMA_CELLS = (16, 9)
"""Cells across and down of `luma_cells`, in which light and scenes change."""

MAX_BUFFERED_BYTES = 48 << 20
"""Bound on buffered packets and reduced frames: about 700 frames of 720p video."""

Uint8Array = NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class ReducedFrame:
    """One frame, averaged down by a power of two, upright; pixels are not made square."""

    pts: int
    """Ticks of the stream's time base."""
    duration: int
    """Ticks, from the container; 0 where it gives none."""
    size: tuple[int, int]
    """Displayed width and height of the full frame."""
    luma: Uint8Array
    """[H, W]"""
    chroma_thumbnail: Uint8Array
    """Cb and Cr averaged by cell, [H/16, W/16, 2], 128 is grey; costs a hundredth of `chroma`."""
    planes: tuple[Uint8Array, Uint8Array] | None = field(repr=False)
    flags: FrameFlag = NO_FLAG
    is_full_range: bool = False
    """True if luma is 0 to 255 from black to white, False if 16 to 235."""
    stored_bands: Uint8Array | None = field(default=None, repr=False)
    stored_luma: Uint8Array | None = field(default=None, repr=False)

    @cached_property
    def luma_cells(self) -> Uint8Array:
        """Return the mean luma of LUMA_CELLS."""
        import cv2

        return np.asarray(cv2.resize(self.luma, LUMA_CELLS, interpolation=cv2.INTER_AREA))

    @cached_property
    def half_luma(self) -> Uint8Array:
        """Return the luma at half its size, [H // 2, W // 2], in which motion is measured."""
        import cv2

        height, width = self.luma.shape
        return np.asarray(
            cv2.resize(self.luma, (width // 2, height // 2), interpolation=cv2.INTER_AREA)
        )

    @property
    def bands(self) -> Uint8Array:
        """Return bands of 16 lines at full size, [bands, 16, W], not turned upright.

        Only for analyzers with `with_bands`.
        """
        if self.stored_bands is None:
            raise UsageError(
                "frames have no bands: set `with_bands = True` in the analyzer's class"
            )
        return self.stored_bands

    @property
    def full_luma(self) -> Uint8Array:
        """Return the luma at full size, [H, W], not upright; for analyzers `with_full_luma`."""
        if self.stored_luma is None:
            raise UsageError(
                "frames have no full luma: set `with_full_luma = True` in the analyzer's class"
            )
        return self.stored_luma

    @property
    def chroma(self) -> tuple[Uint8Array, Uint8Array]:
        """Return Cb and Cr, [H/2, W/2] each, 128 is grey; only for analyzers with `with_chroma`."""
        if self.planes is None:
            raise UsageError(
                "frames have no chroma: set `with_chroma = True` in the analyzer's class"
            )
        return self.planes

    @cached_property
    def bgr(self) -> Uint8Array:
        """Return the frame in BGR as OpenCV expects it, [H, W, 3]; needs `with_chroma`."""
        import cv2

        height, width = self.luma.shape[0] // 2 * 2, self.luma.shape[1] // 2 * 2
        size = (width // 2, height // 2)
        planes = [self.luma[:height, :width]]
        planes += [cv2.resize(p, size, interpolation=cv2.INTER_NEAREST) for p in self.chroma]
        flat = np.concatenate([p.reshape(-1) for p in planes]).reshape(height * 3 // 2, width)
        bgr_image: Uint8Array = cv2.cvtColor(flat, cv2.COLOR_YUV2BGR_I420)
        return bgr_image


@dataclass(frozen=True, kw_only=True)
class FrameExtras:
    """Parts of a reduced frame that only some analyzers need."""

    with_chroma: bool = False
    with_bands: bool = False
    with_full_luma: bool = False

    def bytes_of(self, codec_context: Any) -> int:
        """Return the bytes of a frame that they add to its reduced luma."""
        full = int(codec_context.width) * int(codec_context.height)
        return MAX_BAND_BYTES * self.with_bands + full * self.with_full_luma


NO_EXTRAS = FrameExtras()


def reduced_frames(reader: VideoReader, extras: FrameExtras = NO_EXTRAS) -> Iterator[ReducedFrame]:
    """Yield every frame from the start of a video, reduced.

    Video with several groups of pictures is decoded on `reader.threads` threads in parallel; raise
    DamagedGroupError if it is damaged, after which one thread decodes it as a player does.
    """
    packets = reader.checked_packets()
    first = list(islice(packets, MAX_GROUP_PACKETS))
    packets = chain(first, packets)
    is_sequential = reader.threads == 1 or bool(reader.field_filters)
    if is_sequential or not has_multiple_groups(first, reader.stream):
        frames = reader.decode_packets(packets)
        return (reduce_frame(reader, frame, extras) for frame in frames)
    return decode_parallel(
        reader.path,
        packet_groups(packets, group_start_predicate(reader.stream)),
        partial(reduce_frame, extras=extras),
        threads=reader.threads,
        max_buffered_bytes=MAX_BUFFERED_BYTES,
        bytes_per_frame=_reduced_frame_bytes(reader.stream.codec_context, extras),
    )


def _reduced_frame_bytes(codec_context: Any, extras: FrameExtras) -> int:
    """Return the size of a reduced frame's luma and extras in bytes."""
    steps = _downscale_steps(codec_context.width)
    luma = int(codec_context.width >> steps) * int(codec_context.height >> steps)
    return luma + extras.bytes_of(codec_context)


def reduce_frame(reader: VideoReader, frame: RawFrame, extras: FrameExtras) -> ReducedFrame:
    """Average a decoded frame down and rotate it upright; raise MediaError if it is too small."""
    with media_errors(f"{reader.path.name!r} has a frame that cannot be converted"):
        return _reduced(reader, *frame, extras)


def _reduced(reader: VideoReader, raw: Any, flags: FrameFlag, extras: FrameExtras) -> ReducedFrame:
    import cv2

    pts, size = int(raw.pts), reader.display_transform.display_size(raw)
    duration = int(raw.duration or 0)
    orientation, steps = Orientation.of(side_data(raw)), _downscale_steps(raw.width)
    stored_bands = luma_bands(raw) if extras.with_bands else None
    stored_luma = full_luma(raw) if extras.with_full_luma else None
    if raw.format.name not in ("yuv420p", "yuvj420p") or hdr_transfer(raw):
        raw, steps = _convert_to_yuv420p(raw, steps), 0

    def reduced_plane(index: int) -> Uint8Array:
        return orientation.apply(downscale_by_2(plane_view(raw, index), steps))

    def thumbnail(index: int) -> Uint8Array:
        image = orientation.apply(plane_view(raw, index))
        return _cell_means(image, CHROMA_CELL_SIZE // 2 << steps)

    luma = reduced_plane(0)
    if min(luma.shape) < MIN_REDUCED_SIDE:
        raise MediaError(
            f"{reader.path.name!r} is {size[0]} x {size[1]} pixels: too few, or too long and thin, "
            "to find shots in; scale or crop the video first"
        )
    chroma = (reduced_plane(1), reduced_plane(2)) if extras.with_chroma else None
    chroma_thumbnail = cv2.merge((thumbnail(1), thumbnail(2)))
    return ReducedFrame(
        *(pts, duration, size, luma, chroma_thumbnail, chroma, flags),
        is_full_range=is_full_range(raw),
        stored_bands=stored_bands,
        stored_luma=stored_luma,
    )


def _cell_means(image: Uint8Array, side: int) -> Uint8Array:
    """Return the mean of each square of `side` pixels, estimated from two of its lines."""
    import cv2

    rows, columns = max(1, image.shape[0] // side), max(1, image.shape[1] // side)
    lines = image[side // 4 :: side // 2, : columns * side][: 2 * rows]
    means: Uint8Array = cv2.resize(lines, (columns, rows), interpolation=cv2.INTER_AREA)
    return means


def _convert_to_yuv420p(raw: Any, steps: int) -> Any:
    """Convert a frame of another format to 8-bit yuv420p, halved `steps` times."""
    width, height = raw.width >> steps, raw.height >> steps
    if hdr_transfer(raw):
        raw = tone_map(raw, width, height)
    return raw.reformat(width, height, format="yuv420p", interpolation="AREA")


def _downscale_steps(width: int) -> int:
    """Return how often a width is halved while it stays at least MIN_REDUCED_WIDTH."""
    steps = 0
    while width >> (steps + 1) >= MIN_REDUCED_WIDTH:
        steps += 1
    return steps


def downscale_by_2(image: Uint8Array, times: int) -> Uint8Array:
    """Average 2 x 2 pixels, `times` times; always a copy, since decoders reuse their buffers."""
    import cv2

    for _ in range(times):
        height, width = image.shape[0] // 2, image.shape[1] // 2
        image = cv2.resize(
            image[: height * 2, : width * 2], (width, height), interpolation=cv2.INTER_AREA
        )
    return image if times else image.copy()
