"""Encode clips: H.264 in mp4, at the source's own timestamps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.video.frame import PictureType

from brickfilm.errors import MediaError
from brickfilm.media.color import ColorTags
from brickfilm.media.container import ffmpeg_error_text, media_errors
from brickfilm.media.decode import Frame
from brickfilm.media.display_transform import DisplayTransform
from brickfilm.media.sound import Sound


@dataclass(frozen=True, kw_only=True)
class EncoderSettings:
    """Settings of x264. `threads` is one of them, since x264's output depends on it."""

    crf: int = 18
    """Constant rate factor, 0 (lossless) to 51; 18 is visually close to the source."""
    preset: str = "veryfast"
    threads: int = 2
    max_height: int | None = None
    """Lines. Higher video is scaled down; lower video is never scaled up."""
    parameter_set_id: int = 0
    """Id of the parameter sets, 0 to 31: streams that are joined need different ones."""

    def options(self) -> dict[str, str]:
        """Return the encoder's options: closed GOPs, forced keyframes as IDR frames.

        Macroblock tree is off: its SIMD code reads uninitialised memory, so a clip's bytes would
        differ between processes (glibc's MALLOC_PERTURB_ shows it).
        """
        own_id = f":sps-id={self.parameter_set_id}" if self.parameter_set_id else ""
        return {
            "crf": str(self.crf),
            "preset": self.preset,
            "forced-idr": "1",
            "x264-params": f"open-gop=0:mbtree=0{own_id}",
        }


class ClipEncoder:
    """Encode the frames of one clip, in order, with rising timestamps."""

    def __init__(
        self,
        path: Path,
        settings: EncoderSettings,
        *,
        time_base: Fraction,
        end_pts: int,
        keyframes: set[int],
        sound: Sound | None = None,
    ) -> None:
        """Prepare a file, which is opened with the first frame.

        end_pts: the clip's end on the source's clock. keyframes: positions beside the first.
        """
        self.path = path
        self.settings = settings
        self.time_base = time_base
        self.end_pts = end_pts
        self.keyframes = keyframes | {0}
        self.sound = sound
        self.has_sound = False
        self.pts: list[int] = []
        self.size = (0, 0)
        self._durations: dict[int, int] = {}
        self._container: Any = None
        self._stream: Any = None
        self._transform: DisplayTransform | None = None

    @property
    def relative_pts(self) -> list[int]:
        """Return the timestamp of every frame written, in ticks from the clip's start."""
        return [pts - self.pts[0] for pts in self.pts]

    def add(self, frame: Frame) -> Any:
        """Encode one frame; return the frame that the encoder received."""
        with media_errors(f"{self.path.name!r} cannot be encoded"):
            return self._encode(frame)

    def _encode(self, frame: Frame) -> Any:
        display_frame = self._transformed(frame)
        if self._container is None:
            self._open(display_frame)
        is_keyframe = len(self.pts) in self.keyframes
        self._set_last_duration(frame.pts)
        self.pts.append(frame.pts)
        display_frame.pts, display_frame.time_base = frame.pts - self.pts[0], self.time_base
        display_frame.pict_type = PictureType.I if is_keyframe else PictureType.NONE
        self._mux(self._stream.encode(display_frame))
        return display_frame

    def close(self) -> None:
        """Flush the encoder and finish the file."""
        if self._container is None:
            raise MediaError(f"{self.path.name!r} has no frame to write")
        self._set_last_duration(self.end_pts)
        with media_errors(f"{self.path.name!r} cannot be encoded"):
            self._mux(self._stream.encode(None))
            self._container.close()
        self._container = None

    def _set_last_duration(self, pts: int) -> None:
        """Show the frame that was added last until `pts`."""
        if self.pts:
            self._durations[self.pts[-1] - self.pts[0]] = pts - self.pts[-1]

    def abort(self) -> None:
        """Close the file and delete it."""
        if self._container is not None:
            self._container.close()
            self._container = None
        self.path.unlink(missing_ok=True)

    def _transformed(self, frame: Frame) -> Any:
        if self._transform is None:
            aspect_of = frame.display_transform.aspect_of
            self._transform = DisplayTransform(aspect_of, self.settings.max_height)
        is_same_size = self._transform.display_size(frame.raw) == frame.size
        display_frame = frame.display_frame if is_same_size else self._transform(frame.raw)
        size = (display_frame.width, display_frame.height)
        if self.size not in ((0, 0), size):
            raise MediaError(f"the frame size changes from {self.size} to {size} inside a clip")
        self.size = size
        return display_frame

    def _open(self, display_frame: Any) -> None:
        faststart = {"movflags": "+faststart"}
        self._container = av.open(str(self.path), "w", format="mp4", options=faststart)
        stream = self._container.add_stream("libx264", rate=None, options=self.settings.options())
        context = stream.codec_context
        stream.width, stream.height = self.size
        stream.pix_fmt = "yuv420p"
        context.thread_count = self.settings.threads
        context.time_base = stream.time_base = self.time_base
        ColorTags.of(display_frame).write_to(context)
        self._stream = stream
        if self.sound:
            self._add_sound(self.sound)

    def _add_sound(self, sound: Sound) -> None:
        """Write the whole sound before the first frame: it is small, and the muxer interleaves."""
        packets = sound.add_to(self._container)
        self.has_sound = bool(packets)
        for packet in packets:
            self._write(packet)

    def _mux(self, packets: Sequence[Any]) -> None:
        for packet in packets:
            packet.duration = self._durations.get(packet.pts, packet.duration)
            self._write(packet)

    def _write(self, packet: Any) -> None:
        try:
            self._container.mux(packet)
        except (av.FFmpegError, OSError) as error:
            message = f"{self.path.name!r} cannot be written: {ffmpeg_error_text(error)}"
            raise MediaError(message) from error
