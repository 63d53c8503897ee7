"""Choose a video's format, and reject videos that the filters leave out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from brickfilm.errors import Rejected, Waiting
from brickfilm.schema.licences import hub_licence_id

OnLowResolution = Literal["reject", "keep"]
LicenceFilter = Literal["any", "cc"]
InfoDict = Mapping[str, Any]
"""yt-dlp's information dictionary of one video, a format chosen."""

YOUTUBE_STANDARD_LICENCE = "Standard YouTube License"
"""Licence of a YouTube video whose page names none."""


class SourceTooSmall(Rejected):
    """The video is lower than `max_height`; it is never upscaled, as a model would learn that."""

    default_reason = "low resolution"


class NotOpenlyLicensed(Rejected):
    """The video has no open licence, and `licence='cc'` is set."""

    default_reason = "not openly licensed"


def format_selector(wanted: str | None = None, *, strict: bool = False) -> str:
    """Return a format expression that prefers standard dynamic range.

    wanted: the id of a format to prefer over all others; `strict` accepts no other.
    """
    default = "bv*[dynamic_range=SDR]/bv*"
    if wanted is None:
        return default
    exact = f"bv*[format_id='{wanted}']"
    return exact if strict else f"{exact}/{default}"


def format_sort(max_height: int) -> list[str]:
    """Return yt-dlp's sort keys for formats, the most important first.

    The height comes first (the greatest up to `max_height`, else the least above it), so that no
    preferred codec or container costs lines. H.264 decodes fastest; sound is never used.
    """
    return [f"height:{max_height}", "+hdr", "fps", "proto", "vcodec:h264", "+hasaud"]


def licence_of(info: InfoDict) -> str:
    """Return the licence that the site names, YouTube's standard one, or ''."""
    default = YOUTUBE_STANDARD_LICENCE if info.get("extractor_key") == "Youtube" else ""
    return str(info.get("license") or default)


def describe_format(info: InfoDict, max_height: int) -> str:
    """Describe a format as '136: avc1.4d401f 1280x720', with a note if below `max_height`."""
    size = f"{info.get('width') or '?'}x{info.get('height') or '?'}"
    below = f" (below {max_height})" if (info.get("height") or max_height) < max_height else ""
    return f"{info.get('format_id')}: {info.get('vcodec') or 'unknown codec'} {size}{below}"


def check_not_live(info: InfoDict) -> None:
    """Raise Waiting for a stream that has not ended."""
    if (info.get("live_status") or "") in ("is_live", "is_upcoming", "post_live"):
        raise Waiting(
            f"{info.get('title')!r} is a live stream ({info['live_status']}): it can be "
            "downloaded once it has ended, run the same command later",
            reason="live stream",
        )


def check_licence(info: InfoDict, licence_filter: LicenceFilter) -> None:
    """Raise NotOpenlyLicensed if the filter is 'cc' and the licence is not open."""
    licence = licence_of(info)
    if licence_filter == "cc" and hub_licence_id(licence) is None:
        raise NotOpenlyLicensed(
            f"{info.get('title')!r} has the licence {licence or 'unknown'!r}: licence='cc' keeps "
            "open licences only; use licence='any' if you have the right to use it"
        )


def check_height(info: InfoDict, max_height: int, on_low_resolution: OnLowResolution) -> None:
    """Raise SourceTooSmall for a video lower than `max_height`; an unknown height passes."""
    height = info.get("height")
    if height and height < max_height and on_low_resolution == "reject":
        raise SourceTooSmall(
            f"{info.get('title')!r} has {height} lines ({info.get('width')}x{height}), "
            f"max_height={max_height}: lower it, or keep the video with on_low_resolution='keep'"
        )


def check_dynamic_range(info: InfoDict) -> None:
    """Raise Rejected for a video that exists in high dynamic range only."""
    dynamic_range = info.get("dynamic_range") or "SDR"
    if dynamic_range != "SDR":
        raise Rejected(
            f"{info.get('title')!r} is offered in high dynamic range only ({dynamic_range}): "
            "keep it with hdr='tonemap', which converts it to BT.709",
            reason="high dynamic range",
        )
