"""Clips whose ends a person moved: the next build cuts those anew, asks nothing, and no more."""

from __future__ import annotations

from pathlib import Path

import pytest

from brickfilm import GPT4oCaptioner
from brickfilm.dataset.reader import find_dataset
from brickfilm.engine.ledger import TrimmedClip, read_records, read_trims
from brickfilm.media import decode_stats
from brickfilm.review.session import ReviewAct, ReviewSession
from tests.kit.servers.openai import CaptionServer, ReceivedRequest, Reply, answer
from tests.kit.small_build import built, two_shots


def said(request: ReceivedRequest) -> Reply:
    return answer("described", f"A dog number {request.digest[:6]} runs over a field.")


def captions(work: Path, config: str) -> dict[str, str]:
    rows = find_dataset(work).to_pandas(config, ("id", "caption"))
    return dict(zip(rows.id, rows.caption, strict=True))


def trimmed(session: ReviewSession, clip: str, first: int, end: int, **facts: object) -> None:
    act = ReviewAct(item=clip, reviewer="Ann", queue="cuts", cut_wrong=True, trim=(first, end))
    session.act(ReviewAct(**{**vars(act), **facts}))


@pytest.mark.slow
def test_a_trim_cuts_one_clip_anew_and_asks_only_for_an_image_that_it_removed(
    server: CaptionServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    film, work = two_shots(tmp_path / "film.mp4", size=(128, 72)), tmp_path / "w"
    stage = GPT4oCaptioner(base_url=server.url)
    built(film, work, stage)
    clips, images = captions(work, "clips"), captions(work, "images")
    files = {path: path.stat().st_mtime_ns for path in work.glob("clips/*")}
    (first, second), asked = sorted(clips), len(server.requests)
    assert asked == 4
    trimmed(ReviewSession(work), second, 2, 20)
    built(film, work, stage)
    video = second.split("-")[0]
    shorter = f"{video}-000022-000040"
    assert captions(work, "clips") == {first: clips[first], shorter: clips[second]}
    kept = f"{shorter}-f000031"  # the frame of the image from before
    assert captions(work, "images")[kept] == images[f"{second}-f000031"]
    assert len(server.requests) == asked, "nothing is asked"
    record = read_records(work)[shorter]
    assert decode_stats((work / record.path).read_bytes()).frames == 18
    assert {p: p.stat().st_mtime_ns for p in files} == files, "no other file was written"

    session = ReviewSession(work)
    session.act(ReviewAct(item=kept, reviewer="Ann", queue="images", caption="My image."))
    trimmed(session, shorter, 0, 17)
    assert [(t.item, t.start_frame, t.end_frame) for t in read_trims(work).values()] == [
        (second, 22, 39)
    ]
    built(film, work, stage)
    assert captions(work, "images")[f"{video}-000022-000039-f000031"] == "My image."
    assert len(server.requests) == asked, "the edit of the image came along"

    session = ReviewSession(work)
    trimmed(session, f"{video}-000022-000039", 0, 8, caption="Mine.")
    capsys.readouterr()
    built(film, work, stage)
    assert "without a clip" not in capsys.readouterr().err
    assert captions(work, "clips")[f"{video}-000022-000030"] == "Mine."
    assert len(server.requests) == asked + 1, "another image: its frame was trimmed away"
    assert f"{video}-000022-000030-f000025" in captions(work, "images")

    for _ in range(4):
        session.undo("Ann")
    built(film, work, stage)
    assert (captions(work, "clips"), captions(work, "images")) == (clips, images)
    assert len(server.requests) == asked + 1


@pytest.mark.parametrize(
    ("item", "is_inside"),
    [
        ("ab-000020-000044", True),
        ("ab-000022-000040-f000031", True),
        ("ab-000019-000044", False),
        ("ab-000022-000045-f000031", False),
        ("cd-000022-000040", False),
        ("moved", False),
    ],
)
def test_a_trim_covers_what_lies_in_the_clip_as_it_was_cut(item: str, is_inside: bool) -> None:
    trim = TrimmedClip(item="ab-000020-000044", start_frame=22, end_frame=40)
    assert trim.covers(item) is is_inside
