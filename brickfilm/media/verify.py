"""Verify a written clip: read it back and compare it with its source."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.video.reformatter import Interpolation
from numpy.typing import NDArray

from brickfilm.errors import MediaError
from brickfilm.media.color import hdr_transfer
from brickfilm.media.decode import Frame, VideoReader
from brickfilm.media.open_video import open_video
from brickfilm.media.side_data import side_data
from brickfilm.media.sound import AAC_FRAME_SAMPLES
from brickfilm.schema.orientation import Orientation

Rgb = NDArray[np.uint8]
"""[H, W, 3], converted by the frame's own colour tags."""

MAX_COMPARED_WIDTH = 640
"""Pixels. Pictures are halved once, as chroma is, and wide ones again, to save memory."""
COLOR_GRID = (8, 5)
"""Columns and rows of the cells whose mean colours are compared."""
COLOR_PERCENTILE = 90
"""Cells on saturated edges differ, since chroma is stored at half size; so the worst tenth may."""
MAX_COLOR_ERROR = 12
"""Levels of 255 by which a cell's mean may differ: coding moves it by 3, a wrong matrix by 20."""
HELD_FRAME_MARGIN_DB = 3.0
"""dB by which a neighbour may match better than the frame's own source.

Held frames match equally well but for coding noise; a misplaced frame matches with less than half
the error."""

SAME_PICTURE_DB = 50.0
"""dB from which a frame shows its own picture, whatever its neighbours: below one level."""


class VerificationError(MediaError):
    """A written clip has other frames, timestamps or colours than planned."""

    default_reason = "not as planned"


@dataclass(frozen=True, eq=False)
class ReferenceFrame:
    """A frame that a clip must show."""

    picture: Rgb
    """As the encoder received it."""
    colors: Rgb | None
    """Mean colours as stored in the source, by cell; None where the conversion changes colours."""

    @classmethod
    def of(cls, frame: Frame, display_frame: Any) -> ReferenceFrame:
        """Keep a source frame, and what the encoder received for it."""
        picture = to_rgb(display_frame)
        if hdr_transfer(frame.raw):
            return cls(picture, None)
        source = picture if display_frame is frame.raw else to_rgb(frame.raw)
        return cls(picture, _cell_colors(source, Orientation.of(side_data(frame.raw))))


def to_rgb(raw: Any) -> Rgb:
    """Return a frame in RGB by its colour tags, halved until it is MAX_COMPARED_WIDTH wide."""
    steps = 1
    while raw.width >> steps > MAX_COMPARED_WIDTH:
        steps += 1
    width, height = max(1, raw.width >> steps), max(1, raw.height >> steps)
    reduced = raw.reformat(width, height, format="rgb24", interpolation=Interpolation.AREA)
    picture: Rgb = reduced.to_ndarray()
    return picture


def _cell_colors(picture: Rgb, orientation: Orientation) -> Rgb:
    """Return the mean colours of a stored picture's cells, upright."""
    import cv2

    upright = np.ascontiguousarray(orientation.apply(picture))
    cells: Rgb = cv2.resize(upright, COLOR_GRID, interpolation=cv2.INTER_AREA)
    return cells


def verify_clip(
    path: Path,
    pts: Sequence[int],
    reference_frames: Mapping[int, ReferenceFrame],
    *,
    full: bool,
    min_psnr_db: float,
    copied: Collection[int] = (),
) -> float:
    """Compare a clip with its source; return the lowest PSNR in dB or raise VerificationError.

    Pictures are compared in RGB, as the tags of either say. pts: ticks from the clip's start, one a
    frame. reference_frames: by position in the clip; a frame must not match a given neighbour
    better than its own. full: decode every frame and compare all that are given, not only the
    first and the last. copied: positions of frames that must be the same; if the last is one, it is
    only compared with `full`, since that takes decoding its group of pictures.
    """
    with open_video(path) as reader:
        ticks = _check_timestamps(reader, pts)
        ends = {0, len(pts) - 1} - set(copied).difference({0})
        positions = sorted(reference_frames if full else ends)
        frames = _decode_all(reader, positions, ticks) if full else _decode_ends(reader, positions)
        for n in positions:
            _check_colors(path, n, frames[n].colors, reference_frames[n].colors)
        return min(
            _check_frame(
                path,
                n,
                frames[n].picture,
                reference_frames,
                SAME_PICTURE_DB if n in copied else min_psnr_db,
            )
            for n in positions
        )


