"""Write stills of a clip, and its middle frame as a separate image."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import PIL.Image

from brickfilm.digest import digest_of, field_added_later
from brickfilm.engine.sinks import Sink, SinkSession, artefact_digest, artefact_folder
from brickfilm.engine.stage import Answer
from brickfilm.errors import UsageError
from brickfilm.files import atomic_path
from brickfilm.media import Frame, perceptual_hash, sha256_of
from brickfilm.records import Clip, Image, Still, with_fields
from brickfilm.scan.poses import snap_to_poses

JPEG_QUALITY = 95
MAX_POSES = 16


@dataclass(frozen=True, kw_only=True)
class FrameSampler(Sink):
    """Write stills at relative positions in a clip, decoded from the source at exact frame numbers.

    The still at position p of n frames is frame `round(p * (n - 1))`; the image is frame
    `(n - 1) // 2`. Perceptual hashes of the first, middle and last frame find near-duplicates.

    at: positions from 0 to 1, or a number of stills, evenly spaced.
    snap: 'pose' moves each still to the first frame of the pose on screen there, or of the nearest
    free one: no two stills show the same pose, and captioners are told the time of each. At most
    16 stills.
    check_at: positions of more stills for `CaptionVerifier`, moved to poses that no other still
    shows, or to frames that are not among the others.
    """

    version: ClassVar[int] = 1
    output_types = (Clip, Image)

    at: tuple[float, ...] | int = (0.2, 0.5, 0.8)
    images: bool = True
    snap: Literal["pose"] | None = field_added_later(None)
    check_at: tuple[float, ...] = field_added_later(())

    def __post_init__(self) -> None:
        object.__setattr__(self, "at", self.positions)
        object.__setattr__(self, "check_at", tuple(self.check_at))
        every = (*self.positions, *self.check_at)
        if not self.positions or not all(0 <= p <= 1 for p in every):
            raise UsageError(f"FrameSampler(at={self.at}): give positions in a clip from 0 to 1")
        if self.snap not in (None, "pose"):
            raise UsageError(f"FrameSampler(snap={self.snap!r}): 'pose' or None")
        if self.snap and len(self.positions) > MAX_POSES:
            raise UsageError(f"FrameSampler(snap='pose'): at most {MAX_POSES} stills a clip")

    @property
    def provides(self) -> tuple[str, ...]:  # type: ignore[override]
        return ("stills", "frame_hashes", *(["check_stills"] if self.check_at else []))

    @property
    def positions(self) -> tuple[float, ...]:
        """Return the requested positions, 0..1."""
        if isinstance(self.at, int):
            return tuple((2 * n + 1) / (2 * self.at) for n in range(self.at))
        return tuple(self.at)

    def key(self, request: Clip) -> str:
        """Return the clip's id, and the frames where they depend on the scan of the video."""
        key = super().key(request)
        key += "" if request.image_frame is None else f":image {request.image_frame}"
        frames: list[Any] = self.frames(request)
        if self.check_at:
            frames = [frames, self.check_frames(request)]
        return f"{key}:{digest_of(frames)}" if self.snap or self.check_at else key

    def frames(self, clip: Clip) -> list[int]:
        """Return the stills' frame numbers in the video, one for each of `at` unless snapped."""
        last = clip.span.frames - 1
        frames = [round(p * last) for p in self.positions]
        if self.snap:
            frames = snap_to_poses(frames, clip.unique_frames)
        return [clip.span.start_frame + n for n in frames]

    def check_frames(self, clip: Clip) -> list[int]:
        """Return frame numbers in the video for `check_at`, which show what `frames` does not."""
        if not self.check_at:
            return []
        start, count = clip.span.start_frame, clip.span.frames
        seen = [frame - start for frame in self.frames(clip)]
        targets = [round(p * (count - 1)) for p in self.check_at]
        shown = {bisect_right(clip.unique_frames, n) for n in seen}
        poses = [p for n, p in enumerate(clip.unique_frames, 1) if n not in shown]
        free = poses or [n for n in range(count) if n not in seen] or list(range(count))
        return [start + n for n in snap_to_poses(targets, free)]

    def all_frames(self, clip: Clip) -> set[int]:
        """Return the frame numbers of all stills of a clip."""
        return {*self.frames(clip), *self.check_frames(clip)}

    def written_frames(self, clip: Clip) -> set[int]:
        """Return the frame numbers of all stills of a clip and of its image."""
        return {*self.all_frames(clip), *([_image_frame(clip)] if self.images else [])}

    def open_session(self, clip: Clip, work: Path) -> SinkSession:
        return _StillsSession(self, clip, work)

    def apply(self, item: Clip, answer: Answer) -> Iterable[Clip | Image]:
        stills = {still["frame"]: still for still in answer["stills"]}
        yield with_fields(
            item,
            stills=tuple(self._still(item, stills[n], k) for k, n in enumerate(self.frames(item))),
            check_stills=tuple(_timed_still(item, stills[n]) for n in self.check_frames(item)),
            frame_hashes=tuple(answer["frame_hashes"]),
        )
        if self.images:
            yield _image(item, stills[_image_frame(item)])

    def _still(self, clip: Clip, written: Mapping[str, Any], position: int) -> Still:
        if self.snap:
            return _timed_still(clip, written)
        return _still_at(self.positions[position], None, written)

    def simulate(self, item: Clip) -> Iterable[Clip | Image]:
        """Yield the records without files or hashes."""
        no_file = {"path": "", "sha256": "", "width": item.width, "height": item.height}
        stills = {n: {"frame": n, **no_file} for n in (*self.all_frames(item), _image_frame(item))}
        hashes = [""] * 3
        return self.apply(item, {"stills": list(stills.values()), "frame_hashes": hashes})


