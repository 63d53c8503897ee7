"""What flows between stages: paths and numbers, never pixels.

Every record is frozen and picklable, so it crosses a process, a Ray task or a disk.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Self


@dataclass(frozen=True, kw_only=True)
class Listing:
    """One film as a source lists it, before anything is fetched or opened."""

    source_id: str
    """The source's own name for it: a path below the folder, a YouTube id."""
    url: str = ""
    path: Path | None = None
    title: str = ""
    uploader: str = ""
    licence: str = ""
    seconds: float = 0.0
    """Length of the film and, below, of its file, where the list tells them."""
    bytes: int = 0

    @property
    def id(self) -> str:
        return self.source_id


@dataclass(frozen=True, kw_only=True)
class Video:
    """A film on disk. Its `id` comes from its bytes, so one film under two names is one film."""

    path: Path
    """Absolute, or relative to the work folder."""
    sha256: str
    source_id: str
    fps: Fraction
    """The average rate; timestamps, not this, say when a frame is shown."""
    time_base: Fraction
    """Seconds a tick of every `pts` of this film."""
    width: int
    height: int
    """Upright, square pixels: what a viewer sees, not what is stored."""
    frames: int | None = None
    """Known once the film has been scanned."""
    non_monotonic_pts: bool = False
    """Whether a timestamp ever goes back: then frames are found by counting, not by seeking."""
    duration: float = 0.0
    """Seconds."""
    url: str = ""
    title: str = ""
    uploader: str = ""
    channel: str = ""
    upload_date: str = ""
    licence: str = ""
    format: str = ""
    tool: str = ""

    @property
    def id(self) -> str:
        return self.sha256[:16]


@dataclass(frozen=True, kw_only=True, order=True)
class Span:
    """A stretch of a film: [start, end) in frame numbers and in ticks of the film's time base."""

    start_frame: int
    end_frame: int
    start_pts: int
    end_pts: int

    @property
    def frames(self) -> int:
        return self.end_frame - self.start_frame


@dataclass(frozen=True, kw_only=True)
class Caption:
    """What a captioner said. It is text in the dataset only if `status` is 'described'."""

    text: str
    status: str = "described"
    model: str = ""
    prompt_digest: str = ""
    input_tokens: int = 0
    output_tokens: int = 0
    cost: float = 0.0
    """US dollars."""


@dataclass(frozen=True, kw_only=True)
class Still:
    """One frame of a clip, written as a JPEG."""

    frame: int
    """Number within the film."""
    at: float
    """Asked position within the clip, 0..1."""
    path: Path
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Clip:
    """A span of a film, and what became known of it on its way."""

    video: Video
    span: Span
    path: Path | None = None
    """Relative to the work folder, once written."""
    sha256: str = ""
    """Of the written media, never of the place."""
    width: int = 0
    height: int = 0
    scores: Mapping[str, float] = field(default_factory=dict)
    unique_frames: tuple[int, ...] = ()
    """Positions in the clip, from 0, of the frames that are no held ones."""
    stills: tuple[Still, ...] = ()
    frame_hashes: tuple[str, ...] = ()
    """Perceptual hashes of the first, middle and last frame, in hex."""
    caption: Caption | None = None

    @property
    def id(self) -> str:
        """The place: the same everywhere, for ever."""
        return f"{self.video.id}-{self.span.start_frame:06d}-{self.span.end_frame:06d}"

    @property
    def start(self) -> float:
        """Seconds from the film's own zero."""
        return float(self.span.start_pts * self.video.time_base)

    @property
    def end(self) -> float:
        return float(self.span.end_pts * self.video.time_base)

    @property
    def fps(self) -> Fraction:
        """Frames over seconds of this span, exact: what a player shows on average."""
        ticks = self.span.end_pts - self.span.start_pts
        return Fraction(self.span.frames) / (ticks * self.video.time_base)

    def with_scores(self, **scores: float) -> Self:
        """This clip with more scores."""
        return replace(self, scores={**self.scores, **scores})


@dataclass(frozen=True, kw_only=True)
class Image:
    """A clip's middle frame, living its own life: captioned apart, judged apart."""

    clip: Clip
    frame: int
    """Number within the film."""
    path: Path
    sha256: str
    width: int
    height: int
    caption: Caption | None = None

    @property
    def id(self) -> str:
        return f"{self.clip.id}-f{self.frame:06d}"

    @property
    def video(self) -> Video:
        return self.clip.video

    @property
    def time(self) -> float:
        """Seconds from the film's own zero, to a frame (exact only where the rate is constant)."""
        share = (self.frame - self.clip.span.start_frame) / self.clip.span.frames
        return self.clip.start + share * (self.clip.end - self.clip.start)


Record = Listing | Video | Clip | Image
