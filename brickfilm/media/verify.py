"""What was planned is what was written: read it back and compare."""

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
"""dB. A neighbour that fits better by less is the same picture, held, and the encoder copied it;
a frame written in another's place fits that other one with less than half the error."""


class VerificationError(MediaError):
    """A written clip is not the frames or the timestamps that were planned."""

    default_reason = "not as planned"


def verify_clip(
    path: Path,
    pts: Sequence[int],
    reference_frames: Mapping[int, Luma],
    *,
    full: bool,
    min_psnr_db: float,
) -> float:
    """Compare a clip with its plan; the worst PSNR seen, in dB.

    pts: ticks from the clip's zero, one a frame. looks: brightness of the source's frames by
    position in the clip; where two neighbours are given too, a frame must be like its own.
    `full` decodes every frame, otherwise the first and the last.
    """
    with open_video(path) as reader:
        _check_timestamps(reader, pts)
        positions = range(len(pts)) if full else sorted({0, len(pts) - 1})
        seen = _decode_luma(reader, pts, set(positions), full=full)
        return min(_check_frame(path, n, seen[n], reference_frames, min_psnr_db) for n in positions)


def verify_sound(path: Path, seconds: float) -> None:
    """A clip's sound begins with its first frame and ends with its last, to one frame of AAC."""
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        packets = [p for p in container.demux(stream) if p.pts is not None]
        begins = float(packets[0].pts * stream.time_base)
        ends = float((packets[-1].pts + packets[-1].duration) * stream.time_base)
        off = max(abs(begins), abs(ends - seconds))
        if off > (AAC_FRAME_SAMPLES + 1) / stream.rate:
            raise VerificationError(
                f"the sound of {path.name!r} lasts from {begins:.3f} to {ends:.3f} s, "
                f"0 to {seconds:.3f} were planned"
            )


def _check_timestamps(reader: VideoReader, pts: Sequence[int]) -> None:
    """Packets without decoding: as many as planned, at the times planned."""
    packets = [p.pts for p in reader.container.demux(reader.stream) if p.pts is not None]
    ticks = sorted(packets)
    scale = _tick_ratio(reader, ticks, pts)
    if ticks != [scale * t for t in pts]:
        raise VerificationError(
            f"{reader.path.name!r} holds {len(ticks)} frames, {len(pts)} were planned, "
            "or their timestamps are others"
        )


def _tick_ratio(reader: VideoReader, ticks: Sequence[int], pts: Sequence[int]) -> int:
    """mp4 may count in a finer unit than the source: a whole multiple of its ticks."""
    if len(ticks) < 2 or len(pts) < 2 or pts[-1] == 0:
        return 1
    return max(1, round(ticks[-1] / pts[-1]))


def _decode_luma(
    reader: VideoReader, pts: Sequence[int], wanted: set[int], *, full: bool
) -> dict[int, Luma]:
    """Brightness of the wanted frames, decoding from the keyframe before each."""
    found: dict[int, Luma] = {}
    reader.container.seek(0)
    for frame in reader.frames():
        if frame.number in wanted:
            found[frame.number] = plane_view(frame.raw, 0).copy()
        if not full and frame.number == 0:
            break
    if missing := wanted - set(found):
        found |= _decode_last_frame(reader, max(missing))
    return found


def _decode_last_frame(reader: VideoReader, number: int) -> dict[int, Luma]:
    """The last frame of the stream, from the last keyframe on."""
    end = reader.stream.duration or 0
    reader.container.seek(end, stream=reader.stream, backward=True)
    last: Luma | None = None
    for frame in reader.frames():
        last = plane_view(frame.raw, 0).copy()
    return {} if last is None else {number: last}


def _check_frame(
    path: Path, n: int, seen: Luma, reference_frames: Mapping[int, Luma], min_psnr_db: float
) -> float:
    own = psnr(seen, reference_frames[n])
    if own < min_psnr_db:
        raise VerificationError(
            f"frame {n} of {path.name!r} is {own:.1f} dB from its source, "
            f"{min_psnr_db:.0f} were asked: lower crf, or at_least_db where a film is noise"
        )
    for neighbour in (n - 1, n + 1):
        if (
            neighbour in reference_frames
            and psnr(seen, reference_frames[neighbour]) > own + HELD_FRAME_MARGIN_DB
        ):
            raise VerificationError(f"frame {n} of {path.name!r} is like the source's {neighbour}")
    return own


def psnr(a: Luma, b: Luma) -> float:
    """Peak signal to noise ratio of two pictures in dB; 100 where they are equal."""
    if a.shape != b.shape:
        return 0.0
    error = float(np.mean(np.square(a.astype(np.float32) - b)))
    return 100.0 if error == 0 else min(100.0, 10 * float(np.log10(255**2 / error)))
