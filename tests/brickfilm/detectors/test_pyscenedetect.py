"""Our rules over PySceneDetect's scores find the same cuts as PySceneDetect."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest
from scenedetect import AdaptiveDetector, ContentDetector, FrameTimecode

from brickfilm.detectors import Adaptive, Content, Detector
from brickfilm.media import FrameExtras, open_video, reduced_frames
from brickfilm.stages import SceneSplitter
from tests.brickworld import BrickFilm
from tests.kit.ask_stage import clips_of, video_of


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Render thirteen seconds with cuts, flashes and a whip pan, on ones and twos."""
    path = tmp_path_factory.mktemp("busy") / "busy.mp4"
    BrickFilm(seed=5, length=13, size=(320, 180), holds=(1, 2), flashes=0.5, fades=0.3).render(path)
    return path


def original(film: Path, detector: ContentDetector) -> list[int]:
    """Return the cuts of a PySceneDetect detector on the same reduced frames."""
    cuts: list[int] = []
    with open_video(film) as reader:
        for number, frame in enumerate(reduced_frames(reader, FrameExtras(with_chroma=True))):
            time = FrameTimecode(number, Fraction(24))
            cuts += [cut.frame_num for cut in detector.process_frame(time, frame.bgr)]
    return cuts


@pytest.mark.slow
@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (Adaptive(), AdaptiveDetector()),
        (Adaptive(min_frames=40), AdaptiveDetector(min_scene_len=40)),
        (Adaptive(threshold=1.5, min_score=5), AdaptiveDetector(1.5, min_content_val=5)),
        (Content(), ContentDetector()),
        (Content(threshold=12), ContentDetector(threshold=12)),
    ],
)
def test_cuts_are_those_of_the_original(
    ours: Detector, theirs: ContentDetector, film: Path, tmp_path: Path
) -> None:
    splitter = SceneSplitter(detector=ours, min_frames=1, max_frames=10_000)
    clips = clips_of(splitter, video_of(film), tmp_path)
    assert [clip.span.start_frame for clip in clips][1:] == original(film, theirs)
