"""Choose the frames, the part of the picture and the size of clips that are written anew."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Literal

from brickfilm.errors import UsageError
from brickfilm.export.prediction import Dropped
from brickfilm.export.rows import ExportRow, Recut
from brickfilm.media.crop_scale import Box
from brickfilm.media.encode import EncoderSettings
from brickfilm.schema.frame_sampling import modal_hold, poses, resample

ENCODER = EncoderSettings()
MAX_FPS = 240


@dataclass(frozen=True, kw_only=True)
class RecutSettings:
    """Changes that were asked for; the default changes nothing, and copies the clips' bytes."""

    fps: Fraction | float | Literal["drawings"] | None = None
    """Frames a second, or each drawing once. A number becomes a Fraction."""
    size: tuple[int, int] | None = None
    """Width and height; a clip that is upright is turned to the same size, upright."""
    crop: Literal["letterbox"] | Fraction | Box | None = None
    """Black bars, an aspect width / height, or a box."""

    def __post_init__(self) -> None:
        if isinstance(self.fps, int | float | Fraction):
            object.__setattr__(self, "fps", parse_fps(str(self.fps)))

    @property
    def rate(self) -> Fraction | Literal["drawings"] | None:
        """Return `fps` as it was parsed."""
        assert not isinstance(self.fps, int | float)
        return self.fps

    @property
    def changes_nothing(self) -> bool:
        return self == RecutSettings()


def parse_fps(text: str) -> Fraction | Literal["drawings"]:
    """Parse `--fps`: 'drawings', or a rate as 16, 23.976 or 24000/1001."""
    if text == "drawings":
        return "drawings"
    try:
        fps = Fraction(text)
    except (ValueError, ZeroDivisionError):
        fps = Fraction(0)
    if not 0 < fps <= MAX_FPS:
        raise UsageError(f"--fps {text!r}: give 'drawings', or a rate as 16 or 24000/1001")
    return fps


def parse_size(text: str) -> tuple[int, int]:
    """Parse `--size` WxH in pixels."""
    found = re.fullmatch(r"(\d{2,5})x(\d{2,5})", text)
    if not found or int(found[1]) % 2 or int(found[2]) % 2:
        raise UsageError(f"--size {text!r}: give even pixels as 832x480")
    return int(found[1]), int(found[2])


def parse_crop(text: str) -> Literal["letterbox"] | Fraction | Box:
    """Parse `--crop`: 'letterbox', an aspect as 16:9, or a box as x,y,width,height."""
    if text == "letterbox":
        return "letterbox"
    if aspect := re.fullmatch(r"([1-9]\d*):([1-9]\d*)", text):
        return Fraction(int(aspect[1]), int(aspect[2]))
    box = re.fullmatch(r"(\d+),(\d+),([1-9]\d*),([1-9]\d*)", text)
    if not box or any(int(number) % 2 for number in box.groups()):
        raise UsageError(
            f"--crop {text!r}: give 'letterbox', an aspect as 16:9, or even pixels as "
            "x,y,width,height"
        )
    x, y, width, height = (int(number) for number in box.groups())
    return x, y, width, height


def recut_row(
    row: ExportRow, settings: RecutSettings, max_frames: int | None, bars: Box | None
) -> ExportRow | Dropped:
    """Return the row of a clip after the changes, or why it cannot be changed so.

    max_frames: number of frames to keep at the clip's new rate, or None for all. bars: the picture
    inside the black bars, for `crop="letterbox"`. A clip that stays as it is keeps its bytes.
    """
    if row.fps is None:
        return row
    frames, fps = _retime(row, settings.rate)
    frames = frames[:max_frames]
    box = _crop_box(row, settings.crop, bars)
    if not all(box[2:]):
        return Dropped(f"nothing left of the picture by an aspect of {settings.crop}")
    size = box[2:]
    if settings.size:
        size = settings.size if box[2] >= box[3] else (settings.size[1], settings.size[0])
        box = _centred(box, Fraction(*size))
        if size[0] > box[2] or size[1] > box[3]:
            return Dropped(f"smaller than {size[0]}x{size[1]}, and no clip is scaled up")
    whole = (0, 0, row.width, row.height)
    if (frames, fps, box, size) == (tuple(range(row.frames)), row.fps, whole, whole[2:]):
        return row
    recut = Recut(
        frames=frames,
        source_fps=row.fps,
        box=box,
        keeps_time=settings.fps != "drawings",
        settings=f"{frames} {fps} {box} {size} {ENCODER}",
    )
    return replace(row, frames=len(frames), fps=fps, width=size[0], height=size[1], recut=recut)


def _retime(
    row: ExportRow, fps: Fraction | Literal["drawings"] | None
) -> tuple[tuple[int, ...], Fraction]:
    """Return the frames to show, and the new rate."""
    assert row.fps is not None
    if fps is None or fps == row.fps:
        return tuple(range(row.frames)), row.fps
    if fps == "drawings":
        return once_each(row), row.fps / modal_hold(row.drawings)
    return resample(row.frames, row.drawings, row.fps, fps), fps


def once_each(row: ExportRow) -> tuple[int, ...]:
    """Return the first frame of each drawing; raise UsageError if they were not measured."""
    if not row.drawings:
        raise UsageError(
            f"clip {row.id} has no `new_drawings`: build the dataset again, which repeats the "
            "scan only, or give a rate as --fps 12"
        )
    return poses(row.drawings)


def _crop_box(
    row: ExportRow, crop: Literal["letterbox"] | Fraction | Box | None, bars: Box | None
) -> Box:
    whole = (0, 0, row.width, row.height)
    if crop == "letterbox":
        return bars or whole
    if isinstance(crop, Fraction):
        return _centred(whole, crop)
    if crop is None:
        return whole
    x, y, width, height = crop
    if x + width > row.width or y + height > row.height:
        raise UsageError(
            f"--crop {x},{y},{width},{height} leaves the picture of clip {row.id}, which has "
            f"{row.width}x{row.height} pixels: give a smaller box, or an aspect as 16:9"
        )
    return crop


def _centred(box: Box, aspect: Fraction) -> Box:
    """Return the largest even box of an aspect, width / height, in the middle of another."""
    x, y, width, height = box
    new_width = min(width, _even(height * aspect))
    new_height = min(height, _even(width / aspect))
    left, top = x + _even((width - new_width) / 2), y + _even((height - new_height) / 2)
    return left, top, new_width, new_height


def _even(value: Fraction | float) -> int:
    return max(0, math.floor(value) // 2 * 2)
