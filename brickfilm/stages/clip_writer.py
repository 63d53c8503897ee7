"""Cut clips out of a video: H.264 in mp4, exact to the frame, verified after writing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar, Literal

from brickfilm.digest import field_added_later
from brickfilm.engine.sinks import Sink, SinkSession, artefact_digest, artefact_folder
from brickfilm.engine.stage import Answer
from brickfilm.errors import MediaError, UsageError
from brickfilm.files import commit_file, temp_path
from brickfilm.media import (
    SEQUENCE_FORMAT,
    ClipEncoder,
    ColorTags,
    EncoderSettings,
    Frame,
    NotCopyableError,
    ReferenceFrame,
    Sound,
    StreamCopy,
    VerificationError,
    media_errors,
    open_video,
    sha256_of,
    verify_clip,
    verify_sound,
)
from brickfilm.records import Clip, Video, with_fields

SCALER_CONVERSIONS = (" to yuv420p", "square pixels")
"""Conversions, by their ends, that FFmpeg's scaler does."""
JOINED_CRF = 12
"""Constant rate factor of frames beside copied ones: near-lossless, 45 dB PSNR and more."""
MAX_HELD_BYTES = 128 << 20
"""Bytes of decoded frames that are held at once; a clip that needs more is decoded as a stream."""
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
    mode: Literal["encode", "copy"] = field_added_later("encode")
    """'copy' copies groups of pictures of H.264 and encodes only the frames around them; where that
    is not exact, the clip is encoded, and its `encoding` says why."""
    sound: bool = field_added_later(False)
    """Add the video's sound, cut to the clip's span (AAC). Clips of a video without sound, or whose
    timestamps jump back, have none."""
    verify: Literal["ends", "full"] = field(default="ends", compare=False)
    min_psnr_db: float = field(default=30.0, compare=False)
    """Minimum PSNR of a written frame against its source."""

    def __post_init__(self) -> None:
        if self.mode not in ("encode", "copy"):
            raise UsageError(f"ClipWriter(mode={self.mode!r}): 'encode' or 'copy'")

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
        whole = _EncodeSession(self, clip, work, path)
        if self.mode == "encode":
            return whole
        try:
            self._check_copyable(clip.video)
            return _CopySession(whole, StreamCopy(work / clip.video.path, clip.span))
        except NotCopyableError as error:
            whole.encoding = f"encoded: {error}"
            return whole

    def _check_copyable(self, video: Video) -> None:
        """Raise NotCopyableError if every clip of a video is to be encoded."""
        if video.conversions:
            raise NotCopyableError("converted pictures")
        if self.max_height is not None and video.height > self.max_height:
            raise NotCopyableError("scaled pictures")
        if video.needs_counting or video.non_monotonic_pts:
            raise NotCopyableError("timestamps that jump back")

    def apply(self, item: Clip, answer: Answer) -> Iterable[Clip]:
        written = answer["files"][0]
        yield with_fields(
            item,
            path=Path(written["path"]),
            sha256=written["sha256"],
            width=answer["width"],
            height=answer["height"],
            encoding=answer.get("encoding", ""),
        )


class _EncodeSession:
    """Encode one clip to a temporary file, verify it and rename it."""

    needed_frames = None
    encoding = ""
    """'copied', or 'encoded: ' and why; '' where nothing was to be copied."""

    def __init__(self, writer: ClipWriter, clip: Clip, work: Path, path: Path) -> None:
        self.writer = writer
        self.clip = clip
        self.work = work
        self.path = path
        self.final = work / path
        self.temporary = temp_path(self.final)
        self.count = clip.span.frames
        self.reference_frames: dict[int, ReferenceFrame] = {}
        self.sound = _sound_of(clip, work) if writer.sound else None
        self.encoder = ClipEncoder(
            self.temporary,
            writer.encoder_settings,
            time_base=clip.video.time_base,
            end_pts=clip.span.end_pts,
            keyframes={round(p * (self.count - 1)) for p in writer.keyframes},
            sound=self.sound,
        )
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
            worst_psnr = self.verify(self.encoder.relative_pts, self.encoder.has_sound)
        except VerificationError as error:
            self.encoder.abort()
            span = self.clip.span
            source = f"{self.clip.video.path.name!r}, frames {span.start_frame}-{span.end_frame}"
            raise VerificationError(f"{source}: {error}") from error
        return self.commit(worst_psnr, self.encoder.size)

    def abort(self) -> None:
        self.encoder.abort()

    def verify(self, pts: Sequence[int], has_sound: bool, copied: range = range(0)) -> float:
        """Compare the temporary file with the source; return the lowest PSNR in dB.

        copied: positions of frames that must be the same. If there are others, all are decoded.
        """
        is_joined = 0 < len(copied) < self.count
        with media_errors(f"{self.path.name!r} cannot be verified"):
            if has_sound:
                verify_sound(self.temporary, self.clip.end - self.clip.start)
            return verify_clip(
                self.temporary,
                pts,
                self.reference_frames,
                full=self.writer.verify == "full" or is_joined,
                min_psnr_db=self.writer.min_psnr_db,
                copied=copied,
            )

    def commit(self, worst_psnr: float, size: tuple[int, int]) -> Answer:
        """Rename the verified file, and return the answer."""
        commit_file(self.temporary, self.final)
        return {
            "files": [{"path": str(self.path), "sha256": sha256_of(self.final)}],
            "width": size[0],
            "height": size[1],
            "psnr": round(worst_psnr, 2),
            **({"encoding": self.encoding} if self.encoding else {}),
        }


