"""Clips whose ends a person moved: the next build cuts those anew, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from brickfilm import SidecarCaptioner
from brickfilm.dataset.reader import find_dataset
from brickfilm.engine.ledger import read_records, read_trims
from brickfilm.media import decode_stats
from brickfilm.review.session import ReviewAct, ReviewSession
from tests.kit.small_build import built


@pytest.mark.slow
def test_a_trim_cuts_one_clip_anew_and_keeps_its_caption(
    small_original: Path, small_work: Path
) -> None:
    work = small_work
    film, files = (
        small_original / "film.mp4",
        {p: p.stat().st_mtime_ns for p in work.glob("clips/*")},
    )
    first, second = sorted(i for i, r in read_records(work).items() if r.kind == "clip")
    session = ReviewSession(work)
    act = ReviewAct(item=second, reviewer="Ann", queue="cuts", cut_wrong=True, trim=(2, 20))
    assert session.act(act)["trim"] == (22, 40)
    built(film, work, SidecarCaptioner())
    rows = {r["id"]: r for r in find_dataset(work).to_pandas("clips").to_dict("records")}
    trimmed = f"{second.split('-')[0]}-000022-000040"
    assert set(rows) == {first, trimmed}
    assert (rows[trimmed]["num_frames"], rows[trimmed]["caption"]) == (18, "A wall of bricks.")
    record = read_records(work)[trimmed]
    assert decode_stats((work / record.path).read_bytes()).frames == 18
    assert {p: p.stat().st_mtime_ns for p in files} == files, "no other file was written"
    again = ReviewSession(work)
    again.act(ReviewAct(item=trimmed, reviewer="Ann", queue="cuts", trim=(0, 17)))
    assert [(t.item, t.start_frame, t.end_frame) for t in read_trims(work).values()] == [
        (second, 22, 39)
    ]
    again.undo("Ann")
    again.undo("Ann")
    built(film, work, SidecarCaptioner())
    assert set(find_dataset(work).to_pandas("clips", ("id",)).id) == {first, second}
