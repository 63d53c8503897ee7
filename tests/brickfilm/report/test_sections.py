"""The figures of the report, on builds whose every second is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from weakref import ref

import pytest

from brickfilm.build.plan_file import Plan
from brickfilm.engine.ledger import Ledger
from brickfilm.records import Clip
from brickfilm.report import write_report
from brickfilm.report.page import render_report
from brickfilm.report.sections import contact
from brickfilm.report.sections.cadence import cadence
from brickfilm.report.sections.captions import captions
from brickfilm.report.sections.encodings import encodings
from brickfilm.report.sections.footage import (
    BETWEEN_CLIPS,
    count_duplicate_names,
    seconds_by_status,
)
from brickfilm.report.sections.money import money
from brickfilm.report.sections.moved import moved_videos
from brickfilm.report.sections.scores import scores
from brickfilm.report.sections.shots import shots
from brickfilm.report.sections.stages import stages
from brickfilm.report.sections.thresholds import thresholds
from brickfilm.report.sections.unfinished import MAX_LISTED, unfinished
from brickfilm.stages import Keep
from tests.kit.report_builds import image_of, report_context, result_of, shot, source_video
from tests.kit.toy_stages import video


def test_every_second_of_footage_has_one_fate(tmp_path: Path) -> None:
    one, lost = source_video("one"), source_video("lost")
    kept = [shot(tmp_path, one, n) for n in range(4)]
    still = shot(tmp_path, one, 4)
    item_results = [
        result_of(one, "done", position=0),
        result_of(lost, "done", position=0),
        result_of(lost, "failed", "unreadable", position=1, stage="SceneSplitter"),
        *(result_of(k, "done") for k in kept),
        result_of(still, "rejected", "motion below 0.02"),
    ]
    fates = seconds_by_status(report_context(tmp_path, kept, item_results))
    assert fates == {
        ("kept", "train"): 4.0,
        ("failed", "Find shots: unreadable"): 10.0,
        ("rejected", "Select by score: motion below 0.02"): 1.0,
        ("cut", BETWEEN_CLIPS): 5.0,
    }
    assert sum(fates.values()) == one.duration + lost.duration


def test_conditions_say_what_they_would_drop(tmp_path: Path) -> None:
    one = source_video("one")
    motions = (0.001, 0.01, 0.3, None)
    known = [{} if m is None else {"motion": m} for m in motions]
    clips = [shot(tmp_path, one, n, scores=scores) for n, scores in enumerate(known)]
    Plan.from_stages([Keep("motion", at_least=0.2, if_measured=True)]).write(tmp_path)
    rejected = [result_of(clips[0], "rejected")]
    context = report_context(tmp_path, clips[1:], rejected, excluded_clips=clips[:1])
    section = thresholds(context)
    assert section is not None
    found = {(row.condition, *row.sets): (row.clips, row.share) for row in section.data["rows"]}
    assert found["motion>=0.2", "this build"] == found["together", "this build"] == (2, 0.5)
    assert found["motion>=0.02", "bricks"] == found["together", "bricks"] == (2, 0.5)
    assert found["motion>=0.003", "general"] == (1, 0.25)
    assert found["blockiness<=2", "bricks", "general"] == (0, 0)
    assert section.data["of"] == 4
    unscored = [replace(clip, scores={}) for clip in clips]
    assert thresholds(report_context(tmp_path, unscored, [])) is None


class ReadOnce(Sequence[Clip]):
    """Clips that are made as they are read, as those of a long build are; `most` lived at once."""

    def __init__(self, clips: Sequence[Clip]) -> None:
        self.clips, self.most = clips, 0
        self.alive: list[ref[Clip]] = []

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, index: Any) -> Any:
        clip = replace(self.clips[index])
        self.alive = [r for r in (*self.alive, ref(clip)) if r()]
        self.most = max(self.most, len(self.alive))
        return clip


def test_clips_that_were_left_out_are_not_kept_in_memory(tmp_path: Path) -> None:
    one = source_video("one")
    clips = [shot(tmp_path, one, n, scores={"motion": 0.1 * n}) for n in range(40)]
    rejected = [result_of(clip, "rejected") for clip in clips[1:]]
    left_out = ReadOnce(clips[1:])
    context = report_context(tmp_path, clips[:1], rejected)
    section = thresholds(replace(context, excluded=left_out))
    assert section is not None and section.data["of"] == 40
    assert left_out.most <= 2


def test_clips_that_were_not_copied_are_counted_by_reason(tmp_path: Path) -> None:
    one = source_video("one")
    reason = "encoded: scaled pictures"
    kept = [shot(tmp_path, one, n, encoding=e) for n, e in enumerate([reason, "copied", "copied"])]
    section = encodings(report_context(tmp_path, kept, []))
    assert section is not None
    assert section.data == {"rows": [("copied", 2), (reason, 1)]}
    assert encodings(report_context(tmp_path, [shot(tmp_path, one, 4)], [])) is None


def test_a_film_under_two_names_is_counted_once(tmp_path: Path) -> None:
    one = source_video("one")
    kept = shot(tmp_path, one, 0)
    twice = [
        result_of(one, "done"),
        result_of(one, "done"),
        result_of(kept, "done"),
        result_of(kept, "done"),
    ]
    twice[1] = replace(twice[1], source_id="the same one")
    built = report_context(tmp_path, [kept, kept], twice)
    fates = seconds_by_status(built)
    assert count_duplicate_names(built) == 1
    assert fates == {("kept", "train"): 1.0, ("cut", BETWEEN_CLIPS): 9.0}


def test_a_clip_that_one_stage_drops_and_another_name_keeps_is_kept(tmp_path: Path) -> None:
    kept = shot(tmp_path, source_video("one"), 0)
    built = report_context(tmp_path, [kept], [result_of(kept, "rejected", "dark")])
    assert built.left_out_results == {}


def test_stages_count_items_by_kind_outcome_and_reason(tmp_path: Path) -> None:
    clips = [shot(tmp_path, source_video("one"), n) for n in range(3)]
    item_results = [
        result_of(clips[0], "done"),
        result_of(image_of(clips[0]), "done"),
        result_of(clips[1], "rejected", "dark"),
        result_of(clips[2], "rejected", "dark"),
        result_of(clips[2], "waiting", "budget", stage="Say", position=3),
    ]
    section = stages(report_context(tmp_path, item_results=item_results))
    assert section is not None
    (keep, of_keep), (say, of_say) = section.data["table"]
    assert (keep, say) == ("Keep", "Say")
    assert [(c.status, c.kinds, c.seconds) for c in of_keep] == [
        ("done", "1 clip, 1 image", 1.0),
        ("rejected", "2 clips", 2.0),
    ]
    assert [(c.status, c.reason) for c in of_say] == [("waiting", "budget")]


def test_trouble_says_what_to_do_and_lists_no_more_than_can_be_read(tmp_path: Path) -> None:
    waiting = result_of(shot(tmp_path, source_video("one"), 0), "waiting", "budget")
    failed = [result_of(video(f"film {n}"), "failed", "odd") for n in range(MAX_LISTED + 5)]
    section = unfinished(report_context(tmp_path, item_results=[waiting, *failed]))
    assert section is not None
    first, second = section.data["groups"]
    assert (len(first.items), first.unlisted) == (MAX_LISTED, 5)
    assert "tries it again" in first.remedy
    assert "max_cost_usd" in second.remedy


def test_a_build_without_trouble_or_cost_says_nothing_of_them(tmp_path: Path) -> None:
    built = report_context(tmp_path, [shot(tmp_path, source_video("one"), 0)])
    assert unfinished(built) is None
    assert money(built) is None
    assert moved_videos(built) is None


def test_cost_is_told_by_model(tmp_path: Path) -> None:
    built = report_context(tmp_path)
    with Ledger(tmp_path) as ledger:
        ledger.settle(ledger.reserve("Say", "p", "a", 0.02), {"cost": 0.01, "model": "toy"})
        ledger.reserve("Say", "p", "b", 0.02)
    section = money(built)
    assert section is not None
    cost = {row["model"]: (row["settled"], row["unsettled"]) for row in section.data["rows"]}
    assert cost == {"toy": (0.01, 0.0), "no answer": (0.0, 0.02)}


def test_films_that_moved_are_named_with_both_splits(tmp_path: Path) -> None:
    one = source_video("one")
    before = {one.id: {"seen": 0, "split": "test"}}
    section = moved_videos(report_context(tmp_path, [shot(tmp_path, one, 0)], split_history=before))
    assert section is not None
    assert section.data["videos"] == [("one", "test", "train")]


def test_doubtful_cuts_are_listed_first_and_transitions_counted(tmp_path: Path) -> None:
    sure = {"cut_start": 1.0, "cut_end": 0.95, "cut_inside": 0.0, "flashes": 0.0}
    of_clips = [
        (("video", "cut"), sure),
        (("cut", "wipe"), {**sure, "cut_start": 0.62, "flashes": 1.0}),
        (("wipe", "cut"), {**sure, "cut_inside": 0.48}),
    ]
    clips = [
        shot(tmp_path, source_video("one"), n, transitions=kinds, scores=scores)
        for n, (kinds, scores) in enumerate(of_clips)
    ]
    section = shots(report_context(tmp_path, clips))
    assert section is not None
    counts = {count.kind: (count.starts, count.ends) for count in section.data["counts"]}
    assert counts == {"video": (1, 0), "cut": (1, 2), "wipe": (1, 1)}
    assert section.data["flashes"] == 1
    assert [(found.id, found.doubt) for found in section.data["doubtful"]] == [
        (clips[2].id, "no cut inside"),
        (clips[1].id, "the cut at its start"),
    ]
    page = write_report(report_context(tmp_path, clips)).read_text()
    assert "no cut inside has the probability 0.52" in page
    assert shots(report_context(tmp_path, [shot(tmp_path, source_video("old"), 0)])) is None


def test_scores_are_spread_and_flat_ones_apart(tmp_path: Path) -> None:
    clips = [
        shot(tmp_path, source_video("one"), n).with_scores(motion=n, still=1.0) for n in range(5)
    ]
    section = scores(report_context(tmp_path, clips))
    assert section is not None
    (motion,) = section.data["histograms"]
    assert (motion.minimum, motion.median, motion.maximum) == (0.0, 2.0, 4.0)
    assert sorted(set(motion.bars)) == [0, 100]
    (still,) = section.data["constant"]
    assert (still.name, still.median) == ("score_still", 1.0)


def test_a_clip_left_out_is_shown_as_far_as_it_came_with_its_reason(tmp_path: Path) -> None:
    kept, refused, still = (shot(tmp_path, source_video("one"), n) for n in range(3))
    still = replace(still, stills=(), caption=None)
    item_results = [
        result_of(refused, "rejected", "no_movement", stage="RefusalFilter"),
        result_of(still, "rejected", "motion below 0.02"),
    ]
    built = report_context(
        tmp_path, [kept, image_of(refused)], item_results, excluded_clips=[refused, still]
    )
    cards = list(contact.clip_cards(built))
    assert [(card["outcome"], len(card["stills"])) for card in cards] == [
        ("kept", 3),
        ("rejected", 3),
        ("rejected", 0),
    ]
    assert cards[1]["why"] == f"Drop refusals: {refused.id}: no_movement"
    assert cards[1]["caption"] == refused.caption.text
    assert [card["id"] for card in contact.image_cards(built)] == [image_of(refused).id]


def test_past_the_cap_cards_show_the_stills_of_the_work_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contact, "MAX_THUMBNAILS", 2)
    clips = [shot(tmp_path, source_video("one"), n) for n in range(4)]
    inside = [
        card["stills"][0].startswith("data:image/jpeg;base64,")
        for card in contact.clip_cards(report_context(tmp_path, clips))
    ]
    assert inside == [True, False, True, False]  # spread over all of them


def test_a_page_of_many_clips_has_cards_of_some_that_are_spread_over_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contact, "MAX_CARDS", 3)
    clips = [shot(tmp_path, source_video("one"), n) for n in range(5)]
    results = [result_of(clips[-1], "rejected", "motion below 0.02")]
    built = report_context(tmp_path, clips[:-1], results, excluded_clips=clips[-1:])
    cards = list(contact.clip_cards(built))
    assert [card["id"] for card in cards] == [clips[n].id for n in (0, 1, 3)]
    assert cards[0]["similar"] == 2  # with a clip that is not on the page
    section = contact.contact_sheet(built)
    assert section is not None
    assert (section.data["max_cards"], section.data["total"]) == (3, 5)
    assert "Of 5 clips and images, 3" in render_report(built, [section])


def test_cards_leave_out_scores_that_are_zero_for_every_clip(tmp_path: Path) -> None:
    clips = [
        shot(tmp_path, source_video("one"), n).with_scores(motion=n, broke_leak=0.0)
        for n in range(2)
    ]
    cards = list(contact.clip_cards(report_context(tmp_path, clips)))
    assert [card["scores"] for card in cards] == [{"motion": 0.0}, {"motion": 1.0}]


def test_only_web_addresses_can_be_clicked() -> None:
    assert contact.safe_url("https://example.org/watch") == "https://example.org/watch"
    assert contact.safe_url("javascript:alert(1)") == ""


def test_captions_are_counted_by_status_with_those_left_out(tmp_path: Path) -> None:
    kept = shot(tmp_path, source_video("a"), 0)
    reasons = ("no_movement", "audit: medium", "too short")
    item_results = [result_of(kept, "rejected", reason) for reason in reasons]
    section = captions(report_context(tmp_path, [kept], item_results))
    assert section is not None
    assert section.data["rows"] == [
        {"status": "described", "clips": 1, "images": 0},
        {"status": "audit: medium", "clips": 1, "images": 0},
        {"status": "no_movement", "clips": 1, "images": 0},
    ]


def animated(work: Path, number: int, hold: int, **scores: float) -> Clip:
    """A clip of 24 frames on so many."""
    known = {"hold": hold, "drawing_fps": 24 / hold, "hold_regularity": 1.0, "pulldown": 0.0}
    new = tuple(range(0, 24, hold))
    return shot(work, source_video("one"), number, scores={**known, **scores}, unique_frames=new)


def test_cadence_counts_clips_by_their_hold_and_shows_examples(tmp_path: Path) -> None:
    clips = [animated(tmp_path, n, hold) for n, hold in enumerate((2, 2, 2, 3))]
    clips.append(animated(tmp_path, 4, 2, hold_regularity=0.4, pulldown=1.0))
    section = cadence(report_context(tmp_path, clips))
    assert section is not None
    twos, threes = section.data["groups"]
    assert (twos.name, twos.clips, twos.drawing_fps, twos.pulldown) == ("on twos", 4, 12, 1)
    assert (threes.name, threes.clips, threes.percent) == ("on threes", 1, 25)
    assert threes.examples[0].id == clips[3].id
    assert threes.examples[0].frames[:7] == [True, False, False, True, False, False, True]
    assert (section.data["regular"], section.data["pulldown"]) == (4, 1)


def test_without_a_cadence_nothing_is_said_of_it(tmp_path: Path) -> None:
    assert cadence(report_context(tmp_path, [shot(tmp_path, source_video("one"), 0)])) is None
