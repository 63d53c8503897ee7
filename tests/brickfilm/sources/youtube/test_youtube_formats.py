"""yt-dlp's format selection, on information dictionaries like its YouTube extractor's."""

from __future__ import annotations

from typing import Any

import pytest

from brickfilm.errors import Failed, Rejected, Waiting
from brickfilm.records import Listing
from brickfilm.sources import Connection, RateLimits
from brickfilm.sources.youtube import formats, ytdlp

H264, VP9, AV1, HDR = "avc1.4d401f", "vp9", "av01.0.05M.08", "vp9.2"
SOUND = {"format_id": "140", "url": "https://x.invalid/140", "ext": "m4a", "vcodec": "none"}
STORYBOARD = {"format_id": "sb0", "url": "https://x.invalid/sb0", "ext": "mhtml"} | {
    "vcodec": "none",
    "acodec": "none",
    "format_note": "storyboard",
}


def picture(format_id: str, height: int, vcodec: str = H264, **more: Any) -> dict[str, Any]:
    """One format as YouTube lists it: video without sound by default."""
    return {
        "format_id": format_id,
        "url": f"https://x.invalid/{format_id}",
        "ext": "mp4" if vcodec == H264 else "webm",
        "width": round(height * 16 / 9),
        "height": height,
        "fps": 24,
        "vcodec": vcodec,
        "acodec": "none",
        "protocol": "https",
    } | more


def chosen(*offered: dict[str, Any], height: int = 720, **wanted: Any) -> dict[str, Any]:
    listing = Listing(source_id="abc-EFG_123", url="https://www.youtube.com/watch?v=abc-EFG_123")
    options = {
        "format": formats.format_selector(**wanted),
        "format_sort": formats.format_sort(height),
    }
    film = {
        "id": "abc-EFG_123",
        "title": "A film",
        "extractor": "youtube",
        "extractor_key": "Youtube",
        "formats": [STORYBOARD, SOUND, *offered],
    }
    with ytdlp.open_session(listing, Connection(), RateLimits(), **options) as session:
        return session.select_format(film)


@pytest.mark.parametrize(
    ("offered", "expected"),
    [
        ([picture("135", 480), picture("136", 720), picture("137", 1080)], "136"),
        ([picture("134", 360), picture("247", 720, VP9)], "247"),  # lines before a handy container
        ([picture("18", 360, acodec="mp4a.40.2"), picture("22", 720, acodec="mp4a.40.2")], "22"),
        ([picture("22", 720, acodec="mp4a.40.2"), picture("136", 720)], "136"),  # without sound
        ([picture("397", 480, AV1), picture("398", 720, AV1), picture("399", 1080, AV1)], "398"),
        ([picture("136", 720), picture("247", 720, VP9), picture("398", 720, AV1)], "136"),
        ([picture("136", 720), picture("334", 720, HDR, dynamic_range="HDR10")], "136"),
        ([picture("135", 480), picture("334", 720, HDR, dynamic_range="HDR10")], "135"),
        ([picture("136", 720), picture("298", 720, fps=60)], "298"),
        ([picture("136", 720), picture("232", 720, protocol="m3u8_native")], "136"),
        ([picture("137", 1080), picture("264", 1440)], "137"),  # the least above, to scale down
        ([picture("133", 240), picture("134", 360)], "134"),
    ],
)
def test_the_right_format_is_taken(offered: list[dict[str, Any]], expected: str) -> None:
    assert chosen(*offered)["format_id"] == expected


def test_a_format_asked_by_id_is_taken_while_it_exists() -> None:
    offered = [picture("135", 480), picture("136", 720)]
    assert chosen(*offered, wanted="135")["format_id"] == "135"
    assert chosen(*offered, wanted="999")["format_id"] == "136"
    with pytest.raises(Failed) as refused:
        chosen(*offered, wanted="999", strict=True)
    assert refused.value.reason == "format gone"


def test_a_video_without_a_video_stream_is_refused() -> None:
    with pytest.raises(Failed) as refused:
        chosen()
    assert refused.value.reason == "format gone"
    assert "pip install -U" in str(refused.value)


def test_too_few_lines_name_the_remedy() -> None:
    info = chosen(picture("135", 480))
    with pytest.raises(
        formats.SourceTooSmall, match=r"480 lines \(853x480\), max_height=720.*'keep'"
    ):
        formats.check_height(info, 720, "reject")
    formats.check_height(info, 720, "keep")
    assert formats.describe_format(info, 720) == "135: avc1.4d401f 853x480 (below 720)"


def test_high_dynamic_range_alone_is_left_out() -> None:
    info = chosen(picture("334", 720, HDR, dynamic_range="HDR10"))
    with pytest.raises(Rejected, match="HDR10"):
        formats.check_dynamic_range(info)


@pytest.mark.parametrize("status", ["is_live", "is_upcoming", "post_live"])
def test_a_stream_that_is_not_over_waits(status: str) -> None:
    with pytest.raises(Waiting, match="once it has ended"):
        formats.check_not_live({"title": "A film", "live_status": status})


@pytest.mark.parametrize("status", ["was_live", "not_live", None])
def test_a_stream_that_is_over_is_a_film(status: str | None) -> None:
    formats.check_not_live({"title": "A film", "live_status": status})


def test_licences() -> None:
    for open_one in (
        "Creative Commons Attribution license (reuse allowed)",
        "https://creativecommons.org/licenses/by-sa/4.0/",
    ):
        formats.check_licence({"license": open_one}, "cc")
    assert formats.licence_of({"extractor_key": "Youtube"}) == "Standard YouTube License"
    assert formats.licence_of({"extractor_key": "Generic"}) == ""
    for info in (
        {"extractor_key": "Youtube"},
        {"license": "All rights reserved"},
        {"license": "https://creativecommons.org/licenses/by-nc-nd/4.0/"},
    ):
        with pytest.raises(formats.NotOpenlyLicensed, match="licence='any'"):
            formats.check_licence(info, "cc")
        formats.check_licence(info, "any")
