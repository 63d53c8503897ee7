"""Small films, made on the spot."""

from __future__ import annotations

import io

import av
import numpy as np


def film_bytes(
    seed: int = 0, *, width: int = 128, height: int = 72, frames: int = 24, crf: int = 18
) -> bytes:
    """An mp4 of noise that drifts: no two seeds give the same bytes, and crf sets the size."""
    noise = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=24)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.thread_count = 1
        stream.options = {"crf": str(crf), "preset": "ultrafast"}
        for n in range(frames):
            picture = np.roll(noise, n, axis=1)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    return file.getvalue()
