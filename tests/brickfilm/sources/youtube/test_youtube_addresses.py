"""Addresses of videos, channels and playlists, and files that list them."""

from __future__ import annotations

from pathlib import Path

import pytest

from brickfilm.errors import UsageError
from brickfilm.sources import YouTubeSource
from brickfilm.sources.youtube.addresses import listing_of, read_entries

FILM = "https://www.youtube.com/watch?v=abc-EFG_123"
CHANNEL = "UC" + "x" * 22
PLAYLIST = "PL" + "y" * 32


@pytest.mark.parametrize(
    "entry",
    [
        "abc-EFG_123",
        FILM,
        f"{FILM}&list={PLAYLIST}&t=42s",
        "https://youtu.be/abc-EFG_123?si=tracking",
        "youtu.be/abc-EFG_123",
        "https://m.youtube.com/watch?v=abc-EFG_123",
        "https://www.youtube.com/shorts/abc-EFG_123",
        "https://www.youtube.com/live/abc-EFG_123",
        "https://www.youtube.com/embed/abc-EFG_123",
    ],
)
def test_every_way_to_write_a_film_is_that_film(entry: str) -> None:
    listing = listing_of(entry)
    assert (listing.source_id, listing.url) == ("abc-EFG_123", FILM)


@pytest.mark.parametrize(
    ("entry", "url"),
    [
        ("@some.handle", "https://www.youtube.com/@some.handle/videos"),
        ("https://www.youtube.com/@handle", "https://www.youtube.com/@handle/videos"),
        ("https://www.youtube.com/@handle/shorts", "https://www.youtube.com/@handle/shorts"),
        (CHANNEL, f"https://www.youtube.com/channel/{CHANNEL}/videos"),
        (
            f"https://youtube.com/channel/{CHANNEL}/",
            f"https://www.youtube.com/channel/{CHANNEL}/videos",
        ),
        ("https://www.youtube.com/c/name", "https://www.youtube.com/c/name/videos"),
        (PLAYLIST, f"https://www.youtube.com/playlist?list={PLAYLIST}"),
        ("https://films.example/feed.xml", "https://films.example/feed.xml"),
        ("https://notyoutube.com/@handle", "https://notyoutube.com/@handle"),
    ],
)
def test_lists_are_addresses(entry: str, url: str) -> None:
    assert listing_of(entry).url == listing_of(entry).source_id == url


@pytest.mark.parametrize("entry", ["", "brick films", "ftp://host/film.mp4", "https://", "abc"])
def test_what_is_no_address_is_refused_with_what_would_be_one(entry: str) -> None:
    with pytest.raises(UsageError, match=r"give a URL|must start with http"):
        listing_of(entry)


def test_a_file_may_hold_comments_and_blank_lines(tmp_path: Path) -> None:
    path = tmp_path / "urls.txt"
    path.write_text("# mine\n\n@handle   # all of it\nhttps://films.example/a#part\n", "utf-8")
    assert list(read_entries(path)) == ["@handle", "https://films.example/a#part"]
    assert YouTubeSource.from_file(path, max_height=480).max_height == 480


def test_a_bad_line_is_named(tmp_path: Path) -> None:
    path = tmp_path / "urls.txt"
    path.write_text("@handle\nwhat is this\n", "utf-8")
    with pytest.raises(UsageError, match=r"urls.txt, line 2: 'what is this'"):
        YouTubeSource.from_file(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"none.txt.* cannot be read"):
        YouTubeSource.from_file(tmp_path / "none.txt")


def test_one_string_is_one_entry_and_repetitions_are_one_item() -> None:
    assert [item.source_id for item in YouTubeSource("abc-EFG_123").items()] == ["abc-EFG_123"]
    twice = YouTubeSource(["abc-EFG_123", FILM, "@handle"])
    assert len(list(twice.items())) == 2


def test_an_empty_list_is_said_before_anything_is_done() -> None:
    with pytest.raises(UsageError, match="has no entries"):
        list(YouTubeSource([]).items())


@pytest.mark.parametrize(
    "settings",
    [{"max_height": 0}, {"on_low_resolution": "upscale"}, {"licence": "free"}],
)
def test_settings_that_mean_nothing_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(UsageError, match=next(iter(settings))):
        YouTubeSource(["@handle"], **settings)
