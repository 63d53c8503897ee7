"""Cut clips out of a film: H.264 in mp4, exact to the frame, checked after writing."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from brickfilm.digest import field_added_later
from brickfilm.engine.sinks import Sink, SinkSession
from brickfilm.engine.stage import Answer
from brickfilm.files import commit_file, temp_path
from brickfilm.media import (
    ClipEncoder,
    EncoderSettings,
    Frame,
    Sound,
    VerificationError,
    plane_view,
    sha256_of,
    verify_clip,
    verify_sound,
)
from brickfilm.records import Clip

VERIFIED_EDGE_FRAMES = 2
"""Frames kept from either end for checking: the end's own, and its neighbour."""


@dataclass(frozen=True, kw_only=True)
class ClipWriter(Sink):
    """Writes each clip at the source's own timing, never larger than the source.

    Every clip is verified: as many packets as planned, every timestamp as planned, and the first
    and last frames (`verify="full"`: every frame) like the source's frames of that number.
    """

    version: ClassVar[int] = 2
    provides = ("path",)

    crf: int = 18
    preset: str = "veryfast"
    threads: int = 2
    max_height: int | None = None
    keyframes: tuple[float, ...] = (0.2, 0.5, 0.8)
    """Positions in the clip, 0..1, that are keyframes: where stills are looked at."""
    sound: bool = field_added_later(False)
    """Whether a clip has its film's sound, cut to its span (AAC). A film without any, or whose
    clock jumps back, gives clips without."""
    verify: Literal["ends", "full"] = field(default="ends", compare=False)
    min_psnr_db: float = field(default=30.0, compare=False)
    """PSNR below which a written frame is not accepted as its source's."""

    @property
    def encoder_settings(self) -> EncoderSettings:
        return EncoderSettings(
            crf=self.crf, preset=self.preset, threads=self.threads, max_height=self.max_height
        )

    def open_session(self, clip: Clip, work: Path) -> SinkSession:
        path = Path("clips") / f"{clip.id}-{self.digest[:8]}.mp4"
        return _ClipWriteSession(self, clip, work, path)

    def apply(self, item: Clip, answer: Answer) -> Iterable[Clip]:
        written = answer["files"][0]
        yield replace(
            item,
            path=Path(written["path"]),
            sha256=written["sha256"],
            width=answer["width"],
            height=answer["height"],
        )


class _ClipWriteSession:
    """One clip on its way to the disk."""

    def __init__(self, writer: ClipWriter, clip: Clip, work: Path, path: Path) -> None:
        self.writer = writer
        self.path = path
        self.final = work / path
        self.final.parent.mkdir(parents=True, exist_ok=True)
        self.temporary = temp_path(self.final)
        span = clip.span
        self.source = f"{clip.video.path.name!r}, frames {span.start_frame}-{span.end_frame}"
        self.count = span.frames
        self.reference_frames: dict[int, NDArray[np.uint8]] = {}
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
        at_an_end = (
            self.written < VERIFIED_EDGE_FRAMES or self.written >= self.count - VERIFIED_EDGE_FRAMES
        )
        if at_an_end or self.writer.verify == "full":
            self.reference_frames[self.written] = plane_view(display_frame, 0).copy()
        self.written += 1

    def close(self) -> Answer:
        try:
            self.encoder.close()
            worst = self._verified()
        except VerificationError as error:
            self.encoder.abort()
            raise VerificationError(f"{self.source}: {error}") from error
        commit_file(self.temporary, self.final)
        width, height = self.encoder.size
        return {
            "files": [{"path": str(self.path), "sha256": sha256_of(self.final)}],
            "width": width,
            "height": height,
            "psnr": round(worst, 2),
        }

    def abort(self) -> None:
        self.encoder.abort()

    def _verified(self) -> float:
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
    """The sound of a clip's span; where the film's clock jumps, a time is no place in it."""
    video, span = clip.video, clip.span
    if video.non_monotonic_pts:
        return None
    start, end = (pts * video.time_base for pts in (span.start_pts, span.end_pts))
    return Sound(work / video.path, start, end)
