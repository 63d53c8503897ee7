"""Cut clips out of a video: H.264 in mp4, exact to the frame, verified after writing."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal

from brickfilm.digest import field_added_later
from brickfilm.engine.sinks import Sink, SinkSession, artefact_digest, artefact_folder
from brickfilm.engine.stage import Answer
from brickfilm.files import commit_file, temp_path
from brickfilm.media import (
    SEQUENCE_FORMAT,
    ClipEncoder,
    EncoderSettings,
    Frame,
    ReferenceFrame,
    Sound,
    VerificationError,
    media_errors,
    sha256_of,
    verify_clip,
    verify_sound,
)
from brickfilm.records import Clip, with_fields

SCALER_CONVERSIONS = (" to yuv420p", "square pixels")
"""Conversions, by their ends, that FFmpeg's scaler does."""
VERIFIED_EDGE_FRAMES = 2
"""Source frames kept from either end for verification: the last one and its neighbour."""


@dataclass(frozen=True, kw_only=True)
class ClipWriter(Sink):
    """Write each clip with the source's timestamps, never larger than the source.

    Every clip is verified: the number of packets, every timestamp, and the first and last frames
    (`verify="full"`: every frame) against the source's frames of that number.
    """

    version: ClassVar[int] = 2
    provides = ("path",)

    crf: int = 18
    preset: str = "veryfast"
    threads: int = 2
    max_height: int | None = None
    keyframes: tuple[float, ...] = (0.2, 0.5, 0.8)
    """Positions in the clip, 0..1, of keyframes: those of the stills."""
    sound: bool = field_added_later(False)
    """Add the video's sound, cut to the clip's span (AAC). Clips of a video without sound, or whose
    timestamps jump back, have none."""
    verify: Literal["ends", "full"] = field(default="ends", compare=False)
    min_psnr_db: float = field(default=30.0, compare=False)
    """Minimum PSNR of a written frame against its source."""

    @property
    def encoder_settings(self) -> EncoderSettings:
        return EncoderSettings(
            crf=self.crf, preset=self.preset, threads=self.threads, max_height=self.max_height
        )

    def key(self, request: Clip) -> str:
        """Return the key of the clip's pictures; another one where older versions lost its matrix.

        They did so whenever FFmpeg's scaler converted, and players then guess BT.709 or BT.601.
        """
        video = request.video
        is_scaled = self.max_height is not None and video.height > self.max_height
        converted = (c.endswith(SCALER_CONVERSIONS) for c in video.conversions or ())
        suffix = ":colours" if video.has_matrix and (is_scaled or any(converted)) else ""
        return f"{super().key(request)}{suffix}"

    def open_session(self, clip: Clip, work: Path) -> SinkSession:
        digest = artefact_digest(self, self.key(clip).removeprefix(clip.id))
        path = artefact_folder(work, "clips", clip) / f"{clip.id}-{digest}.mp4"
        return _ClipWriteSession(self, clip, work, path)

    def apply(self, item: Clip, answer: Answer) -> Iterable[Clip]:
        written = answer["files"][0]
        yield with_fields(
            item,
            path=Path(written["path"]),
            sha256=written["sha256"],
            width=answer["width"],
            height=answer["height"],
        )


class _ClipWriteSession:
    """Encode one clip to a temporary file, verify it and rename it."""

    def __init__(self, writer: ClipWriter, clip: Clip, work: Path, path: Path) -> None:
        self.writer = writer
        self.path = path
        self.final = work / path
        self.temporary = temp_path(self.final)
        span = clip.span
        self.source = f"{clip.video.path.name!r}, frames {span.start_frame}-{span.end_frame}"
        self.count = span.frames
        self.reference_frames: dict[int, ReferenceFrame] = {}
        self.encoder = ClipEncoder(
            self.temporary,
            writer.encoder_settings,
            time_base=clip.video.time_base,
            end_pts=span.end_pts,
            keyframes={round(p * (self.count - 1)) for p in writer.keyframes},
            sound=_sound_of(clip, work) if writer.sound else None,
        )
        self.seconds = clip.end - clip.start
        self.written = 0

    def add(self, n: int, frame: Frame) -> None:
        display_frame = self.encoder.add(frame)
        from_end = min(self.written, self.count - 1 - self.written)
        if from_end < VERIFIED_EDGE_FRAMES or self.writer.verify == "full":
            self.reference_frames[self.written] = ReferenceFrame.of(frame, display_frame)
        self.written += 1

    def close(self) -> Answer:
        try:
            self.encoder.close()
            with media_errors(f"{self.path.name!r} cannot be verified"):
                worst_psnr = self._verify()
        except VerificationError as error:
            self.encoder.abort()
            raise VerificationError(f"{self.source}: {error}") from error
        commit_file(self.temporary, self.final)
        width, height = self.encoder.size
        return {
            "files": [{"path": str(self.path), "sha256": sha256_of(self.final)}],
            "width": width,
            "height": height,
            "psnr": round(worst_psnr, 2),
        }

    def abort(self) -> None:
        self.encoder.abort()

    def _verify(self) -> float:
        if self.encoder.has_sound:
            verify_sound(self.temporary, self.seconds)
        return verify_clip(
            self.temporary,
            self.encoder.relative_pts,
            self.reference_frames,
            full=self.writer.verify == "full",
            min_psnr_db=self.writer.min_psnr_db,
        )


def _sound_of(clip: Clip, work: Path) -> Sound | None:
    """Return the sound of a clip's span; None for stills, and where timestamps jump back."""
    video, span = clip.video, clip.span
    if video.non_monotonic_pts or video.format.startswith(SEQUENCE_FORMAT):
        return None
    start, end = (pts * video.time_base for pts in (span.start_pts, span.end_pts))
    return Sound(work / video.path, start, end)
