"""The packaged demo film: the renderer's frames and captions, shots to keep and to reject."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av
import pytest

from brickfilm import SceneSplitter, SidecarCaptioner
from brickfilm.demo import DEMO_VIDEO, copy_demo_film
from brickfilm.errors import Rejected
from brickfilm.media import open_video
from brickfilm.media.verify import psnr
from brickfilm.records import Clip
from tests.brickworld import Truth, demo_film
from tests.brickworld.captions import webvtt
from tests.kit.ask_stage import ask, video_of

MIN_PSNR_DB = 34.0
"""Measured: 36.2 dB at worst, 39.3 dB on average; sensor noise is most of the difference."""
KEPT = [(0, 48), (48, 156), (156, 252), (252, 348), (359, 467), (467, 528)]
KEPT += [(550, 647), (647, 743), (743, 839)]


@pytest.fixture(scope="module")
def truth() -> Truth:
    return demo_film().truth(DEMO_VIDEO)


def test_the_video_is_about_a_megabyte() -> None:
    assert 500_000 < DEMO_VIDEO.stat().st_size < 1_200_000


def test_the_captions_are_the_renderers(truth: Truth) -> None:
    captions = DEMO_VIDEO.with_suffix(".vtt").read_text(encoding="utf-8")
    assert captions == webvtt(truth)


@pytest.mark.slow
def test_the_frames_are_the_renderers() -> None:
    film = demo_film()
    worst = 100.0
    with open_video(DEMO_VIDEO) as reader:
        for frame, picture in zip(reader.frames(), film.pictures(), strict=True):
            drawn = av.VideoFrame.from_ndarray(picture, format="rgb24").to_ndarray(format="yuv420p")
            worst = min(worst, psnr(frame.luma(), drawn[: film.size[1]]))
    assert worst > MIN_PSNR_DB


def test_the_timestamps_are_the_renderers(truth: Truth) -> None:
    with open_video(DEMO_VIDEO) as reader:
        assert reader.stream.time_base == truth.time_base
        assert tuple(frame.pts for frame in reader.frames()) == truth.pts


@pytest.mark.slow
def test_it_has_shots_to_keep_and_frames_to_reject(tmp_path: Path, truth: Truth) -> None:
    outputs = ask(SceneSplitter(), [video_of(copy_demo_film(tmp_path))], tmp_path)
    rejected = [(r.reason, span_of(r.record)) for r in outputs if isinstance(r, Rejected)]
    assert rejected == [("fade", (528, 550)), ("too short", (348, 359))]
    clips = [clip for clip in outputs if isinstance(clip, Clip)]
    assert [span_of(clip) for clip in clips] == KEPT
    captioned = [c for c in ask(SidecarCaptioner(), clips, tmp_path) if isinstance(c, Clip)]
    assert [clip.caption.text for clip in captioned if clip.caption] == [
        shot.caption for shot in truth.shots if shot.caption and shot.end - shot.start > 11
    ]


def span_of(clip: Any) -> tuple[int, int]:
    return clip.span.start_frame, clip.span.end_frame


def test_it_is_copied_once_and_again_where_a_copy_is_incomplete(tmp_path: Path) -> None:
    path = copy_demo_film(tmp_path)
    first = path.stat().st_ino
    assert copy_demo_film(tmp_path).stat().st_ino == first
    path.write_bytes(b"")
    assert copy_demo_film(tmp_path).read_bytes() == DEMO_VIDEO.read_bytes()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["brick-film.mp4", "brick-film.vtt"]
