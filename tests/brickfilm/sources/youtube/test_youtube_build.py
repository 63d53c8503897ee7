"""YouTubeSource in a whole build: streaming, deleting films, the lock file, the report's log."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from brickfilm.build.build_dataset import BuildResult, build
from brickfilm.engine.ledger import Ledger
from brickfilm.hub.removal import RemovalRequest, remove
from brickfilm.sources import YouTubeSource
from brickfilm.sources.base.lock import LOCK_FILENAME
from brickfilm.stages import SceneSplitter
from tests.kit.footage import film_bytes
from tests.kit.servers.videos import VideoSite, video_site
from tests.kit.youtube import NO_DELAYS, youtube_source

FILMS = {name: film_bytes(n, frames=30) for n, name in enumerate(("ant", "bee", "cow"))}


@pytest.fixture
def site() -> Iterator[VideoSite]:
    with video_site() as site:
        for name, body in FILMS.items():
            site.add(name, body)
        yield site


def built(work: Path, source: YouTubeSource, **splitting: Any) -> BuildResult:
    return build(source, [SceneSplitter(min_frames=5, **splitting)], workdir=work)


def sources(work: Path) -> list[Path]:
    return sorted(path for path in (work / "sources").iterdir() if path.suffix != ".json")


def rows(made: BuildResult) -> list[dict[str, Any]]:
    return [row for split in made.dataset["clips"].values() for row in split]


@pytest.mark.slow
def test_films_go_when_their_clips_are_written_and_come_back_when_pixels_are_needed(
    tmp_path: Path, site: VideoSite
) -> None:
    source = youtube_source([site.at("/list")], keep_sources=False)
    first = rows(built(tmp_path, source))
    assert len(first) == 3
    assert sources(tmp_path) == []
    site.hits.clear()
    again = built(tmp_path, source)
    assert (rows(again), again.exit_code, site.hits) == (first, 0, [])  # a replay without videos
    shorter = built(tmp_path, source, max_frames=15)
    assert (len(rows(shorter)), shorter.exit_code) == (6, 0)
    assert [len(site.requests_for(name)) for name in FILMS] == [
        2,
        2,
        2,
    ]  # an extraction and a download each
    assert sources(tmp_path) == []


@pytest.mark.slow
def test_what_failed_is_not_asked_again_because_a_film_is_wanted_back(
    tmp_path: Path, site: VideoSite
) -> None:
    site.add("dog", b"no film at all " * 99)
    source = youtube_source([site.file("ant"), site.file("dog")], keep_sources=False)
    assert built(tmp_path, source).exit_code == 1
    requests = len(site.requests_for("dog"))
    assert built(tmp_path, source, max_frames=15).exit_code == 1
    assert len(site.requests_for("ant")) > 2
    assert len(site.requests_for("dog")) <= 2 * requests


@pytest.mark.slow
def test_a_film_whose_clips_failed_is_kept(tmp_path: Path, site: VideoSite) -> None:
    source = youtube_source([site.file("ant")], keep_sources=False)
    blocked = tmp_path / "clips"
    with Ledger(tmp_path):  # a folder of ours
        pass
    blocked.write_text("a file where the folder of clips should be")
    with pytest.raises(OSError, match="clips"):
        built(tmp_path, source)
    assert len(sources(tmp_path)) == 1
    blocked.unlink()
    built(tmp_path, source)
    assert sources(tmp_path) == []


@pytest.mark.slow
def test_the_first_film_is_split_while_the_second_downloads(
    tmp_path: Path, site: VideoSite
) -> None:
    site.add("slow", film_bytes(9, width=256, height=144, frames=48, crf=1), speed=150_000)
    source = youtube_source(
        [site.file("ant"), site.file("slow")], rate_limits=replace(NO_DELAYS, concurrency=1)
    )
    built(tmp_path, source)
    clips = sorted((tmp_path / "clips").iterdir(), key=lambda path: path.stat().st_mtime)
    slow = next(path for path in sources(tmp_path) if "slow" in path.name)
    assert clips[0].stat().st_mtime < slow.stat().st_mtime - 1


@pytest.mark.slow
def test_the_lock_file_says_what_was_fetched(
    tmp_path: Path, site: VideoSite, caplog: pytest.LogCaptureFixture
) -> None:
    site.add("copy", FILMS["ant"])
    with caplog.at_level(logging.WARNING):
        made = built(tmp_path, youtube_source([site.at("/list")]))
    assert len(rows(made)) == 3  # two names of one video
    films = json.loads((tmp_path / LOCK_FILENAME).read_text())["films"]
    assert [film["url"] for film in films] == [
        site.file(name) for name in ("ant", "bee", "copy", "cow")
    ]
    assert [film["bytes"] for film in films[:2]] == [len(FILMS["ant"]), len(FILMS["bee"])]
    assert {film["format_id"] for film in films} == {"mp4"}
    assert all(film["tool"].startswith("yt-dlp") for film in films)
    assert "4 of 4 videos are not openly licensed" in caplog.text
    written = (tmp_path / LOCK_FILENAME).stat().st_mtime_ns
    built(tmp_path, youtube_source([site.at("/list")]))
    assert (tmp_path / LOCK_FILENAME).stat().st_mtime_ns == written


@pytest.mark.slow
def test_locked_takes_the_same_bytes_and_nothing_else(tmp_path: Path, site: VideoSite) -> None:
    site.add("dog", film_bytes(6, frames=30))
    source = youtube_source([site.at("/list")])
    first = rows(built(tmp_path / "a", source))
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / LOCK_FILENAME).write_bytes((tmp_path / "a" / LOCK_FILENAME).read_bytes())
    locked = source.locked(tmp_path / "b")
    site.add("new", film_bytes(7))
    site.videos["bee"] = replace(site.videos["bee"], body=film_bytes(8))
    site.videos["cow"] = replace(site.videos["cow"], refusals=[404] * 9)
    site.videos["dog"] = replace(site.videos["dog"], content_type="video/webm")  # another format
    strict = built(tmp_path / "b", locked)
    assert strict.exit_code == 1
    assert {o.reason for o in strict.item_results if o.status == "failed"} == {
        "other bytes",
        "format gone",
        "video gone",
    }
    assert [row["id"] for row in rows(strict)] == [
        row["id"] for row in first if row["source_id"] == site.file("ant")
    ]
    drifting = source.locked(tmp_path / "b", allow_drift=True)
    loose = built(tmp_path / "b", drifting)
    assert {row["source_id"] for row in rows(loose)} == {
        site.file(name) for name in ("ant", "bee", "dog")
    }
    assert len(site.requests_for("bee")) == 4  # an extraction and a download in each folder
    assert {o.reason for o in loose.item_results if o.status == "failed"} == {"video gone"}


@pytest.mark.slow
def test_a_film_that_was_removed_is_not_fetched_again(tmp_path: Path, site: VideoSite) -> None:
    long = f"{site.address}/films/ant.mp4?{'long' * 30}"  # file names hold only its end
    source = youtube_source([long, site.file("bee")])
    built(tmp_path, source)
    remove(tmp_path, RemovalRequest("source", long))
    assert [path.name.count("bee") for path in sources(tmp_path)] == [1]
    site.hits.clear()
    assert {row["source_id"] for row in rows(built(tmp_path, source))} == {site.file("bee")}
    assert site.hits == []
    films = json.loads((tmp_path / LOCK_FILENAME).read_text())["films"]
    assert [film["source_id"] for film in films] == [site.file("bee")]