def verify_sound(path: Path, seconds: float) -> None:
    """Raise VerificationError unless a clip's sound lasts from 0 to `seconds`, to one AAC frame."""
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        packets = [p for p in container.demux(stream) if p.pts is not None]
        start = float(packets[0].pts * stream.time_base)
        end = float((packets[-1].pts + packets[-1].duration) * stream.time_base)
        error = max(abs(start), abs(end - seconds))
        if error > (AAC_FRAME_SAMPLES + 1) / stream.rate:
            raise VerificationError(
                f"the sound of {path.name!r} lasts from {start:.3f} to {end:.3f} s "
                f"instead of 0 to {seconds:.3f} s"
            )


def _check_timestamps(reader: VideoReader, pts: Sequence[int]) -> list[int]:
    """Compare the packets' timestamps with the planned ones, without decoding; return them."""
    packets = reader.container.demux(reader.stream)
    ticks = sorted(p.pts for p in packets if p.pts is not None)
    scale = _tick_ratio(ticks, pts)
    if ticks != [scale * t for t in pts]:
        raise VerificationError(
            f"{reader.path.name!r} has {len(ticks)} frames, {len(pts)} were planned, "
            "or their timestamps differ"
        )
    return ticks


def _tick_ratio(ticks: Sequence[int], pts: Sequence[int]) -> int:
    """Return the clip's ticks in one of the source's: mp4 may use a finer time base."""
    if len(ticks) < 2 or len(pts) < 2 or pts[-1] == 0:
        return 1
    return max(1, round(ticks[-1] / pts[-1]))


def _decode_all(
    reader: VideoReader, numbers: Collection[int], ticks: list[int]
) -> dict[int, ReferenceFrame]:
    """Return frames by number; raise VerificationError unless all frames decode, at their times."""
    frames: dict[int, ReferenceFrame] = {}
    decoded: list[int] = []
    reader.container.seek(0)
    for frame in reader.frames():
        decoded.append(frame.pts)
        if frame.number in numbers:
            frames[frame.number] = ReferenceFrame.of(frame, frame.raw)
    if reader.damage.found or decoded != ticks:
        raise VerificationError(
            f"{reader.path.name!r} decodes to {len(decoded)} frames, {len(ticks)} were planned, "
            "or some are damaged or at other times"
        )
    return frames


def _decode_ends(reader: VideoReader, numbers: Sequence[int]) -> dict[int, ReferenceFrame]:
    """Return the first and the last frame of a clip, by number."""
    frames = _decode_last_frame(reader, numbers[-1]) if numbers[-1] else {}
    reader.container.seek(0)
    for first in islice(reader.frames(), 1):
        frames[0] = ReferenceFrame.of(first, first.raw)
    return frames


def _decode_last_frame(reader: VideoReader, number: int) -> dict[int, ReferenceFrame]:
    """Return the stream's last frame under `number`; {} if it cannot be decoded."""
    end = reader.stream.duration or 0
    reader.container.seek(end, stream=reader.stream, backward=True)
    last = None
    for last in reader.frames():  # noqa: B007  # only the last is converted
        pass
    return {} if last is None else {number: ReferenceFrame.of(last, last.raw)}


def _check_colors(path: Path, n: int, colors: Rgb | None, source: Rgb | None) -> None:
    """Raise VerificationError if a cell's mean colour differs from the source's."""
    if colors is None or source is None:
        return
    errors = np.abs(colors.astype(int) - source).max(axis=-1)
    error = int(np.percentile(errors, COLOR_PERCENTILE))
    if error > MAX_COLOR_ERROR:
        raise VerificationError(
            f"the colours of frame {n} of {path.name!r} differ by {error} of 255 levels from the "
            f"source's, at most {MAX_COLOR_ERROR} are allowed: lower crf"
        )


def _check_frame(
    path: Path,
    n: int,
    picture: Rgb,
    reference_frames: Mapping[int, ReferenceFrame],
    min_psnr_db: float,
) -> float:
    """Return frame `n`'s PSNR in dB; raise VerificationError if it is low or a neighbour's."""
    own = psnr(picture, reference_frames[n].picture)
    if own < min_psnr_db:
        raise VerificationError(
            f"frame {n} of {path.name!r} has a PSNR of {own:.1f} dB, at least {min_psnr_db:.0f} is "
            "required: lower crf, or lower min_psnr_db for noisy video"
        )
    for neighbour in sorted({n - 1, n + 1} & set(reference_frames)):
        if own >= SAME_PICTURE_DB:
            break
        if psnr(picture, reference_frames[neighbour].picture) > own + HELD_FRAME_MARGIN_DB:
            raise VerificationError(f"frame {n} of {path.name!r} matches source frame {neighbour}")
    return own


def psnr(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    """Return the peak signal-to-noise ratio of two pictures in dB, 100 if they are equal."""
    import cv2

    if a.shape != b.shape:
        return 0.0
    error = cv2.norm(a, b, cv2.NORM_L2SQR) / a.size
    return 100.0 if error == 0 else min(100.0, 10 * float(np.log10(255**2 / error)))
