"""Turn the values of a table's row into a `DatasetRow`, with what they lack read from the media."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from itertools import pairwise
from typing import Any

from brickfilm.schema.frame_sampling import poses
from finetune.data.row_media import stored_bytes
from finetune.data.rows import CAPTION_COLUMNS, DatasetRow
from finetune.errors import BadSample

SIZE_COLUMNS = ("num_frames", "height", "width")
LARGEST_SIZE = 2**31 - 1  # of an integer in the index
LONE_SURROGATE = re.compile("[\ud800-\udfff]")  # is left of an emoji that JSON cuts in two


@dataclass(frozen=True)
class Place:
    """The place of a row's media, and its name in messages."""

    file: str
    row_group: int
    row_in_group: int
    name: str


def first_column(names: Iterable[str], columns: Iterable[str]) -> str | None:
    """Return the first of `names` that is among the columns, or none."""
    present = set(columns)
    return next((name for name in names if name in present), None)


def parse_row(
    values: Mapping[str, Any],
    place: Place,
    *,
    is_image: bool = False,
    read: Callable[[], bytes] | None = None,
) -> DatasetRow | BadSample:
    """Return the row of these values, or what is wrong with them as a BadSample.

    values: a caption under a name of `CAPTION_COLUMNS`, and `sha256`, `num_frames`, `height`,
    `width` and `fps` (or `fps_num` and `fps_den`) where the table has them. is_image: one frame.
    read: returns the media, for values that are missing; by default those at the place.
    """
    read = read or partial(stored_bytes, place.file, place.row_group, place.row_in_group)
    try:
        caption = _parse_caption(values)
        complete = _completed({**values, "num_frames": 1} if is_image else values, read)
        sizes = dict(zip(("frames", "height", "width"), _parse_sizes(complete), strict=True))
        return DatasetRow(
            sha256=_parse_sha256(complete["sha256"]),
            caption=caption,
            **sizes,
            fps=_parse_fps(complete, sizes["frames"]),
            file=place.file,
            row_group=place.row_group,
            row_in_group=place.row_in_group,
            drawings=_parse_drawings(values.get("new_drawings"), sizes["frames"]),
        )
    except (TypeError, ValueError, ArithmeticError, BadSample) as error:
        return BadSample(f"{place.name}: {error}")


def _parse_caption(values: Mapping[str, Any]) -> str:
    caption = values.get(first_column(CAPTION_COLUMNS, values) or "")
    if caption is None:
        return ""
    if not isinstance(caption, str):
        raise BadSample(
            f"its caption is a {type(caption).__name__}, {str(caption)[:60]}: write one text"
        )
    if LONE_SURROGATE.search(caption):
        raise BadSample(f"its caption {caption[:60]!a} has half a character: write the whole")
    return caption


def _parse_sha256(digest: str) -> bytes:
    if len(digest) != 64:
        raise BadSample(
            f"its sha256 {digest[:64]!r} has {len(digest)} digits, not 64 (an md5 has 32): leave "
            "the column out, and it is computed"
        )
    return bytes.fromhex(digest)


def _parse_sizes(values: Mapping[str, Any]) -> list[int]:
    sizes = {name: int(float(values[name])) for name in SIZE_COLUMNS}
    for name, size in sizes.items():
        if not 0 < size <= LARGEST_SIZE:
            raise BadSample(f"{name} is {size}: correct it, or leave it empty to have it read")
    return list(sizes.values())


def _parse_drawings(numbers: Sequence[int] | None, frames: int) -> tuple[int, ...]:
    """Return the first frame of each drawing; nothing where they were not measured."""
    if not numbers:
        return ()
    drawings = poses(numbers)
    if any(b <= a for a, b in pairwise(drawings)) or drawings[-1] >= frames:
        raise BadSample(
            f"its new_drawings {str(list(numbers))[:60]} are not rising numbers of its {frames} "
            "frames: build the dataset again, or leave the column out"
        )
    return drawings


def _parse_fps(values: Mapping[str, Any], frames: int) -> Fraction:
    """Return the frame rate; 0 only of an image without one."""
    if values.get("fps_num"):
        fps = Fraction(values["fps_num"]) / Fraction(values["fps_den"])  # numbers, or their texts
    else:
        fps = Fraction(values.get("fps") or 0).limit_denominator(1001)
    if not 0 <= fps <= LARGEST_SIZE or (frames > 1 and not fps):
        raise BadSample(f"its fps is {float(fps):g}: correct it, or leave it empty to have it read")
    return fps


def _completed(values: Mapping[str, Any], read: Callable[[], bytes]) -> Mapping[str, Any]:
    """Return the values, with the digest, and sizes and rate if one is missing, of the media."""
    has_fps = values.get("fps") or values.get("fps_num") or values.get("num_frames") == 1
    has_sizes = has_fps and all(values.get(name) for name in SIZE_COLUMNS)
    if has_sizes and values.get("sha256"):
        return values
    media = read()
    found = {} if has_sizes else _probe(media)
    return {**values, **found, "sha256": values.get("sha256") or hashlib.sha256(media).hexdigest()}


def _probe(media: bytes) -> dict[str, Any]:
    from finetune.data.media import probe

    info = probe(media)
    sizes = dict(zip(SIZE_COLUMNS, (info.frames, info.height, info.width), strict=True))
    return {**sizes, "fps": info.fps, "fps_num": 0}
