"""Both rules find plain cards and new colours; the third holds back entrances of one tone."""

from __future__ import annotations

import numpy as np
import pytest

from brickfilm.detectors.transnetv2.rule import NOT_ASKED
from brickfilm.detectors.transnetv2.tone_rule import (
    StrictToneProposals,
    ToneProposals,
    find_tone_proposals,
    likely_cuts,
)

RULES = (ToneProposals, StrictToneProposals)


def proposal(
    dissimilarity: float,
    layout: float,
    tone: float,
    *,
    baseline: float = 0.0,
    network: float = -1,
    kind: type[ToneProposals] = ToneProposals,
) -> ToneProposals:
    """Return the proposals of a video with one, at frame 20."""
    columns = (dissimilarity, baseline, layout, tone, network)
    return kind(np.array([20]), *(np.array([value], np.float32) for value in columns))


@pytest.mark.parametrize("kind", RULES)
@pytest.mark.parametrize(
    ("figures", "baseline", "is_cut"),
    [
        ((0.74, 0.38, 0.98), 0.43, True),  # a drawing on violet, then on green
        ((0.53, 0.24, 0.88), 0.36, True),  # a red heart behind a paper figure
        ((0.61, 0.95, 0.51), 0.38, True),  # a wheel, then a hall of the same brown
        ((0.65, 0.71, 0.00), 0.50, False),  # a thin figure tumbles
        ((0.88, 0.06, 0.20), 0.68, False),  # paper is folded on a card
        ((0.20, 0.01, 1.00), 0.0, False),  # the exposure of a plain card jumps
        ((0.74, 0.33, 0.45), 0.0, True),  # a reverse angle on one dark table
    ],
)
def test_figures_as_in_real_films(
    kind: type[ToneProposals], figures: tuple[float, float, float], baseline: float, is_cut: bool
) -> None:
    assert (proposal(*figures, baseline=baseline, kind=kind).cuts() == [20]) is is_cut


ENTRANCES = [((0.581, 0.797, 0.248), 0.15), ((0.538, 0.393, 0.61), 0.246)]
"""Figures of two rendered videos in which somebody enters close to the camera."""


@pytest.mark.parametrize(("figures", "baseline"), ENTRANCES)
def test_an_entrance_in_the_tones_of_its_set_is_no_cut_by_the_third_rule(
    figures: tuple[float, float, float], baseline: float
) -> None:
    assert proposal(*figures, baseline=baseline).cuts() == [20]
    held_back = proposal(*figures, baseline=baseline, kind=StrictToneProposals)
    assert held_back.cuts() == []
    assert held_back.probabilities() == pytest.approx([0.4])


def test_the_third_rule_raises_no_probability_and_leaves_the_network_its_say() -> None:
    unlikely = (0.55, 0.1, 0.2)
    both = [proposal(*unlikely, kind=kind).probabilities()[0] for kind in RULES]
    assert both[0] == both[1] < 0.4
    (figures, baseline), _ = ENTRANCES
    asked = proposal(*figures, baseline=baseline, kind=StrictToneProposals)
    assert asked.doubtful() == [20]
    told = proposal(*figures, baseline=baseline, kind=StrictToneProposals, network=0.9)
    assert told.cuts() == [20]


def test_the_network_is_asked_where_the_layout_changes_and_the_rest_is_weak() -> None:
    weak, other_layout = proposal(0.55, 0.65, 0.0), proposal(0.55, 0.4, 0.2)
    assert 0.02 < weak.probabilities()[0] < 0.5
    assert weak.doubtful() == [20]
    assert 0.02 < other_layout.probabilities()[0] < 0.5
    assert other_layout.doubtful() == []
    assert proposal(0.9, 1.0, 0.9).doubtful() == []


def test_the_network_is_not_asked_where_each_pose_is_doubtful() -> None:
    frames = np.array([20, 24, 60, 76])
    doubtful = (np.full(4, value, np.float32) for value in (0.55, 0.0, 0.65, 0.0, 0.67))
    found = ToneProposals(frames, *doubtful)
    assert found.doubtful() == [60, 76]
    assert found.cuts() == [60, 76]


def test_its_vote_adds_a_cut_and_removes_none() -> None:
    assert proposal(0.55, 0.65, 0.0, network=0.67).cuts() == [20]
    assert proposal(0.55, 0.65, 0.0, network=0.67).probabilities()[0] == np.float32(0.67)
    assert proposal(0.55, 0.65, 0.0, network=0.4).cuts() == []
    assert proposal(0.9, 1.0, 0.9, network=0.0).cuts() == [20]


def test_of_cuts_within_two_frames_the_likelier_is_kept() -> None:
    frames = np.array([5, 7, 10, 12])
    assert likely_cuts(frames, np.array([0.6, 0.9, 0.8, 0.7], np.float32)) == [7, 10]
    assert likely_cuts(frames, np.array([0.6, 0.4, 0.3, 0.7], np.float32)) == [5, 12]
    assert likely_cuts(frames[:0], np.zeros(0, np.float32)) == []


def test_proposals_are_dissimilar_and_not_in_a_flash() -> None:
    dissimilarity, changes = np.zeros(40, np.float32), np.ones(40, np.float32)
    dissimilarity[[8, 10, 20, 30]] = 0.4, 0.6, 0.51, 0.9
    excluded = np.zeros(40, bool)
    excluded[30] = True
    network = np.full(40, NOT_ASKED, np.float32)
    found = find_tone_proposals(
        ToneProposals, dissimilarity, changes, changes, network, excluded, np.zeros(40, bool)
    )
    assert found.frames.tolist() == [10]
    assert found.baseline == pytest.approx([0.51])  # the median after it; before it 0.4


def test_a_blended_frame_beside_a_cut_is_not_its_baseline() -> None:
    dissimilarity, changes = np.zeros(40, np.float32), np.full(40, 0.3, np.float32)
    dissimilarity[[18, 19, 20]] = 0.1, 0.56, 0.77
    blended = np.zeros(40, bool)
    blended[19] = True
    network = np.full(40, NOT_ASKED, np.float32)
    figures = dissimilarity, changes, changes, network, blended
    for baseline, left_out in ((0.33, np.zeros(40, bool)), (0.1, blended)):
        found = find_tone_proposals(StrictToneProposals, *figures, left_out)
        assert found.frames.tolist() == [20]
        assert found.baseline == pytest.approx([baseline])
