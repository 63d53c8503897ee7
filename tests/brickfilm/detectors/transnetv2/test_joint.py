"""On a drawn video, `layout` finds the cut; by the newest rule alone it passes an entrance by."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

from brickfilm.detectors import JointDetector
from brickfilm.detectors.by_name import named_detector
from brickfilm.media import open_video
from brickfilm.scan.analyzer import analyze_frames
from brickfilm.scan.held_frames import FrameDifference
from brickfilm.scan.scan_result import ScanResult
from brickfilm.scan.timestamps import TimestampAnalyzer
from tests.benchmarks.effects import EffectContext, entering
from tests.brickworld import papers
from tests.brickworld.encode import Encoding, write_film
from tests.brickworld.kinds import Array
from tests.kit.ask_stage import video_of

SEED = 122
DRAWINGS = 24
"""Drawings of the first shot, each held for two frames."""


def pictures() -> Iterator[Array]:
    """Draw a shot in which somebody enters close to the camera (frame 14), then another set."""
    for pose in range(DRAWINGS):
        context = EffectContext(SEED, 0, 0, False, pose, DRAWINGS)
        yield from [entering(papers.table(SEED)(pose), context)] * 2
    for pose in range(DRAWINGS):
        yield from [papers.table(SEED + 1)(pose)] * 2


def cuts_by(detector: JointDetector, path: Path) -> list[int]:
    video = video_of(path)
    with open_video(path) as reader:
        analyzers = [TimestampAnalyzer(), FrameDifference(), detector]
        answers = analyze_frames(reader, video, analyzers)
    return detector.cuts(ScanResult.from_answers(video, answers).metrics(detector))


def test_an_entrance_close_to_the_camera_is_no_cut(tmp_path: Path) -> None:
    film, base = tmp_path / "entrance.mp4", Fraction(1, 24)
    write_film(
        film,
        pictures(),
        pts=range(4 * DRAWINGS),
        base=base,
        fps=1 / base,
        size=papers.SIZE,
        encoding=Encoding(crf=26),
    )
    newest = named_detector("layout")
    assert isinstance(newest, JointDetector)
    assert cuts_by(newest, film) == [2 * DRAWINGS]
    assert cuts_by(replace(newest, rule=2), film) == [14, 2 * DRAWINGS]
