"""Records that pass between stages: paths and numbers, never pixels.

They are frozen and can be pickled, to be sent to a process or a Ray task.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Self, TypeVar

HdrMode = Literal["reject", "tonemap"]
"""High dynamic range: leave the video out, or convert it to BT.709."""
DeinterlaceMode = Literal["auto", "off", "reject"]
"""Interlaced and telecined video: convert it to progressive frames, keep it, or leave it out."""
PICTURE_CONVERSIONS = frozenset(
    (
        *("PQ to SDR", "HLG to SDR", "mirrored", "deinterlaced", "inverse telecine"),
        *("deinterlaced bff", "inverse telecine bff"),
    )
)
"""Conversions that change what a picture shows."""


@dataclass(frozen=True, kw_only=True, order=True)
class GivenSpan:
    """A span that a source lists, in seconds of the video's own time; the default is all of it."""

    start: float = 0.0
    end: float = math.inf
    caption: str = ""


@dataclass(frozen=True, kw_only=True)
class Listing:
    """One video as a source lists it, before anything is fetched or opened."""

    source_id: str
    """The source's own id: a path below the folder, a YouTube id."""
    url: str = ""
    path: Path | None = None
    title: str = ""
    uploader: str = ""
    licence: str = ""
    seconds: float = 0.0
    """Duration of the video, or 0 if the source does not list it."""
    bytes: int = 0
    """Size of the file, or 0 if the source does not list it."""
    fps: Fraction | None = None
    """Frame rate of numbered stills, whose `path` has `%d` for the number; None for other files."""
    address: str = ""
    """Address to download from, if it is not `url`: with a token, or a file of this machine."""
    version: str = ""
    """Digest of the content that the source states; another one is downloaded anew."""
    spans: tuple[GivenSpan, ...] = ()
    """Spans that become the clips; without any, shots are detected."""

    @property
    def id(self) -> str:
        return self.source_id


@dataclass(frozen=True, kw_only=True)
class Video:
    """A video on disk. Its `id` comes from its bytes, so two names of one file have one id."""

    path: Path
    """Absolute, or relative to the work folder."""
    sha256: str
    source_id: str
    fps: Fraction
    """Average frame rate; the time of a frame comes from its timestamp instead."""
    time_base: Fraction
    """Seconds per tick of every `pts` of this video."""
    width: int
    height: int
    """Size as displayed, after rotation and with square pixels."""
    frames: int | None = None
    """Number of frames, known after the scan."""
    non_monotonic_pts: bool = False
    """True if a timestamp goes back."""
    needs_counting: bool = False
    """True if frames are found by counting instead of seeking: no timestamp tells them apart."""
    duration: float = 0.0
    """Seconds; after the scan, the time that its frames are shown and that is missing."""
    header_seconds: float = 0.0
    """Duration of the video stream that a header states, 0 if none does."""
    conversions: tuple[str, ...] | None = None
    """Conversions of its pictures, turning and resizing apart: 'PQ to SDR', 'deinterlaced', ...
    None for a plain video that an older version probed, which did not say."""
    has_matrix: bool = False
    """True if the video names its colour matrix."""
    first_number: int = 0
    """Number of the first file of a sequence of stills."""
    file_state: str = ""
    """State of a file outside the work folder when it was probed; '' if it is not to be checked."""
    url: str = ""
    title: str = ""
    uploader: str = ""
    channel: str = ""
    upload_date: str = ""
    licence: str = ""
    format: str = ""
    tool: str = ""
    spans: tuple[GivenSpan, ...] = ()
    """Spans that its source lists, which become its clips."""

    @property
    def id(self) -> str:
        return self.sha256[:16]

    @property
    def conversion_key(self) -> str:
        """Return what distinguishes its converted pictures in keys; '' for plain ones.

        The other conversions give the pictures that the first release gave.
        """
        return "".join(f":{c}" for c in self.conversions or () if c in PICTURE_CONVERSIONS)


@dataclass(frozen=True, kw_only=True, order=True)
class Span:
    """A span of a video: [start, end) in frame numbers and in ticks of its time base."""

    start_frame: int
    end_frame: int
    start_pts: int
    end_pts: int

    @property
    def frames(self) -> int:
        return self.end_frame - self.start_frame


EDITED_BY_HAND = "edited by hand"
"""Model of a caption that a person wrote or corrected."""
GIVEN_BY_SOURCE = "source"
"""Model of a caption that came with the video, from a list or a dataset."""
MAX_CAPTION = 20_000
"""Characters of a caption; text encoders of video models read 512 tokens at most."""


@dataclass(frozen=True, kw_only=True)
class Caption:
    """A caption; its text enters the dataset only if `status` is 'described'."""

    text: str
    status: str = "described"
    model: str = ""
    prompt_digest: str = ""
    input_tokens: int = 0
    output_tokens: int = 0
    cost: float = 0.0
    """US dollars."""
    aspects: Mapping[str, str] = field(default_factory=dict)
    """Parts of a structured answer, by name (captions/aspects.py)."""

    @property
    def is_edited(self) -> bool:
        """Return True if a person decided about it: no filter and no audit overrules that."""
        return self.model == EDITED_BY_HAND


