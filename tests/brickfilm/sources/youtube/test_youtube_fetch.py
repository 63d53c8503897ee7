"""Downloads from a real web server through yt-dlp's own extractors."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from brickfilm.engine.capabilities import SourceOwner
from brickfilm.engine.ledger import ItemResult
from brickfilm.engine.queue import StageQueue
from brickfilm.records import Listing
from brickfilm.sources.youtube.fetch import FetchVideo
from brickfilm.sources.youtube.throttle import Throttle
from brickfilm.sources.youtube.ytdlp import BLOCK_BYTES
from tests.kit.clock import FakeClock
from tests.kit.footage import film_bytes
from tests.kit.servers.videos import VideoSite, video_site
from tests.kit.youtube import NO_DELAYS, fetch, unfinished, videos, youtube_source

ONE = film_bytes(1)
TWO = film_bytes(2)
BIG = film_bytes(3, width=256, height=144, frames=48, crf=1)


@pytest.fixture
def site() -> Iterator[VideoSite]:
    with video_site() as site:
        yield site


def test_a_page_with_one_film_gives_its_bytes_and_facts(tmp_path: Path, site: VideoSite) -> None:
    page = site.add("one", ONE)
    (film,) = fetch(tmp_path, youtube_source([page])).finished
    assert (tmp_path / film.path).read_bytes() == ONE
    assert film.sha256 == hashlib.sha256(ONE).hexdigest()
    assert (film.width, film.height, film.duration) == (128, 72, 1.0)
    assert (film.source_id, film.url, film.title) == (page, page, "Film one (1)")
    assert film.tool.startswith("yt-dlp 20")
    assert film.format == "0: unknown codec 128x72"


@pytest.mark.slow
def test_a_direct_file_a_page_a_redirect_a_list_and_a_feed_are_all_read(
    tmp_path: Path, site: VideoSite
) -> None:
    site.add("one", ONE)
    site.add("two", TWO)
    for n, entry in enumerate(
        (site.file("one"), site.page("one"), site.moved("one"), site.at("/list"), site.at("/feed"))
    ):
        found = videos(fetch(tmp_path / str(n), youtube_source([entry])))
        wanted = [ONE, TWO] if n > 2 else [ONE]
        assert [(tmp_path / str(n) / film.path).read_bytes() for film in found] == wanted
    assert [film.title for film in found] == ["Film one", "Film two"]  # the feed's own titles


def test_one_film_in_a_list_and_in_a_feed_is_fetched_once(tmp_path: Path, site: VideoSite) -> None:
    site.add("one", ONE)
    site.add("two", TWO)
    run = fetch(tmp_path, youtube_source([site.at("/list"), site.at("/feed"), site.at("/list")]))
    assert {film.source_id for film in run.finished} == {site.file("one"), site.file("two")}
    assert [hit.status for hit in site.requests_for("one")] == [
        200,
        200,
    ]  # an extraction and a download


def test_exact_copies_under_two_names_are_one_film(tmp_path: Path, site: VideoSite) -> None:
    pages = [site.add("one", ONE), site.add("copy", ONE)]
    found = fetch(tmp_path, youtube_source(pages)).finished
    assert len(found) == 2
    assert len({film.id for film in found}) == 1


def test_a_second_run_asks_the_site_nothing(tmp_path: Path, site: VideoSite) -> None:
    pages = [site.add("one", ONE), site.at("/list")]
    first = fetch(tmp_path, youtube_source(pages))
    site.hits.clear()
    again = fetch(tmp_path, youtube_source(pages))
    assert videos(again) == videos(first)
    assert site.hits == []


def test_a_lost_ledger_loses_no_film(tmp_path: Path, site: VideoSite) -> None:
    source = youtube_source([site.add("one", ONE)])
    first = fetch(tmp_path, source)
    for path in tmp_path.glob("ledger.*"):
        path.unlink()
    again = fetch(tmp_path, source)
    assert videos(again) == videos(first)
    assert len(site.requests_for("one")) == 1


def test_a_film_whose_file_is_gone_is_fetched_again(tmp_path: Path, site: VideoSite) -> None:
    source = youtube_source([site.add("one", ONE)])
    (film,) = fetch(tmp_path, source).finished
    (tmp_path / film.path).unlink()
    fetch(tmp_path, source)
    assert (tmp_path / film.path).read_bytes() == ONE
    assert len(site.requests_for("one")) == 2


def test_a_new_word_for_as_of_lists_again_and_fetches_what_is_new(
    tmp_path: Path, site: VideoSite
) -> None:
    site.add("one", ONE)
    assert len(fetch(tmp_path, youtube_source([site.at("/feed")])).finished) == 1
    site.add("two", TWO)
    assert len(fetch(tmp_path, youtube_source([site.at("/feed")])).finished) == 1
    assert len(fetch(tmp_path, youtube_source([site.at("/feed")], as_of="December")).finished) == 2
    assert len(site.requests_for("one")) == 2  # as in the first run


def test_a_body_cut_off_half_way_goes_on_where_it_broke(tmp_path: Path, site: VideoSite) -> None:
    half = len(BIG) // 2
    page = site.add("big", BIG, cuts=[half])
    (film,) = fetch(tmp_path, youtube_source([page], max_height=144)).finished
    assert (tmp_path / film.path).read_bytes() == BIG
    first, second = site.requests_for("big")
    assert first.start == 0
    assert half - BLOCK_BYTES < second.start <= half


def test_a_film_broken_off_in_one_run_is_finished_by_the_next(
    tmp_path: Path, site: VideoSite
) -> None:
    third = len(BIG) // 3
    page = site.add("big", BIG, cuts=[third, third, third, third])
    source = youtube_source([page], max_height=144)
    first = fetch(tmp_path, source)
    assert unfinished(first)["not fetched"].status == "failed"
    (part,) = (tmp_path / "sources").glob("*.part")
    size = part.stat().st_size
    assert size > third - BLOCK_BYTES
    site.videos["big"].cuts.clear()
    site.hits.clear()
    (film,) = fetch(tmp_path, source).finished
    assert (tmp_path / film.path).read_bytes() == BIG
    assert [(hit.path, hit.start) for hit in site.hits] == [("/films/big.mp4", size)]
    assert [path.suffix for path in (tmp_path / "sources").iterdir()].count(".part") == 0


def test_a_server_without_ranges_costs_a_new_start_but_no_wrong_bytes(
    tmp_path: Path, site: VideoSite
) -> None:
    page = site.add("big", BIG, cuts=[len(BIG) // 2], ranges=False)
    (film,) = fetch(tmp_path, youtube_source([page], max_height=144)).finished
    assert (tmp_path / film.path).read_bytes() == BIG


def test_a_film_whole_on_disk_but_not_in_the_ledger_is_not_asked_for(
    tmp_path: Path, site: VideoSite
) -> None:
    source = youtube_source([site.add("one", ONE)])
    (film,) = fetch(tmp_path, source).finished
    (sidecar,) = (tmp_path / "sources").glob("*.json")
    content = json.loads(sidecar.read_text())
    draft = sidecar.with_name(f"{sidecar.stem}.{content['plan']['format_id']}.mp4")
    (tmp_path / film.path).rename(draft)
    sidecar.write_text(json.dumps({"plan": content["plan"]}))
    site.hits.clear()
    (again,) = fetch(tmp_path, source).finished
    assert again == film
    assert site.hits == []


def test_too_many_requests_waits_and_goes_on(tmp_path: Path, site: VideoSite) -> None:
    page = site.add("one", ONE, refusals=[429, 429])
    assert len(fetch(tmp_path, youtube_source([page])).finished) == 1
    assert [hit.status for hit in site.requests_for("one")] == [429, 429, 200]


def test_a_pause_that_the_site_names_is_kept(tmp_path: Path, site: VideoSite) -> None:
    page = site.add("one", ONE, refusals=[429], retry_after=77)
    clock = FakeClock()
    (_, stage) = youtube_source([page]).stages()
    assert isinstance(stage, FetchVideo)
    throttle = Throttle(NO_DELAYS, clock=clock, sleep=clock.sleep)
    metadata = stage.fetch(Listing(source_id=page, url=page), tmp_path, throttle)
    assert (tmp_path / metadata["path"]).read_bytes() == ONE
    assert clock.sleeps == [77]


def test_endless_refusals_leave_films_waiting_and_are_not_hammered(
    tmp_path: Path, site: VideoSite
) -> None:
    pages = [site.add(name, ONE, refusals=[429] * 99) for name in "abcdef"]
    run = fetch(tmp_path, youtube_source(pages))
    assert [o.status for o in run.item_results if o.reason == "rate limit"] == ["waiting"] * 6
    assert (
        sum(hit.status == 429 for hit in site.hits) <= len(NO_DELAYS.pauses) + NO_DELAYS.concurrency
    )


@pytest.mark.parametrize(
    ("path", "status", "reason"),
    [
        ("/gone", "rejected", "removed"),
        ("/forbidden", "failed", "forbidden"),
        ("/nothing", "failed", "no video found"),
    ],
)
def test_a_refusal_has_a_reason(
    tmp_path: Path, site: VideoSite, path: str, status: str, reason: str
) -> None:
    run = fetch(tmp_path, youtube_source([site.at(path)]))
    assert {o.reason: o.status for o in run.item_results} == {reason: status}


def test_forbidden_media_is_tried_again_next_run(tmp_path: Path, site: VideoSite) -> None:
    source = youtube_source([site.add("one", ONE, refusals=[403])])
    assert unfinished(fetch(tmp_path, source))["forbidden"].status == "failed"
    assert len(fetch(tmp_path, source).finished) == 1


def test_a_page_of_words_instead_of_a_film_is_thrown_away(tmp_path: Path, site: VideoSite) -> None:
    page = site.add("one", b"<html>Please sign in.</html>" * 99, content_type="text/html")
    run = fetch(tmp_path, youtube_source([page]))
    assert unfinished(run)["unreadable"].status == "failed"
    assert list((tmp_path / "sources").iterdir()) == []
    site.add("one", ONE)
    assert len(fetch(tmp_path, youtube_source([page])).finished) == 1


def test_a_film_with_the_wrong_content_type_is_still_a_film(
    tmp_path: Path, site: VideoSite
) -> None:
    site.add("one", ONE, content_type="application/octet-stream")
    assert len(fetch(tmp_path, youtube_source([site.file("one")])).finished) == 1


def test_too_few_lines_are_rejected_or_marked_and_never_fetched_twice(
    tmp_path: Path, site: VideoSite
) -> None:
    page = site.add("one", ONE)
    run = fetch(tmp_path, youtube_source([page], max_height=720))
    assert unfinished(run)["low resolution"].status == "rejected"
    assert "72 lines (128x72), max_height=720" in unfinished(run)["low resolution"].message
    kept = fetch(tmp_path, youtube_source([page], max_height=720, on_low_resolution="keep"))
    assert kept.finished[0].format.endswith("128x72 (below 720)")
    assert len(site.requests_for("one")) == 1


def test_only_open_licences_where_only_they_are_asked(tmp_path: Path, site: VideoSite) -> None:
    run = fetch(tmp_path, youtube_source([site.add("one", ONE)], licence="cc"))
    assert unfinished(run)["not openly licensed"].status == "rejected"
    assert site.requests_for("one") == []


def test_a_daily_cap_leaves_the_rest_for_tomorrow(tmp_path: Path, site: VideoSite) -> None:
    pages = [site.add(name, film_bytes(n)) for n, name in enumerate("abc")]
    capped = {"between_videos": (0, 0), "between_requests": 0, "daily_cap": 2}
    source = youtube_source(pages, rate_limits=type(NO_DELAYS)(**capped))
    run = fetch(tmp_path, source)
    assert len(run.finished) == 2
    assert unfinished(run)["daily cap"].status == "waiting"
    assert len(fetch(tmp_path, source).finished) == 2  # another run of the same day
    assert len(fetch(tmp_path, youtube_source(pages)).finished) == 3


def test_a_dry_run_lists_and_fetches_nothing(tmp_path: Path, site: VideoSite) -> None:
    site.add("one", ONE)
    site.add("two", TWO)
    source = youtube_source([site.at("/list")])
    run = fetch(tmp_path, source, dry_run=True)
    pending_items = [work_item.item for work_item in run.pending_items[1]]
    assert [listing.source_id for listing in pending_items] == [site.file("one"), site.file("two")]
    assert str(source.forecast(pending_items)).startswith(
        "2 videos to download: about 0.2 h of footage"
    )
    assert site.requests_for("one") == []


class Watcher:
    """Collect the progress lines of active downloads."""

    def __init__(self) -> None:
        self.lines: set[str] = set()

    def update(self, queues: Sequence[StageQueue], item_results: Sequence[ItemResult]) -> None:
        self.lines |= {
            line
            for queue in queues
            if isinstance(queue.stage, SourceOwner)
            for line in queue.stage.active_downloads()
        }


def test_a_film_on_its_way_is_shown_and_gone_when_it_is_there(
    tmp_path: Path, site: VideoSite
) -> None:
    watcher = Watcher()
    page = site.add("big", BIG, speed=600_000)
    run = fetch(tmp_path, youtube_source([page], max_height=144), progress=watcher)
    assert len(run.finished) == 1
    assert any(re.search(r"\d+% of 1.0 MB at \d.\d MB/s", line) for line in watcher.lines)
    assert run.queues[1].stage.active_downloads() == []
