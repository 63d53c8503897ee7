"""Verify a written clip: read it back and compare it with its source."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from brickfilm.errors import MediaError
from brickfilm.media.decode import VideoReader, open_video, plane_view
from brickfilm.media.sound import AAC_FRAME_SAMPLES

Luma = NDArray[np.uint8]

HELD_FRAME_MARGIN_DB = 3.0
"""dB by which a neighbour may match better than the frame's own source.

Held frames match equally well but for coding noise; a misplaced frame matches with less than half
the error."""


class VerificationError(MediaError):
    """A written clip has other frames or timestamps than planned."""

    default_reason = "not as planned"


def verify_clip(
    path: Path,
    pts: Sequence[int],
    reference_frames: Mapping[int, Luma],
    *,
    full: bool,
    min_psnr_db: float,
) -> float:
    """Compare a clip with its source; return the lowest PSNR in dB or raise VerificationError.

    pts: ticks from the clip's start, one a frame. reference_frames: luma of the source's frames by
    position in the clip; a frame must not match a given neighbour better than its own. full:
    compare every frame, not only the first and the last.
    """
    with open_video(path) as reader:
        _check_timestamps(reader, pts)
        positions = range(len(pts)) if full else sorted({0, len(pts) - 1})
        luma = _decode_luma(reader, set(positions), full=full)
        return min(_check_frame(path, n, luma[n], reference_frames, min_psnr_db) for n in positions)


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


def _check_timestamps(reader: VideoReader, pts: Sequence[int]) -> None:
    """Compare the packets' timestamps with the planned ones, without decoding."""
    packets = reader.container.demux(reader.stream)
    ticks = sorted(p.pts for p in packets if p.pts is not None)
    scale = _tick_ratio(ticks, pts)
    if ticks != [scale * t for t in pts]:
        raise VerificationError(
            f"{reader.path.name!r} has {len(ticks)} frames, {len(pts)} were planned, "
            "or their timestamps differ"
        )


def _tick_ratio(ticks: Sequence[int], pts: Sequence[int]) -> int:
    """Return the clip's ticks in one of the source's: mp4 may use a finer time base."""
    if len(ticks) < 2 or len(pts) < 2 or pts[-1] == 0:
        return 1
    return max(1, round(ticks[-1] / pts[-1]))


def _decode_luma(reader: VideoReader, numbers: set[int], *, full: bool) -> dict[int, Luma]:
    """Return the luma of frames by number; unless `full`, only the first and last are decoded."""
    luma: dict[int, Luma] = {}
    reader.container.seek(0)
    for frame in reader.frames():
        if frame.number in numbers:
            luma[frame.number] = plane_view(frame.raw, 0).copy()
        if not full and frame.number == 0:
            break
    if missing := numbers - set(luma):
        luma |= _decode_last_frame(reader, max(missing))
    return luma


def _decode_last_frame(reader: VideoReader, number: int) -> dict[int, Luma]:
    """Return the luma of the stream's last frame under `number`; {} if it cannot be decoded."""
    end = reader.stream.duration or 0
    reader.container.seek(end, stream=reader.stream, backward=True)
    last: Luma | None = None
    for frame in reader.frames():
        last = plane_view(frame.raw, 0).copy()
    return {} if last is None else {number: last}


def _check_frame(
    path: Path, n: int, luma: Luma, reference_frames: Mapping[int, Luma], min_psnr_db: float
) -> float:
    """Return frame `n`'s PSNR in dB; raise VerificationError if it is low or a neighbour's."""
    own = psnr(luma, reference_frames[n])
    if own < min_psnr_db:
        raise VerificationError(
            f"frame {n} of {path.name!r} has a PSNR of {own:.1f} dB, at least {min_psnr_db:.0f} is "
            "required: lower crf, or lower min_psnr_db for noisy video"
        )
    for neighbour in sorted({n - 1, n + 1} & set(reference_frames)):
        if psnr(luma, reference_frames[neighbour]) > own + HELD_FRAME_MARGIN_DB:
            raise VerificationError(f"frame {n} of {path.name!r} matches source frame {neighbour}")
    return own


def psnr(a: Luma, b: Luma) -> float:
    """Return the peak signal-to-noise ratio of two frames in dB, 100 if they are equal."""
    if a.shape != b.shape:
        return 0.0
    error = float(np.mean(np.square(a.astype(np.float32) - b)))
    return 100.0 if error == 0 else min(100.0, 10 * float(np.log10(255**2 / error)))