@dataclass(frozen=True, kw_only=True)
class Still:
    """One frame of a clip, written as a JPEG."""

    frame: int
    """Frame number in the video."""
    at: float
    """Requested position in the clip, 0..1."""
    path: Path
    sha256: str
    seconds: float | None = None
    """Time from the clip's start, where the request is to name it."""
    width: int = 0
    """Pixels of the written file; 0 if unknown."""
    height: int = 0


@dataclass(frozen=True, kw_only=True)
class Embedding:
    """The mean of the unit vectors of a clip's stills, in a file."""

    path: Path
    """`.npy` of float32, relative to the work folder."""
    model: str
    """Hub id or folder of the CLIP model."""


@dataclass(frozen=True, kw_only=True)
class Clip:
    """A span of a video, with what the stages added to it."""

    video: Video
    span: Span
    path: Path | None = None
    """Relative to the work folder, once written."""
    sha256: str = ""
    """Of the written media file."""
    width: int = 0
    height: int = 0
    encoding: str = ""
    """'copied', or 'encoded: ' and why no part was copied; '' where nothing was to be copied."""
    scores: Mapping[str, float] = field(default_factory=dict)
    unique_frames: tuple[int, ...] = ()
    """Positions in the clip, from 0, of the frames that do not repeat the one before."""
    shot_detector: str = ""
    """Name of the detector that found its shot; empty for those older than the column."""
    transitions: tuple[str, ...] = ()
    """How it begins and how it ends: 'cut', 'dissolve', 'split', ...; empty if that is unknown."""
    stills: tuple[Still, ...] = ()
    check_stills: tuple[Still, ...] = ()
    """Stills at other frames, for a check of what a captioner said of `stills`."""
    frame_hashes: tuple[str, ...] = ()
    """Perceptual hashes of the first, middle and last frame, in hex."""
    embedding: Embedding | None = None
    caption: Caption | None = None
    image_frame: int | None = None
    """Frame number in the video of its image; None is the middle one."""

    @cached_property
    def id(self) -> str:
        """Return the id of the span, independent of settings and of the written file."""
        return f"{self.video.id}-{self.span.start_frame:06d}-{self.span.end_frame:06d}"

    @property
    def conversion_key(self) -> str:
        return self.video.conversion_key

    @cached_property
    def start(self) -> float:
        """Return the start in seconds of the video's own time."""
        return _seconds(self.span.start_pts, self.video.time_base)

    @cached_property
    def end(self) -> float:
        return _seconds(self.span.end_pts, self.video.time_base)

    @property
    def middle_frame(self) -> int:
        return self.span.start_frame + (self.span.frames - 1) // 2

    def with_image_at(self, frame: int) -> Self:
        """Return a copy whose image is a frame of the video, if the clip has that frame."""
        is_inside = self.span.start_frame <= frame < self.span.end_frame
        chosen = frame if is_inside and frame != self.middle_frame else None
        return with_fields(self, image_frame=chosen)

    def seconds_to(self, frame: int) -> float:
        """Return the time from the start to a frame of the video; exact at a constant rate."""
        return float((frame - self.span.start_frame) / self.fps)

    @cached_property
    def fps(self) -> Fraction:
        """Return the exact average frame rate of this span."""
        ticks = self.span.end_pts - self.span.start_pts
        return Fraction(self.span.frames) / (ticks * self.video.time_base)

    def with_scores(self, **scores: float) -> Self:
        """Return a copy with more scores."""
        return with_fields(self, scores={**self.scores, **scores})


def _seconds(pts: int, time_base: Fraction) -> float:
    """Return `float(pts * time_base)`, the nearest float, without a Fraction in between."""
    return pts * time_base.numerator / time_base.denominator


@dataclass(frozen=True, kw_only=True)
class Image:
    """A clip's middle frame, captioned and filtered independently of the clip.

    Of a clip that was trimmed, the middle frame from before, if it is still in the clip.
    """

    clip: Clip
    frame: int
    """Frame number in the video."""
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
        """Return the time in seconds of the video's own time, exact at a constant frame rate."""
        fraction = (self.frame - self.clip.span.start_frame) / self.clip.span.frames
        return self.clip.start + fraction * (self.clip.end - self.clip.start)


Record = Listing | Video | Clip | Image
Media = TypeVar("Media", bound=Clip | Image)


def with_fields(record: Media, **fields: Any) -> Media:
    """Return a copy of a clip or image with other values of some fields, as `replace` does.

    What it has computed, its id and times, is kept: that, and no `__init__`, take a tenth of the
    time, and a pass copies every clip at every stage.
    """
    names = fields.keys()
    if names & _PLACE or not names <= record.__dataclass_fields__.keys():
        return replace(record, **fields)
    copy = object.__new__(type(record))
    vars(copy).update(vars(record), **fields)
    return copy


_PLACE = frozenset(("video", "span", "clip", "frame"))
"""Fields that ids and times are computed from."""
