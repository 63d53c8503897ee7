"""Draw videos in many kinds of groups of pictures."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from brickfilm.media import open_video
from brickfilm.records import Span

FRAMES, FPS = 90, 24
GROUPS = {
    "short groups": {"g": "12", "bf": "2"},
    "one group with a pyramid": {"g": "250", "bf": "5", "x264-params": "b-pyramid=normal"},
    "strict pyramid": {"g": "40", "bf": "3", "x264-params": "b-pyramid=strict:ref=6"},
    "no B-frames": {"g": "30", "bf": "0"},
    "intra only": {"g": "1"},
    "strobes": {"g": "9", "bf": "8", "b_strategy": "0"},
    "open groups": {"g": "15", "bf": "3", "x264-params": "open-gop=1"},
    "slices and intra refresh": {"x264-params": "intra-refresh=1:slices=3:keyint=30"},
}


def drawn(
    path: Path, options: dict[str, str], codec: str = "libx264", pix_fmt: str = "yuv420p"
) -> Path:
    """Encode moving noise: each frame differs from all others."""
    rng = np.random.default_rng(0)
    wide = rng.integers(0, 256, (64, 96 + 2 * FRAMES, 3), dtype=np.uint8)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=FPS)
        stream.width, stream.height, stream.pix_fmt = 96, 64, pix_fmt
        stream.options = {"crf": "30", "sc_threshold": "0", **options}
        for n in range(FRAMES):
            picture = np.ascontiguousarray(wide[:, 2 * n : 2 * n + 96])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    return path


def lumas(path: Path) -> tuple[list[int], list[NDArray[np.uint8]]]:
    with open_video(path, threads=1) as reader:
        frames = [(frame.pts, frame.luma()) for frame in reader.frames()]
    return [pts for pts, _ in frames], [luma for _, luma in frames]


def span_of(times: list[int], start: int, end: int) -> Span:
    step = times[1] - times[0]
    last = times[end] if end < len(times) else times[-1] + step
    return Span(start_frame=start, end_frame=end, start_pts=times[start], end_pts=last)
