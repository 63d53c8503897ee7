"""FrameSampler(snap='pose'): stills at new poses, with their times in the request."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest

from brickfilm import FolderSource, FrameSampler, GPT4oCaptioner, SceneSplitter, build_dataset
from brickfilm.captions.prompts import load_prompt
from brickfilm.captions.request import CaptionRequest, RequestParams
from brickfilm.errors import UsageError
from brickfilm.records import Clip
from brickfilm.scan.poses import snap_to_poses
from tests.brickworld import BrickFilm, Shot
from tests.kit.captions import clip
from tests.kit.servers.openai import CaptionServer
from tests.kit.toy_stages import clip as toy_clip
from tests.kit.toy_stages import video as toy_video


@pytest.mark.parametrize(
    ("frames", "poses", "chosen"),
    [
        ([8, 20, 31], [0, 4, 8, 12, 16, 20, 24, 28], [8, 20, 28]),
        ([9, 20, 31], [0, 4, 8, 12, 16, 20, 24, 28], [8, 20, 28]),  # the pose on screen
        ([9, 10, 11], [0, 8, 16, 24], [0, 8, 16]),  # one pose on screen: its neighbours
        ([9, 20, 31], [0, 12], [0, 12]),  # fewer poses than stills
        ([9, 20], [10, 30], [10, 30]),  # nothing begins before the first
        ([9, 20], [], [9, 20]),  # nothing is known
        ([3, 3], [0, 1, 2, 3], [2, 3]),
    ],
)
def test_stills_move_to_poses(frames: list[int], poses: list[int], chosen: list[int]) -> None:
    assert snap_to_poses(frames, poses) == chosen


def snapped(poses: tuple[int, ...], at: tuple[float, ...] | int) -> Clip:
    """A clip of 40 frames at 10 per second after the sampler, without files."""
    (out, *_) = FrameSampler(at=at, snap="pose").simulate(
        replace(clip(0, Path("/nonexistent"), at=()), unique_frames=poses)
    )
    assert isinstance(out, Clip)
    return out


def test_times_are_in_the_text_and_in_the_key() -> None:
    item = snapped((0, 5, 20, 30), (0.2, 0.5, 0.8))
    assert [(s.frame, s.seconds) for s in item.stills] == [(5, 0.5), (20, 2.0), (30, 3.0)]
    request = CaptionRequest.for_item(item, load_prompt("general"), RequestParams())
    assert request.user_text == "The stills, at 0.50 s, 2.00 s, 3.00 s:"
    assert "at 12.8 %, 51.3 % and 76.9 % of its length" in request.system_prompt
    assert request.user_text in request.key
    plain = replace(item, stills=tuple(replace(s, seconds=None) for s in item.stills))
    request = CaptionRequest.for_item(plain, load_prompt("general"), RequestParams())
    assert request.user_text.startswith("The stills, at 12.8 %")
    assert request.key == [request.system_prompt, *(s.sha256 for s in plain.stills)]


def test_a_number_of_stills_is_spread_evenly() -> None:
    assert FrameSampler(at=4).at == (0.125, 0.375, 0.625, 0.875)
    assert FrameSampler(at=4).digest == FrameSampler(at=(0.125, 0.375, 0.625, 0.875)).digest
    assert len(snapped(tuple(range(40)), 16).stills) == 16
    assert len(snapped((0, 10, 20), 16).stills) == 3


def test_a_new_scan_of_the_poses_takes_new_stills() -> None:
    item = replace(clip(0, Path("/nonexistent"), at=()), unique_frames=(0, 8, 16))
    other = replace(item, unique_frames=(0, 9, 16))
    stage = FrameSampler(snap="pose")
    assert stage.key(item) != stage.key(other) and stage.key(item).startswith(item.id)
    assert FrameSampler().key(item) == FrameSampler().key(other) == item.id


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ({"at": 17, "snap": "pose"}, "at most 16 stills"),
        ({"snap": "hold"}, "'pose' or None"),
        ({"at": 0}, "give positions"),
        ({"at": (0.5, 1.5)}, "give positions"),
    ],
)
def test_wrong_settings_are_told(settings: dict[str, object], error: str) -> None:
    with pytest.raises(UsageError, match=error):
        FrameSampler(**settings)  # type: ignore[arg-type]


@pytest.mark.slow
def test_a_film_on_fours_sends_new_poses_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-none")
    film = BrickFilm(seed=3, fps=Fraction(24), size=(160, 90), shots=(Shot(seconds=2, hold=4),))
    truth = film.render(tmp_path / "films" / "a.mp4")
    with CaptionServer() as server:
        built = build_dataset(
            FolderSource(tmp_path / "films"),
            SceneSplitter(),
            FrameSampler(at=16, snap="pose", images=False),
            GPT4oCaptioner(base_url=server.url),
            workdir=tmp_path / "w",
        )
        (request,) = server.requests
    (row,) = built["clips"]["train"].remove_columns("video")
    assert truth
    assert len(request.stills) == len(set(request.stills)) == len(row["new_drawings"]) == 12
    times = [f"{n / 24:.2f} s" for n in row["new_drawings"]]
    assert f"The stills, at {', '.join(times)}:" in request.text


def test_stills_of_positions_are_rounded_to_the_nearest_frame() -> None:
    assert FrameSampler().frames(toy_clip(toy_video("a"), 10, 40)) == [16, 24, 33]  # of 0..29
