"""Which of a film's formats is fetched, and which films are left out. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from brickfilm.errors import Rejected, Waiting
from brickfilm.schema.licences import hub_licence_id

OnLowResolution = Literal["reject", "keep"]
LicenceFilter = Literal["any", "cc"]
InfoDict = Mapping[str, Any]
"""yt-dlp's information dictionary of one film, a format chosen."""

YOUTUBE_STANDARD_LICENCE = "Standard YouTube License"
"""What YouTube's terms call a film with no other licence; its pages then name none."""


class SourceTooSmall(Rejected):
    """A film below the asked height.

    We never upscale: that invents pixels, which a model then learns.
    """

    default_reason = "low resolution"


class NotOpenlyLicensed(Rejected):
    """A film that nobody may cut and pass on, where only such were asked for that one may."""

    default_reason = "not openly licensed"


def format_selector(wanted: str | None = None, *, strict: bool = False) -> str:
    """A format expression: standard dynamic range where there is one, else whatever has a picture.

    wanted: the id of a format to take where it still exists; `strict` takes no other.
    """
    usual = "bv*[dynamic_range=SDR]/bv*"
    if wanted is None:
        return usual
    exact = f"bv*[format_id='{wanted}']"
    return exact if strict else f"{exact}/{usual}"


def format_sort(max_height: int) -> list[str]:
    """What to prefer among formats, first things first.

    The height comes first (the greatest up to the asked one, else the least above it), so a codec
    or a container that is handy never costs lines. H.264 decodes fastest; sound is never used.
    """
    return [f"height:{max_height}", "+hdr", "fps", "proto", "vcodec:h264", "+hasaud"]


def licence_of(info: InfoDict) -> str:
    """The licence as the site tells it; empty where it tells none."""
    describe_format = str(info.get("license") or "")
    return describe_format or (
        YOUTUBE_STANDARD_LICENCE if info.get("extractor_key") == "Youtube" else ""
    )


def describe_format(info: InfoDict, max_height: int) -> str:
    """A format for people: '136: avc1.4d401f 1280x720'; one below the asked height says so."""
    size = f"{info.get('width') or '?'}x{info.get('height') or '?'}"
    below = f" (below {max_height})" if (info.get("height") or max_height) < max_height else ""
    return f"{info.get('format_id')}: {info.get('vcodec') or 'unknown codec'} {size}{below}"


def check_not_live(info: InfoDict) -> None:
    """Raise Waiting for a stream that is still running or has not begun."""
    if (info.get("live_status") or "") in ("is_live", "is_upcoming", "post_live"):
        raise Waiting(
            f"{info.get('title')!r} is a live stream ({info['live_status']}): it can be fetched "
            "once it is over, run again later",
            reason="live stream",
        )


def check_licence(info: InfoDict, asked: LicenceFilter) -> None:
    """Raise NotOpenlyLicensed where only open licences were asked for and this is none."""
    licence = licence_of(info)
    if asked == "cc" and hub_licence_id(licence) is None:
        raise NotOpenlyLicensed(
            f"{info.get('title')!r} has the licence {licence or 'unknown'!r}: licence='cc' keeps "
            "open ones only; licence='any' keeps it, if you have the right to use it"
        )


def check_height(info: InfoDict, max_height: int, on_low_resolution: OnLowResolution) -> None:
    """Raise SourceTooSmall for a film with fewer lines than were asked; unknown lines pass."""
    lines = info.get("height")
    if lines and lines < max_height and on_low_resolution == "reject":
        raise SourceTooSmall(
            f"{info.get('title')!r} is {lines} lines ({info.get('width')}x{lines}), {max_height} "
            "were asked: lower max_height, or keep it with on_low_resolution='keep'"
        )


def check_dynamic_range(info: InfoDict) -> None:
    """Raise Rejected for a film that exists in high dynamic range only.

    Written as it is it would look washed out, and mapping its tones is a choice no pipeline should
    make in silence.
    """
    kind = info.get("dynamic_range") or "SDR"
    if kind != "SDR":
        raise Rejected(
            f"{info.get('title')!r} is offered in high dynamic range only ({kind}): it is left "
            "out, its colours would be wrong",
            reason="high dynamic range",
        )
