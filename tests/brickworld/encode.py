"""Encode pictures with PyAV: exact timestamps, and a fixed thread count, so bytes repeat."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from tests.brickworld.choices import RenderError

if TYPE_CHECKING:
    from tests.brickworld.kinds import Array


@dataclass(frozen=True, kw_only=True)
class Encoding:
    """Encoder settings; the defaults resemble files of cameras and video sites."""

    codec: str = "libx264"
    crf: int = 20
    preset: str = "veryfast"
    gop: int = 250
    """Frames between keyframes at most."""
    bframes: int = 2
    open_gop: bool = False
    threads: int = 2
    """Part of the encoding: another count gives other bytes."""

    def options(self) -> dict[str, str]:
        """Return the codec's private options."""
        options = {"crf": str(self.crf), "preset": self.preset}
        if self.codec == "libx264":
            # no macroblock tree, so that bytes repeat: see brickfilm.media.encode
            gop = int(self.open_gop)
            options["x264-params"] = f"open-gop={gop}:threads={self.threads}:mbtree=0"
        return options


def write_film(
    path: Path,
    pictures: Iterable[Array],
    *,
    pts: Iterable[int],
    base: Fraction,
    fps: Fraction,
    size: tuple[int, int],
    encoding: Encoding,
) -> None:
    """Encode `pictures` ([H, W, 3] uint8 RGB), each shown at its tick of `base`."""
    import av

    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        container = av.open(str(path), "w")
    except (ValueError, OSError) as error:
        raise RenderError(f"cannot write {path.name!r}: {error}: choose .mp4 or .mkv") from error
    with container:
        stream = container.add_stream(encoding.codec, rate=fps, options=encoding.options())
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        stream.time_base = base
        context = stream.codec_context
        context.time_base = base
        context.gop_size = encoding.gop
        context.max_b_frames = encoding.bframes
        context.thread_count = encoding.threads
        for picture, tick in zip(pictures, pts, strict=True):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = tick, base
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
