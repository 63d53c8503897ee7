"""Write stills of a clip, and its middle frame as a separate image."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import PIL.Image

from brickfilm.engine.sinks import Sink, SinkSession
from brickfilm.engine.stage import Answer
from brickfilm.errors import UsageError
from brickfilm.files import atomic_path
from brickfilm.media import Frame, perceptual_hash, sha256_of
from brickfilm.records import Clip, Image, Still

JPEG_QUALITY = 95


@dataclass(frozen=True, kw_only=True)
class FrameSampler(Sink):
    """Write stills at relative positions in a clip, decoded from the source at exact frame numbers.

    The still at position p of n frames is frame `round(p * (n - 1))`; the image is frame
    `(n - 1) // 2`. Perceptual hashes of the first, middle and last frame find near-duplicates.
    """

    version: ClassVar[int] = 1
    output_types = (Clip, Image)
    provides = ("stills", "frame_hashes")

    at: tuple[float, ...] = (0.2, 0.5, 0.8)
    images: bool = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "at", tuple(self.at))
        if not self.at or not all(0 <= p <= 1 for p in self.at):
            raise UsageError(f"FrameSampler(at={self.at}): give positions in a clip from 0 to 1")

    def frames(self, clip: Clip) -> list[int]:
        """Return the stills' frame numbers in the video, one for each of `at`."""
        return [clip.span.start_frame + round(p * (clip.span.frames - 1)) for p in self.at]

    def open_session(self, clip: Clip, work: Path) -> SinkSession:
        return _StillsSession(self, clip, work)

    def apply(self, item: Clip, answer: Answer) -> Iterable[Clip | Image]:
        stills = {still["frame"]: still for still in answer["stills"]}
        yield replace(
            item,
            stills=tuple(
                _still(stills[n], at) for n, at in zip(self.frames(item), self.at, strict=True)
            ),
            frame_hashes=tuple(answer["frame_hashes"]),
        )
        if self.images:
            yield _image(item, stills[_middle_frame(item)])

    def simulate(self, item: Clip) -> Iterable[Clip | Image]:
        """Yield the records without files or hashes."""
        no_file = {"path": "", "sha256": "", "width": item.width, "height": item.height}
        stills = {n: {"frame": n, **no_file} for n in (*self.frames(item), _middle_frame(item))}
        hashes = [""] * 3
        return self.apply(item, {"stills": list(stills.values()), "frame_hashes": hashes})


def _middle_frame(clip: Clip) -> int:
    return clip.span.start_frame + (clip.span.frames - 1) // 2


def _still(written: Mapping[str, Any], at: float) -> Still:
    return Still(
        frame=written["frame"], at=at, path=Path(written["path"]), sha256=written["sha256"]
    )


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
        self.stem = f"stills/{clip.id}-f"
        self.suffix = f"-{sampler.digest[:8]}.jpg"
        middle = _middle_frame(clip)
        self.stills = {*sampler.frames(clip), *([middle] if sampler.images else [])}
        self.hashed = (clip.span.start_frame, middle, clip.span.end_frame - 1)
        self.hashes: dict[int, str] = {}
        self.written: list[dict[str, Any]] = []
        (work / "stills").mkdir(parents=True, exist_ok=True)

    def add(self, n: int, frame: Frame) -> None:
        if n not in self.stills and n not in self.hashed:
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
