"""Small datasets in brickfilm's columns: real clips, encoded here, each with its own image."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray


def picture(clip: int, frame: int, height: int, width: int) -> NDArray[np.uint8]:
    """Return a square on a background: the colours identify the clip, the position the frame."""
    rng = np.random.default_rng(clip)
    image = np.full((height, width, 3), rng.integers(0, 255, 3), dtype=np.uint8)
    left = (frame * 3) % max(1, width - 16)
    image[height // 4 : height // 2, left : left + 16] = rng.integers(0, 255, 3)
    return image


def encoded(clip: int, frames: int, height: int, width: int) -> bytes:
    """Return an H.264 clip at 24 frames per second."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=24, options={"threads": "1"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for number in range(frames):
            image = picture(clip, number, height, width)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())
    return buffer.getvalue()


@dataclass(frozen=True)
class Toy:
    """A row of a dataset; `media` replaces the encoded clip."""

    frames: int = 20
    height: int = 144
    width: int = 256
    caption: str | None = "a small figure walks over a baseplate"
    media: bytes | None = None
    path: str = ""  # in place of the bytes in the table


def write_dataset(folder: Path, clips: list[Toy], *, name: str = "train-0", group: int = 3) -> Path:
    """Write `clips/<name>.parquet` with row groups of `group` clips, and return the folder."""
    rows = []
    for number, toy in enumerate(clips):
        size = toy.frames, toy.height, toy.width
        media = encoded(number, *size) if toy.media is None else toy.media
        rows.append(
            {
                "id": f"clip-{number}",
                "sha256": hashlib.sha256(media).hexdigest(),
                "video": {
                    "bytes": None if toy.path else media,
                    "path": toy.path or f"{number}.mp4",
                },
                "caption": toy.caption,
                "num_frames": toy.frames,
                "fps_num": 24,
                "fps_den": 1,
                "height": toy.height,
                "width": toy.width,
            }
        )
    target = folder / "clips" / f"{name}.parquet"
    target.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), target, row_group_size=group)
    return folder


def captions(count: int) -> list[str]:
    """Return captions that differ."""
    things = ("castle", "car", "robot", "boat", "tree", "dragon")
    return [f"a {things[n % 6]} number {n} turns slowly on a green baseplate" for n in range(count)]