def _timed_still(clip: Clip, written: Mapping[str, Any]) -> Still:
    frame = written["frame"]
    at = (frame - clip.span.start_frame) / max(1, clip.span.frames - 1)
    return _still_at(at, clip.seconds_to(frame), written)


def _still_at(at: float, seconds: float | None, written: Mapping[str, Any]) -> Still:
    return Still(
        frame=written["frame"],
        at=at,
        path=Path(written["path"]),
        sha256=written["sha256"],
        seconds=seconds,
        width=written["width"],
        height=written["height"],
    )


def _image_frame(clip: Clip) -> int:
    return clip.middle_frame if clip.image_frame is None else clip.image_frame


def _hashed_frames(clip: Clip) -> tuple[int, int, int]:
    return clip.span.start_frame, clip.middle_frame, clip.span.end_frame - 1


def _image(clip: Clip, written: Mapping[str, Any]) -> Image:
    return Image(
        clip=clip,
        frame=written["frame"],
        path=Path(written["path"]),
        sha256=written["sha256"],
        width=written["width"],
        height=written["height"],
    )


class _StillsSession:
    """Write one clip's stills and hash its frames."""

    def __init__(self, sampler: FrameSampler, clip: Clip, work: Path) -> None:
        self.work = work
        self.stem = f"{artefact_folder(work, 'stills', clip)}/{clip.id}-f"
        self.suffix = f"-{artefact_digest(sampler, clip.conversion_key)}.jpg"
        self.stills = sampler.written_frames(clip)
        self.hashed = _hashed_frames(clip)
        self.needed_frames = self.stills.union(self.hashed)
        self.hashes: dict[int, str] = {}
        self.written: list[dict[str, Any]] = []

    def add(self, n: int, frame: Frame) -> None:
        if n not in self.needed_frames:
            return
        image = frame.image()
        if n in self.hashed:
            self.hashes[n] = perceptual_hash(image)
        if n in self.stills:
            self.written.append({"frame": n, **self._write(n, image)})

    def close(self) -> Answer:
        files = [{"path": s["path"], "sha256": s["sha256"]} for s in self.written]
        hashes = [self.hashes[n] for n in self.hashed]
        return {"files": files, "stills": self.written, "frame_hashes": hashes}

    def abort(self) -> None:
        """Keep the stills: each is complete, and the next attempt writes the same names."""

    def _write(self, n: int, image: PIL.Image.Image) -> dict[str, Any]:
        path = f"{self.stem}{n:06d}{self.suffix}"
        final = self.work / path
        with atomic_path(final) as temporary:
            image.save(temporary, "JPEG", quality=JPEG_QUALITY)
        return {
            "path": path,
            "sha256": sha256_of(final),
            "width": image.width,
            "height": image.height,
        }