class _CopySession:
    """Copy what can be copied of a clip, and encode the frames around it to files of their own.

    A clip whose copy is not exact is decoded again and encoded as a whole.
    """

    def __init__(self, whole: _EncodeSession, copy: StreamCopy) -> None:
        self.whole = whole
        self.copy = copy
        self.colors: ColorTags | None = None
        self.is_converted = False
        every = range(whole.count)
        parts = (every[: copy.frames.start], every[copy.frames.stop :])
        self.encoded = {n: part for part in parts for n in part}
        """Positions of the frames that are not copied, each with all of its file."""
        self.encoders = {part.start: self._encoder(part) for part in parts if part}
        edges = (0, copy.frames.start, copy.frames.stop, whole.count) if self.encoders else (0,)
        near = {n + edge for edge in edges for n in range(-VERIFIED_EDGE_FRAMES, 2)}
        self.compared = set(every) if whole.writer.verify == "full" else near.intersection(every)
        self.needed_frames = self._needed_frames()

    def add(self, n: int, frame: Frame) -> None:
        position = n - self.whole.clip.span.start_frame
        part = self.encoded.get(position)
        if part is None and position not in self.compared:
            return
        self.is_converted = self.is_converted or frame.display_frame is not frame.raw
        self.colors = self.colors or ColorTags.of(frame.raw)
        shown = frame.raw if part is None else self.encoders[part.start].add(frame)
        if position in self.compared:
            self.whole.reference_frames[position] = ReferenceFrame.of(frame, shown)

    def close(self) -> Answer:
        try:
            return self._joined()
        except NotCopyableError as error:
            reason = str(error)
        except MediaError:
            reason = "its copy is not exact"
        finally:
            self._close_files()
        return self._encode(reason)

    def abort(self) -> None:
        self._close_files()
        self.whole.abort()

    def _encoder(self, part: range) -> ClipEncoder:
        """Return an encoder of frames beside copied ones, in their quality."""
        span, settings = self.whole.clip.span, self.whole.writer.encoder_settings
        ends = [*self.copy.pts, span.end_pts]
        return ClipEncoder(
            temp_path(self.whole.final.with_suffix(f".{part.start}.mp4")),
            replace(
                settings,
                crf=min(settings.crf, JOINED_CRF),
                parameter_set_id=self.copy.parameter_set_id,
            ),
            time_base=self.whole.clip.video.time_base,
            end_pts=ends[part.stop],
            keyframes=set(),
        )

    def _needed_frames(self) -> set[int] | None:
        """Return the numbers of the frames to decode; None for all, if they are many to hold."""
        video, start = self.whole.clip.video, self.whole.clip.span.start_frame
        positions = self.compared.union(self.encoded)
        if len(positions) * video.width * video.height * 3 // 2 > MAX_HELD_BYTES:
            return None
        return {start + n for n in positions}

    def _joined(self) -> Answer:
        if self.is_converted or self.colors is None:
            raise NotCopyableError("converted pictures")
        for encoder in self.encoders.values():
            encoder.close()
        whole, files = self.whole, {at: e.path for at, e in self.encoders.items()}
        has_sound = self.copy.join(whole.temporary, files, self.colors, whole.sound)
        self.copy.check_packets(whole.temporary)
        pts = [t - self.copy.pts[0] for t in self.copy.pts]
        worst_psnr = whole.verify(pts, has_sound, copied=self.copy.frames)
        whole.encoding = "copied"
        return whole.commit(worst_psnr, self.copy.size)

    def _encode(self, reason: str) -> Answer:
        """Decode the clip again, and encode it as a whole."""
        clip, whole = self.whole.clip, self.whole
        whole.encoding = f"encoded: {reason}"
        whole.reference_frames.clear()
        path, conversions = whole.work / clip.video.path, clip.video.conversions
        with open_video(path, conversions=conversions) as reader:
            for frame in reader.span(clip.span, by_count=clip.video.needs_counting):
                whole.add(frame.number, frame)
        return whole.close()

    def _close_files(self) -> None:
        self.copy.close()
        for encoder in self.encoders.values():
            encoder.abort()


def _sound_of(clip: Clip, work: Path) -> Sound | None:
    """Return the sound of a clip's span; None for stills, and where timestamps jump back."""
    video, span = clip.video, clip.span
    if video.non_monotonic_pts or video.format.startswith(SEQUENCE_FORMAT):
        return None
    start, end = (pts * video.time_base for pts in (span.start_pts, span.end_pts))
    return Sound(work / video.path, start, end)
