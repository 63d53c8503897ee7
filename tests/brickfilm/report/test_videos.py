"""The timelines of videos, the settings, and plain words for stages."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

import brickfilm.sources.remote.fetch
import brickfilm.sources.youtube.fetch
import brickfilm.sources.youtube.playlists
import brickfilm.stages  # noqa: F401
from brickfilm.build.plan_file import Plan
from brickfilm.engine.ledger import CaptionEdit, save_edits
from brickfilm.engine.stage import Stage
from brickfilm.records import Span
from brickfilm.report import write_report
from brickfilm.report.sections import videos as section
from brickfilm.report.sections.videos import TimelineSpan, VideoTimeline, format_clock, placed
from brickfilm.report.titles import STAGE_TITLES, stage_title
from brickfilm.stages import Keep, RefusalFilter
from tests.kit.report_builds import report_context, result_of, shot, source_video


def lines_of(context: object) -> list[VideoTimeline]:
    made = section.timelines(context)
    assert made is not None
    return list(made.data["videos"])


def test_a_timeline_has_what_was_kept_and_what_was_not_in_order(tmp_path: Path) -> None:
    one, lost = source_video("one"), source_video("lost")
    kept = [shot(tmp_path, one, n, transitions=("cut", "fade")) for n in (0, 3)]
    short = shot(tmp_path, one, 1)
    late = replace(short, span=Span(start_frame=96, end_frame=120, start_pts=96, end_pts=120))
    results = [
        result_of(one, "done"),
        result_of(lost, "failed", "unreadable"),
        result_of(short, "rejected", "too short"),
        result_of(late, "waiting", "budget"),
    ]
    context = report_context(tmp_path, kept, results, excluded_clips=[short, late])
    whole, line = lines_of(context)
    assert (whole.title, whole.kept, whole.spans) == ("lost", 0, [])
    assert whole.left_out == "the whole video: unreadable"
    assert (line.kept, line.kept_seconds, line.seconds) == (2, 2.0, 10.0)
    assert line.left_out == "1 budget, 1 too short"
    assert [(s.status, s.x, s.width) for s in line.spans] == [
        ("kept", 0.0, 100.0),
        ("rejected", 100.0, 100.0),
        ("kept", 300.0, 100.0),
        ("waiting", 400.0, 100.0),
    ]
    page = write_report(context).read_text()
    assert "<title>0:00.0 to 0:01.0: kept, train (cut to fade)</title>" in page
    assert "<title>0:01.0 to 0:02.0: rejected, too short</title>" in page
    assert page.count("data-clip=") >= 6


def test_a_timeline_begins_where_the_time_of_its_video_does() -> None:
    of = [TimelineSpan("v-1", "kept", "", 36_000.0 + n, 36_001.0 + n) for n in (1, 0)]
    assert [(span.x, span.width) for span in placed(of, 4.0)] == [(0.0, 250.0), (250.0, 250.0)]
    assert placed([TimelineSpan("v-1", "kept", "", 2.0, 2.01)], 4_000.0)[0].width == 1.5
    assert [format_clock(s) for s in (0.04, 59.97, 3_661.5)] == ["0:00.0", "1:00.0", "1:01:01.5"]


def test_long_tables_are_cut_and_say_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clips = [shot(tmp_path, source_video(name), n) for name in "abc" for n in range(2)]
    monkeypatch.setattr(section, "MAX_SPANS", 3)
    monkeypatch.setattr(section, "MAX_VIDEOS", 2)
    context = report_context(tmp_path, clips)
    assert [(line.kept, len(line.spans)) for line in lines_of(context)] == [(2, 2), (2, 0)]
    assert "and 1 more videos" in write_report(context).read_text()


def test_the_page_names_its_settings_and_its_last_change(tmp_path: Path) -> None:
    context = report_context(tmp_path, [shot(tmp_path, source_video("one"), 0)])
    assert "last change" not in write_report(context).read_text()
    save_edits(tmp_path, [CaptionEdit(item="a", caption="b", at=86_400.0 * 365)])
    Plan.from_stages([Keep("motion", at_least=0.02), RefusalFilter()]).write(tmp_path)
    context = report_context(tmp_path, [shot(tmp_path, source_video("one"), 0)])
    page = " ".join(write_report(context).read_text().split())
    assert "1971-01-01 00:00 UTC" in page
    assert '<th scope="row">Select by score</th>' in page
    assert "at_least=0.02" in page and "Made with" in page


def steps(of: type = Stage) -> set[str]:
    found = {name for child in of.__subclasses__() for name in steps(child)}
    is_step = of.__module__.startswith(("brickfilm.stages.", "brickfilm.sources."))
    return found | ({of.__name__} if is_step and ".base." not in f"{of.__module__}." else set())


def test_every_stage_has_plain_words() -> None:
    assert steps() <= set(STAGE_TITLES)
    assert stage_title("ClipWriter + FrameSampler") == "Write clips, take stills"
    assert stage_title("SayHello") == "Say hello"
