"""Measure which share of damaged frames is kept: `python -m tests.benchmarks.damage [NAME ...]`.

A film is damaged in one place: a flipped bit, eight random bytes, a hole of zeros or one of noise.
A frame is damaged if no frame of the whole film looks like it in each block of 16 pixels.
"""

from __future__ import annotations

import random
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any

import av
import cv2
import numpy as np
import typer
from numpy.typing import NDArray

from brickfilm.errors import MediaError
from brickfilm.media import open_video
from tests.kit.odd_videos import Film
from tests.kit.timestamps import timestamps

Picture = NDArray[np.uint8]
BLOCKS = (20, 11)
SIZE = (16 * BLOCKS[0], 16 * BLOCKS[1])
VISIBLE = 8.0
"""Mean difference of a block in levels of 255."""
MIN_HOLE_BYTES, HOLE_SHARE = 512, 50
"""A hole is one of 50 parts of a file, at least 512 bytes."""
CODECS = {
    "h264": ("libx264", "yuv420p"),
    "hevc": ("libx265", "yuv420p"),
    "vp8": ("libvpx", "yuv420p"),
    "vp9": ("libvpx-vp9", "yuv420p"),
    "av1": ("libsvtav1", "yuv420p"),
    "mjpeg": ("mjpeg", "yuvj420p"),
    "png": ("png", "rgb24"),
    "mpeg4": ("mpeg4", "yuv420p"),
    "mpeg2": ("mpeg2video", "yuv420p"),
}
NAMES = (
    *("h264.mp4", "h264.ts", "h264.avi", "h264.h264", "hevc.mp4", "hevc.ts", "hevc.mkv"),
    *("vp8.webm", "vp8.mkv", "vp9.webm", "vp9.mp4", "av1.mp4"),
    *("mjpeg.avi", "mjpeg.mov", "png.mov", "mpeg4.avi", "mpeg2.ts"),
)


@dataclass(frozen=True)
class TexturedFilm(Film):
    """A drifting texture that changes in the middle, so that each frame has a lot to code."""

    def frame(self, n: int) -> Any:
        width, height = self.size
        draw = np.random.default_rng(2 * n // self.frames)
        noise = draw.integers(20, 236, (height // 8, width // 8, 3), np.uint8)
        texture = np.roll(cv2.resize(noise, self.size, interpolation=cv2.INTER_CUBIC), 3 * n, 1)
        picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(texture), format="rgb24")
        frame = picture.reformat(format=self.pix_fmt)
        frame.pts, frame.time_base = n, Fraction(1, self.rate)
        return frame


def flipped(content: bytes, at: int, draw: random.Random) -> bytes:
    return content[:at] + bytes([content[at] ^ 1 << draw.randrange(8)]) + content[at + 1 :]


def hole_bytes(content: bytes) -> int:
    return max(MIN_HOLE_BYTES, len(content) // HOLE_SHARE)


def scattered(content: bytes, at: int, draw: random.Random) -> bytes:
    changed = bytearray(content)
    for _ in range(8):
        changed[at + draw.randrange(hole_bytes(content))] = draw.randrange(256)
    return bytes(changed)


def zeroed(content: bytes, at: int, draw: random.Random) -> bytes:
    size = hole_bytes(content)
    return content[:at] + bytes(size) + content[at + size :]


def noised(content: bytes, at: int, draw: random.Random) -> bytes:
    size = hole_bytes(content)
    return content[:at] + draw.randbytes(size) + content[at + size :]


DAMAGES: tuple[Callable[[bytes, int, random.Random], bytes], ...]
DAMAGES = (flipped, scattered, zeroed, noised)


def scanned(path: Path) -> list[tuple[Picture, bool]]:
    """Return a video's frames as a scan decodes them, and whether they are rejected."""
    with open_video(path, threads=1) as reader:
        frames = list(reader.decode_packets(reader.checked_packets()))
        if reader.damage.found:
            reader.restart_strictly()
            frames = list(reader.decode_packets(reader.checked_packets()))
    rejected = timestamps([1] * (len(frames) - 1), flags=[f.flags for f in frames]).is_damaged
    pictures = [cv2.resize(frame.raw.to_ndarray(format="gray"), SIZE) for frame in frames]
    return list(zip(pictures, rejected, strict=True))


def is_shown(picture: Picture, truth: list[Picture]) -> bool:
    """Return True if a picture is one of the whole film's."""
    return any(
        cv2.resize(
            cv2.absdiff(picture, whole).astype(np.float32), BLOCKS, interpolation=cv2.INTER_AREA
        ).max()
        <= VISIBLE
        for whole in truth
    )


def measured(name: str, seeds: int, folder: Path) -> Iterator[tuple[str, int, int]]:
    """Yield the name of a kind of damage, the damaged frames of all files, and those kept."""
    codec, pixels = CODECS[Path(name).stem]
    options = {"g": "12"} | ({"x265-params": "log-level=none"} if codec == "libx265" else {})
    path = folder / name
    TexturedFilm(codec, pixels, SIZE, frames=48, options=options).write(path)
    content, truth = path.read_bytes(), [picture for picture, _ in scanned(path)]
    for damage in DAMAGES:
        damaged = kept = 0
        for seed in range(seeds):
            draw = random.Random(f"{name} {damage.__name__} {seed}")
            path.write_bytes(damage(content, int(len(content) * draw.uniform(0.15, 0.85)), draw))
            try:
                frames = scanned(path)
            except MediaError:
                continue
            wrong = [rejected for picture, rejected in frames if not is_shown(picture, truth)]
            damaged, kept = damaged + len(wrong), kept + wrong.count(False)
        yield damage.__name__, damaged, kept


def main(names: Annotated[list[str] | None, typer.Argument()] = None, seeds: int = 6) -> None:
    """Print the damaged frames and those kept, by film and kind of damage."""
    with tempfile.TemporaryDirectory() as folder:
        for name in names or NAMES:
            found = list(measured(name, seeds, Path(folder)))
            shares = ", ".join(f"{damage} {kept} of {wrong}" for damage, wrong, kept in found)
            total = sum(wrong for _, wrong, _ in found)
            kept = sum(kept for _, _, kept in found)
            print(f"{name}: {kept} of {total} kept ({shares})", flush=True)


if __name__ == "__main__":
    typer.run(main)
