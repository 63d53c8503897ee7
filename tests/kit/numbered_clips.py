"""Make a saved dataset of clips whose every drawing shows its number, at chosen rates and holds."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from brickfilm import BrickfilmDataset
from brickfilm.dataset import configs_from_rows
from brickfilm.dataset.rows import clip_row
from brickfilm.engine.ledger import Ledger
from brickfilm.records import Caption, Clip, Span, Video

BITS = 10
RATE = 16_000
"""Samples a second of the tone."""


@dataclass(frozen=True)
class NumberedClip:
    """A clip to draw; `holds` repeats until its frames are used up."""

    frames: int
    fps: Fraction = Fraction(24)
    width: int = 160
    height: int = 96
    holds: tuple[int, ...] = (1,)
    caption: str | None = None
    bars: int = 0
    """Black lines above and below the picture."""
    has_tone: bool = False
    """Add sound: silence, and a tone from the middle on."""
    color: tuple[int, int, int] = (190, 185, 150)
    """RGB of the columns that stand for 1."""

    @property
    def drawings(self) -> tuple[int, ...]:
        """Return the first frame of each drawing."""
        starts, n = [0], 0
        while starts[-1] < self.frames:
            starts.append(starts[-1] + self.holds[n % len(self.holds)])
            n += 1
        return tuple(start for start in starts if start < self.frames)


CLIPS = (
    NumberedClip(20),
    NumberedClip(34, holds=(2,), caption="a castle\n\nof “grey” bricks"),
    NumberedClip(95, width=320, height=240, holds=(2,)),
    NumberedClip(93, fps=Fraction(16)),
    NumberedClip(140, fps=Fraction(30), width=144, height=160),
    NumberedClip(60, fps=Fraction(12)),
    NumberedClip(131, fps=Fraction(24000, 1001), width=304, height=240),
    NumberedClip(270, holds=(3,)),
    NumberedClip(1),
    NumberedClip(125, caption=""),
)
"""Clips of many lengths, rates, holds, sizes and captions."""


def numbered_dataset(work: Path, clips: Sequence[NumberedClip]) -> BrickfilmDataset:
    """Save one clip a video, all in the split 'train' but the last of several."""
    records = [_record(work, n, clip) for n, clip in enumerate(clips)]
    rows = [clip_row(record) for record in records]
    videos = [record.video.id for record in records]
    splits = dict.fromkeys(videos, "train") | ({videos[-1]: "test"} if len(videos) > 1 else {})
    dataset = BrickfilmDataset(configs_from_rows(rows, [], splits, work), work)
    dataset.save(work / "dataset")
    with Ledger(work) as ledger:
        ledger.save_results([])
    return dataset


def numbers_in(path: Path) -> list[int]:
    """Decode a clip and return the drawing's number that each frame shows."""
    with av.open(str(path)) as container:
        return [number_of(frame.to_ndarray(format="gray")) for frame in container.decode(video=0)]


def number_of(picture: NDArray[np.uint8]) -> int:
    """Return the number that a picture shows: ten columns, bright for 1, lowest bit first."""
    middle = picture[picture.shape[0] // 3 : picture.shape[0] * 2 // 3]
    columns = np.array_split(middle, BITS, axis=1)
    return sum(1 << bit for bit, column in enumerate(columns) if np.median(column) > 110)


def _record(work: Path, number: int, clip: NumberedClip) -> Clip:
    path = Path("clips", f"clip{number}.mp4")
    (work / "clips").mkdir(parents=True, exist_ok=True)
    encode_numbered(work / path, clip)
    tick = 1 / clip.fps
    video = Video(
        path=work / f"{number}.mp4",
        sha256=hashlib.sha256(f"{number} {clip}".encode()).hexdigest(),
        source_id=f"src{number}",
        fps=clip.fps,
        time_base=tick,
        width=clip.width,
        height=clip.height,
        title=f"Film {number}",
        licence="CC BY 4.0",
    )
    text = f"a red brick rolls past wall {number}" if clip.caption is None else clip.caption
    return Clip(
        video=video,
        span=Span(start_frame=0, end_frame=clip.frames, start_pts=0, end_pts=clip.frames),
        path=path,
        sha256=hashlib.sha256((work / path).read_bytes()).hexdigest(),
        width=clip.width,
        height=clip.height,
        unique_frames=clip.drawings,
        frame_hashes=("0" * 16,) * 3,
        caption=Caption(text=text, model="gpt-4o", prompt_digest="0123456789abcdef"),
    )


def encode_numbered(path: Path, clip: NumberedClip, **options: str) -> Path:
    """Draw a clip; options: of x264."""
    with av.open(str(path), "w", options={"movflags": "+faststart"}) as container:
        stream = container.add_stream(
            "libx264", rate=clip.fps, options={"preset": "ultrafast", "crf": "20", **options}
        )
        stream.width, stream.height, stream.pix_fmt = clip.width, clip.height, "yuv420p"
        stream.codec_context.thread_count = 1
        stream.codec_context.time_base = 1 / clip.fps
        if clip.has_tone:
            _add_tone(container, float(clip.frames / clip.fps))
        for picture in _pictures(clip):
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    return path


def _add_tone(container: Any, seconds: float) -> None:
    stream = container.add_stream("aac", rate=RATE, layout="mono")
    times = np.arange(round(seconds * RATE)) / RATE
    wave = np.where(times < seconds / 2, 0, 0.5 * np.sin(times * 440 * 2 * np.pi))
    frame = av.AudioFrame.from_ndarray(wave[None].astype(np.float32), format="fltp", layout="mono")
    frame.sample_rate, frame.pts, frame.time_base = RATE, 0, Fraction(1, RATE)
    for packet in [*stream.encode(frame), *stream.encode(None)]:
        container.mux(packet)


def _pictures(clip: NumberedClip) -> Iterator[Any]:
    number = -1
    starts = set(clip.drawings)
    for n in range(clip.frames):
        number += n in starts
        frame = av.VideoFrame.from_ndarray(_picture(clip, number), format="rgb24")
        frame.pts, frame.time_base = n, 1 / clip.fps
        yield frame


def _picture(clip: NumberedClip, number: int) -> NDArray[np.uint8]:
    image = np.full((clip.height, clip.width, 3), 60, np.uint8)
    for bit, columns in enumerate(np.array_split(np.arange(clip.width), BITS)):
        if number >> bit & 1:
            image[:, columns[0] : columns[-1] + 1] = clip.color
    if clip.bars:
        image[: clip.bars] = image[-clip.bars :] = 0
    return image
