"""Generate small videos."""

from __future__ import annotations

import io
from collections.abc import Iterable
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]


def film_bytes(
    seed: int = 0, *, width: int = 128, height: int = 72, frames: int = 24, crf: int = 18
) -> bytes:
    """Return an mp4 of drifting noise; the seed sets the bytes, crf the size."""
    noise = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return mp4_bytes((np.roll(noise, n, axis=1) for n in range(frames)), width, height, crf)


def shots_bytes(
    *lengths: int, width: int, height: int, block: int = 40, step: int = 8, seed: int = 0
) -> bytes:
    """Return an mp4 of shots, each a field of coloured blocks that moves `step` pixels a frame."""
    rng = np.random.default_rng(seed)
    size = (height // block, width // block, 3)
    fields = [rng.integers(0, 256, size, dtype=np.uint8) for _ in lengths]
    pictures = (
        np.roll(field.repeat(block, axis=0).repeat(block, axis=1), n * step, axis=1)
        for field, length in zip(fields, lengths, strict=True)
        for n in range(length)
    )
    return mp4_bytes(pictures, width, height, crf=30)


def mp4_bytes(pictures: Iterable[Picture], width: int, height: int, crf: int) -> bytes:
    """Encode RGB pictures, [H, W, 3], at 24 fps."""
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=24)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.thread_count = 1
        stream.options = {"crf": str(crf), "preset": "ultrafast"}
        for picture in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    return file.getvalue()


def remux(source: Path, path: Path, **options: str) -> Path:
    """Copy the packets of a video into another container."""
    with av.open(str(source)) as opened, av.open(str(path), "w", options=options) as copy:
        stream = copy.add_stream_from_template(opened.streams.video[0])
        first: int | None = None
        for packet in opened.demux(video=0):
            if packet.dts is not None:
                first = packet.dts if first is None else first
                packet.pts, packet.dts = packet.pts - first, packet.dts - first
                packet.stream = stream
                copy.mux(packet)
    return path
