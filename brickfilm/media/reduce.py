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
from brickfilm.media.decode import Film, plane
from brickfilm.media.packet_groups import LONGEST, begins_anew, has_groups, in_parts
from brickfilm.media.parallel_decode import side_by_side

SMALLEST_WIDTH = 200
"""Frames are halved while they stay at least this wide: 200 to 399 pixels, 320 for 720p.

Halving is exact averaging of two by two and costs 0.07 ms at 720p; other factors cost five times
as much, which is a quarter of decoding."""

LEAST_SIDE = 16
"""Pixels of the small frame's shorter side, below which nothing can be told from it."""

CELL = 16
"""Pixels of the small frame along the side of a cell of `tint`."""

AHEAD = 48 << 20
"""Bytes of packets and small frames that may wait: some 700 frames of a film at 720p."""

Plane = NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class ReducedFrame:
    """One frame, averaged down by a power of two; chroma at half the size of luma."""

    pts: int
    duration: int
    """Ticks, as the container says; 0 where it does not."""
    size: tuple[int, int]
    """Width and height of the shown frame."""
    luma: Plane
    """[H, W]"""
    tint: Plane
    """Blue and red by cells, [H/16, W/16, 2], 128 is grey: colours at a glance, a hundredth of what
    `chroma` costs."""
    planes: tuple[Plane, Plane] | None = field(repr=False)

    @property
    def chroma(self) -> tuple[Plane, Plane]:
        """Blue and red, [H/2, W/2], 128 is grey: for observers with `colours`."""
        if self.planes is None:
            raise UsageError("no observer has `colours = True`, so frames come without chroma")
        return self.planes

    @cached_property
    def bgr(self) -> Plane:
        """[H, W, 3], for those who want colours as OpenCV has them."""
        import cv2

        height, width = self.luma.shape[0] // 2 * 2, self.luma.shape[1] // 2 * 2
        size = (width // 2, height // 2)
        planes = [self.luma[:height, :width]]
        planes += [cv2.resize(p, size, interpolation=cv2.INTER_NEAREST) for p in self.chroma]
        flat = np.concatenate([p.reshape(-1) for p in planes]).reshape(height * 3 // 2, width)
        colours: Plane = cv2.cvtColor(flat, cv2.COLOR_YUV2BGR_I420)
        return colours


def reduced(film: Film, *, colours: bool = False) -> Iterator[ReducedFrame]:
    """Every frame of a film from its start, small; with chroma if asked.

    Groups of pictures are decoded side by side, `film.threads` of them, in a film that has any.
    """
    packets = film.packets()
    start = list(islice(packets, LONGEST))
    packets = chain(start, packets)
    if film.threads == 1 or not has_groups(start, film.stream):
        return (
            reduce_frame(film, raw, colours) for packet in packets for raw in film.decode(packet)
        )
    return side_by_side(
        film.path,
        in_parts(packets, begins_anew(film.stream)),
        partial(reduce_frame, colours=colours),
        lanes=film.threads,
        room=AHEAD,
        each=_small_size(film.stream.codec_context),
    )


def _small_size(stored: Any) -> int:
    """Bytes of a frame made small."""
    halvings = _halvings(stored.width)
    return int(stored.width >> halvings) * int(stored.height >> halvings)


def reduce_frame(film: Film, raw: Any, colours: bool) -> ReducedFrame:
    """Average a stored frame down, and turn it upright."""
    import cv2

    told = film.pts_of(raw), int(raw.duration or 0), film.upright.size_of(raw)
    turns, halvings = int(raw.rotation) % 360 // 90, _halvings(raw.width)
    if raw.format.name not in ("yuv420p", "yuvj420p"):
        raw, halvings = _converted(raw, halvings), 0

    def small(index: int) -> Plane:
        return turned(halved(plane(raw, index), halvings))

    def glanced(index: int) -> Plane:
        return _cells(turned(plane(raw, index)), CELL // 2 << halvings)

    def turned(image: Plane) -> Plane:
        return np.rot90(image, turns) if turns else image

    luma = small(0)
    if min(luma.shape) < LEAST_SIDE:
        width, height = told[2]
        raise MediaError(
            f"{film.path.name!r} is {width} x {height} pixels: too few, or too long and thin, "
            "to find shots in; scale or crop the film first"
        )
    tint = cv2.merge((glanced(1), glanced(2)))
    return ReducedFrame(*told, luma, tint, (small(1), small(2)) if colours else None)


def _cells(image: Plane, side: int) -> Plane:
    """The mean of each square of so many pixels, from two lines of it."""
    import cv2

    high, wide = max(1, image.shape[0] // side), max(1, image.shape[1] // side)
    lines = image[side // 4 :: side // 2, : wide * side][: 2 * high]
    means: Plane = cv2.resize(lines, (wide, high), interpolation=cv2.INTER_AREA)
    return means


def _converted(raw: Any, halvings: int) -> Any:
    """A frame of any other format as 8-bit yuv420p, already small."""
    return raw.reformat(
        raw.width >> halvings, raw.height >> halvings, format="yuv420p", interpolation="AREA"
    )


def _halvings(width: int) -> int:
    count = 0
    while width >> (count + 1) >= SMALLEST_WIDTH:
        count += 1
    return count


def halved(image: Plane, times: int) -> Plane:
    """Averaged two by two, so many times. A copy: decoders use their buffers again."""
    import cv2

    for _ in range(times):
        height, width = image.shape[0] // 2, image.shape[1] // 2
        image = cv2.resize(
            image[: height * 2, : width * 2], (width, height), interpolation=cv2.INTER_AREA
        )
    return image if times else image.copy()
