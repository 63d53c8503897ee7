"""TransNetV2 from the package gives the published probabilities, and changes nothing else."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest

from brickfilm.detectors import JointDetector, TransNetV2, is_installed
from brickfilm.detectors.by_name import named_detector
from brickfilm.detectors.transnetv2.network import cut_probabilities
from brickfilm.errors import UsageError
from brickfilm.media import open_video
from brickfilm.scan.analyzer import analyze_frames, unpack_array
from brickfilm.stages import SceneSplitter
from tests.brickfilm.conftest import Drawn, plain
from tests.kit.ask_stage import clips_of
from tests.kit.extras import transnetv2

__all__ = ["plain", "transnetv2"]


@pytest.mark.parametrize("name", ["joint", "transnetv2"])
def test_a_missing_extra_is_named_with_its_remedy(name: str) -> None:
    assert not is_installed()
    with pytest.raises(UsageError, match=rf"{name!r} needs .* pip install 'brickfilm\[shots\]'"):
        SceneSplitter(detector=name).check()  # type: ignore[arg-type]


def test_layout_needs_no_extra() -> None:
    detector = named_detector("layout")
    detector.check()
    assert detector == JointDetector(holds=named_detector("holds"), asks_network=False, rule=3)


@pytest.mark.slow
def test_probabilities_are_those_of_the_package(transnetv2: None, plain: Drawn) -> None:
    import torch

    torch.manual_seed(7)
    random.seed(7)
    with open_video(plain.video.path) as reader:
        answers = analyze_frames(reader, plain.video, [TransNetV2()])
    assert (random.random(), torch.initial_seed()) == (random.Random(7).random(), 7)
    assert not torch.are_deterministic_algorithms_enabled()
    (answer,) = answers.values()
    ours = unpack_array(answer)[:, 0]
    assert len(ours) == 78
    assert np.array_equal(ours, np.round(ours, 3))
    assert {39, 69} == set(np.flatnonzero(ours > 0.5).tolist())


@pytest.mark.slow
def test_cuts_by_both_detectors_need_no_number_of_threads(
    transnetv2: None, plain: Drawn, tmp_path: Path
) -> None:
    import torch

    for threads in (1, 2):
        torch.set_num_threads(threads)
        splitter = SceneSplitter(detector="joint", min_frames=5, measures=(), threads=threads)
        clips = clips_of(splitter, plain.video, tmp_path)
        assert [clip.span.start_frame for clip in clips] == [0, 40, 70]
        assert {clip.shot_detector for clip in clips} == {"joint"}


@pytest.mark.slow
def test_windows_are_independent_of_each_other(transnetv2: None) -> None:
    windows = np.random.default_rng(1).integers(0, 255, (2, 16, 27, 48, 3), dtype=np.uint8)
    both = cut_probabilities(windows)
    assert both.shape == (2, 16)
    assert np.array_equal(both[1:], cut_probabilities(windows[1:]))
