"""Clips say how they begin and end, and how sure that is."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

import numpy as np
import pytest

from brickfilm.detectors import Adaptive, HoldAware, JointDetector, TransNetV2
from brickfilm.detectors.found_shots import (
    CUT_SCORES,
    FoundShots,
    describe_shots,
    described_scores,
    find_shots,
)
from brickfilm.scan.analyzer import FrameMetrics

FRAMES = 200
HOLDS = HoldAware()
DISSIMILARITY, SINCE_SHOWN, BLENDED, CONTRAST = range(4)
SHORT_CROSSFADE = 4


def metrics_of(values: Mapping[tuple[int, int], float], columns: int) -> FrameMetrics:
    """Return metrics of contrasty frames that are all alike, but for some (frame, column)."""
    rows = np.zeros((FRAMES, columns), np.float32)
    rows[:, CONTRAST if columns > 1 else 0] = 50.0 if columns > 1 else 0.0
    for at, value in values.items():
        rows[at] = value
    return FrameMetrics(rows, np.arange(FRAMES) / 24, np.ones(FRAMES, bool))


def described(
    values: Mapping[tuple[int, int], float],
    wipes: list[tuple[int, int]] | None = None,
    forced_cuts: tuple[int, ...] = (),
) -> FoundShots:
    metrics = metrics_of(values, len(HOLDS.columns))
    return describe_shots(HOLDS, metrics, wipes or [], forced_cuts)


def test_a_cut_has_the_probability_of_its_dissimilarity() -> None:
    found = described({(60, DISSIMILARITY): 0.9, (130, DISSIMILARITY): 0.65})
    assert found.shots == [(0, 60), (60, 130), (130, FRAMES)]
    (video, before), (cut, first) = found.edges(0, 60)
    assert (video, before, cut) == ("video", 1.0, "cut")
    assert first == pytest.approx(1 / (1 + np.exp(7.118 - 0.9 * (8.774 + 4.778))))
    assert found.edges(60, 130) == (("cut", first), ("cut", found.probabilities[130]))  # type: ignore[index]
    assert 0.8 < found.probabilities[130] < first  # type: ignore[index]
    assert found.edges(130, FRAMES)[1] == ("video", 1.0)


def test_a_cut_that_was_not_made_is_a_doubt_inside() -> None:
    found = described({(60, DISSIMILARITY): 0.9, (130, DISSIMILARITY): 0.55})
    (_, shot) = found.shots
    scores = found.scores(*shot, found.edges(*shot))
    assert scores["cut_inside"] == pytest.approx(0.58, abs=0.01)
    assert scores["cut_end"] == 1.0
    assert found.scores(0, 60, found.edges(0, 60))["cut_inside"] == 0.0


def test_parts_and_breaks_are_named() -> None:
    found = described({}, forced_cuts=(90,))
    assert found.edges(45, 90) == (("split", 1.0), ("break", 1.0))


def test_flashes_are_counted_in_the_clip_that_has_them() -> None:
    found = described({(60, DISSIMILARITY): 0.9, (83, SINCE_SHOWN): 4, (140, SINCE_SHOWN): 3})
    assert found.flashes == [(80, 83), (138, 140)]
    assert found.scores(60, 100, found.edges(60, 100))["flashes"] == 1.0
    assert found.scores(60, FRAMES, found.edges(60, FRAMES))["flashes"] == 2.0
    assert found.scores(100, FRAMES, found.edges(100, FRAMES))["flashes"] == 1.0
    assert found.scores(0, 60, found.edges(0, 60))["flashes"] == 0.0


def test_a_blended_cut_is_a_cut_and_its_frames_a_blend() -> None:
    found = described({(61, DISSIMILARITY): 0.9, (61, BLENDED): 1})
    assert found.shots == [(0, 60), (61, FRAMES)]
    assert found.kind_between(60, 61) == "blend"
    sure = float(found.probabilities[61])  # type: ignore[index]
    assert found.edges(0, 60)[1] == found.edges(61, FRAMES)[0] == ("cut", sure)
    assert sure > 0.9


def test_a_fade_a_dissolve_and_a_wipe_are_named() -> None:
    dissolve = {(n, SHORT_CROSSFADE): 0.7 for n in (160, 162, 164, 166)}
    fade = {(n, CONTRAST): max(1.0, abs(n - 60) * 5.0) for n in range(50, 71)}
    found = described({**fade, **dissolve}, wipes=[(100, 120)])
    kinds = [transition.kind for transition in found.transitions]
    assert kinds == ["wipe", "fade", "dissolve"]
    first, second, third, last = found.shots
    assert found.edges(*first)[1] == found.edges(*second)[0] == ("fade", 1.0)
    assert found.edges(*second)[1] == found.edges(*third)[0] == ("wipe", 1.0)
    kind, sure = found.edges(*third)[1]
    assert (kind, sure) == found.edges(*last)[0]
    assert kind == "dissolve"
    assert sure == pytest.approx(1 / (1 + np.exp(7.118 - 0.7 * (8.774 + 4.778))))
    between = [found.kind_between(a[1], b[0]) for a, b in pairwise(found.shots)]
    assert between == ["fade", "wipe", "dissolve"]


def test_a_cut_inside_a_wipe_is_part_of_it() -> None:
    found = described({(110, DISSIMILARITY): 0.9}, wipes=[(100, 120)])
    assert found.shots == [(0, 100), (120, FRAMES)]
    assert list(found.cuts) == []


def test_joint_gives_the_probabilities_that_decided() -> None:
    detector = JointDetector(holds=HOLDS)
    columns = len(detector.columns)
    values = {(60, 0): 0.8, (60, columns - 2): 0.7, (120, 0): 0.5, (120, columns - 2): 0.3}
    metrics = metrics_of({**values, (60, columns - 1): 0.99, (120, columns - 1): 0.02}, columns)
    found = describe_shots(detector, metrics, [], ())
    proposals = detector.proposals(metrics)
    assert proposals.frames.tolist() == [60, 120]
    assert found.probabilities[[60, 120]].tolist() == proposals.probabilities().tolist()  # type: ignore[index]
    assert list(found.cuts) == [60]


def test_transnetv2_gives_its_own_probabilities_and_names_no_flashes() -> None:
    values = {(59, 0): 0.93, **{(n, 0): 0.8 for n in range(120, 130)}}
    found = describe_shots(TransNetV2(), metrics_of(values, 1), [], ())
    assert found.shots == [(0, 60), (60, 121), (130, FRAMES)]
    kind, sure = found.edges(60, 121)[0]
    assert (kind, round(sure, 3)) == ("cut", 0.93)
    assert found.edges(60, 121)[1] == ("gradual", pytest.approx(0.8))
    assert set(found.scores(0, 60, found.edges(0, 60))) == set(CUT_SCORES)


def test_a_detector_that_is_not_sure_of_anything_describes_nothing() -> None:
    assert described_scores(Adaptive()) == ()
    found = find_shots(Adaptive(), metrics_of({}, 1))
    assert found.scores(0, FRAMES, found.edges(0, FRAMES)) == {}
