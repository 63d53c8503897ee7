"""The review page by HTTP: its token, other pages and names refused, media, decisions."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from brickfilm.engine.ledger import Ledger, read_edits, read_records
from brickfilm.errors import UsageError
from brickfilm.review import open_review
from tests.kit import ROOT
from tests.kit.review_server import RunningReview, running_review
from tests.kit.small_build import inline_build
from tests.kit.toy_stages import Cut, Names


@pytest.fixture(scope="module")
def page(small_original: Path) -> Iterator[RunningReview]:
    """A page that is only read."""
    with running_review(small_original / "w") as running:
        yield running


def test_only_the_pages_own_requests_are_answered(page: RunningReview) -> None:
    port = page.base.rpartition(":")[2]
    assert page.ask("/items")[0] == 200
    assert page.ask("/items", Origin=page.base, Host=f"localhost:{port}")[0] == 200
    for headers in (
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Host": f"evil.example:{port}"},
        {"Host": "127.0.0.1:1"},
        {"x_review_token": "wrong"},
        {"x_review_token": "tökén"},
        {"x_review_token": ""},
    ):
        for path, body in (("/items", None), ("/", None), ("/act", {}), ("/nothing", None)):
            status, text, _ = page.ask(path, body, **headers)
            assert status == 403, (headers, path, text)


def test_the_page_loads_nothing_from_elsewhere(page: RunningReview) -> None:
    status, html, headers = page.ask(f"/?token={page.token}")
    assert status == 200
    policy = headers["content-security-policy"]
    assert policy.startswith("default-src 'none'") and "unsafe" not in policy
    assert headers["referrer-policy"] == "no-referrer"
    assert b"http://" not in html and b"https://" not in html


def test_a_clip_is_sent_in_ranges_as_players_ask(page: RunningReview, small_original: Path) -> None:
    records = read_records(small_original / "w")
    clip = next(record for record in records.values() if record.kind == "clip")
    status, content, headers = page.ask(f"/media/{clip.item}", Range="bytes=4-7")
    assert (status, content, headers["content-type"]) == (206, b"ftyp", "video/mp4")
    assert page.ask(f"/media/{clip.item}?still=0")[1][:2] == b"\xff\xd8"
    for path in (f"/media/{clip.item}?still=9", "/media/none", "/media/..%2Fledger.sqlite"):
        assert page.ask(path)[0] in (400, 404)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"item": 3}, "'item' of a decision cannot be 3"),
        ({"reject": "yes"}, "'reject' of a decision cannot be 'yes'"),
        ({"trim": [0]}, "two frame numbers"),
        ({"trim": [0, "5"]}, "two frame numbers"),
        ({"rm": "-rf"}, "'rm' of a decision"),
        ({"reviewer": ""}, "your name"),
    ],
)
def test_a_wrong_decision_is_named_and_not_stored(
    page: RunningReview, small_original: Path, change: dict[str, object], said: str
) -> None:
    item = page.json("/items")["items"][0]["id"]
    body = {"item": item, "reviewer": "Ann", "queue": "random"} | change
    status, text, _ = page.ask("/act", body)
    assert (status, said in json.loads(text)["detail"]) == (400, True), text
    assert not read_edits(small_original / "w")


def test_decisions_undo_and_a_conflict_by_http(
    small_work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("brickfilm.review.session.LOCK_SECONDS", 0.0)
    with running_review(small_work) as page:
        item = page.json("/items")["items"][0]["id"]
        words = "<script>alert(1)</script> 你好"
        act = {"item": item, "reviewer": "Ann", "queue": "random"}
        told = page.json("/act", act | {"caption": words, "caption_wrong": True})
        assert told["item"]["caption"] == words
        assert "1 reviewed" in told["rates"]["cuts"]
        assert page.ask("/act", act | {"reviewer": "Bo"})[0] == 409
        with Ledger(small_work):
            status, text, _ = page.ask("/act", act | {"seen": 1})
        assert (status, b"a build is running" in text) == (423, True)
        assert page.json("/undo", {"reviewer": "Ann"})["item"]["caption"] != words
        assert page.json("/undo", {"reviewer": "Ann"})["item"] is None
    assert not read_edits(small_work)


def test_a_build_without_a_clip_has_an_empty_page(tmp_path: Path) -> None:
    inline_build(Names(()), Cut(), workdir=tmp_path / "w")
    with running_review(tmp_path / "w") as page:
        assert page.json("/items") == {"items": [], "rates": {}, "work": "w"}
        act = {"item": "a", "reviewer": "Ann", "queue": "random"}
        assert page.ask("/act", act)[0] == 400
        assert page.json("/undo", {"reviewer": "Ann"})["item"] is None


def test_a_folder_without_a_build_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"has no ledger.sqlite"), open_review(tmp_path):
        pass


@pytest.mark.slow
def test_a_closed_terminal_ends_the_page_quietly(small_work: Path) -> None:
    command = [sys.executable, "-m", "brickfilm", "review", str(small_work), "--no-browser"]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, env=env, text=True, **pipes) as page:
        assert page.stdout and page.stderr
        address = page.stdout.readline().removeprefix("review: ").strip()
        urllib.request.urlopen(address, timeout=60).close()  # it serves
        page.send_signal(signal.SIGHUP)
        assert page.wait(60) == 130
        assert page.stderr.read().strip() in ("", "Aborted.")
