"""A rendered film matches its truth to the frame and tick, and repeats to the byte."""

from __future__ import annotations

import subprocess
import sys
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from tests.brickworld import VFR, BrickFilm, Shot, Truth, read_barcode
from tests.brickworld.barcode import NoBarcode, draw_barcode
from tests.brickworld.choices import RenderError

SMALL = (320, 180)
TWO_SHOTS = (Shot(frames=14, hold=2, view=0), Shot(frames=13, hold=3, view=1))


def decoded(path: Path) -> tuple[list[np.ndarray], list[int], Fraction]:
    """Pictures, timestamps and time base of a film."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        frames = list(container.decode(stream))
        pictures = [frame.to_ndarray(format="rgb24") for frame in frames]
        return pictures, [int(frame.pts or 0) for frame in frames], stream.time_base


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
@pytest.mark.parametrize("vfr", [None, *VFR])
def test_every_frame_is_there_at_its_tick(tmp_path: Path, vfr: str | None, suffix: str) -> None:
    film = BrickFilm(size=SMALL, shots=TWO_SHOTS, scene="space", vfr=vfr, barcode=True)
    truth = film.render(tmp_path / f"film{suffix}", crf=23)
    pictures, pts, base = decoded(tmp_path / f"film{suffix}")
    assert pts == list(truth.pts)
    assert base == truth.time_base
    assert [read_barcode(picture) for picture in pictures] == list(range(truth.frames))
    assert all(a < b for a, b in pairwise(pts))


@pytest.mark.slow
@pytest.mark.parametrize("rate", ["12", "24000/1001", "25", "30000/1001", "60"])
def test_rates_are_exact(tmp_path: Path, rate: str) -> None:
    film = BrickFilm(fps=Fraction(rate), size=SMALL, shots=(Shot(frames=9, hold=1),), scene="space")
    film.render(tmp_path / "film.mp4")
    _, pts, base = decoded(tmp_path / "film.mp4")
    assert [tick * base for tick in pts] == [n / Fraction(rate) for n in range(9)]


@pytest.mark.slow
def test_two_equal_films_are_equal_to_the_byte(tmp_path: Path) -> None:
    for name in ("a.mp4", "b.mp4"):
        BrickFilm(seed=5, size=SMALL, shots=TWO_SHOTS).render(tmp_path / name)
    BrickFilm(seed=6, size=SMALL, shots=TWO_SHOTS).render(tmp_path / "c.mp4")
    first, second, other = (tmp_path.joinpath(f"{n}.mp4").read_bytes() for n in "abc")
    assert first == second != other


@pytest.mark.slow
def test_poses_change_where_the_truth_says_and_nowhere_else(tmp_path: Path) -> None:
    shots = (Shot(frames=24, hold=3, view=1), Shot(frames=16, hold=2, view=1, scene="castle"))
    film = BrickFilm(size=SMALL, shots=shots, scene="street", camera="static", lighting="day")
    truth = film.render(tmp_path / "film.mp4", crf=18)
    pictures, _, _ = decoded(tmp_path / "film.mp4")
    change = [float(cv2.absdiff(a, b).mean()) for a, b in pairwise(pictures)]
    moved = [value for value, new in zip(change, truth.new_drawing[1:], strict=True) if new]
    held = [value for value, new in zip(change, truth.new_drawing[1:], strict=True) if not new]
    assert truth.new_drawing[:7] == (True, False, False, True, False, False, True)
    assert truth.new_drawing[24:29] == (True, False, True, False, True)
    assert min(moved) > 1.5 * max(held)
    assert np.argmax(change) + 1 == 24 == truth.cuts[0]


def test_fades_belong_to_no_shot_and_are_no_cut() -> None:
    shots = (
        Shot(frames=48, hold=2),
        Shot(frames=48, hold=2, transition="fade"),
        Shot(frames=48, hold=2, transition="crossfade"),
        Shot(frames=48, hold=2),
    )
    truth = BrickFilm(shots=shots).truth()
    assert truth.frames == 4 * 48 - 12, "a crossfade shows two shots at once"
    assert truth.ignore == (*range(36, 60), *range(84, 96))
    spans = [(shot.start, shot.end) for shot in truth.shots]
    assert spans == [(0, 36), (60, 84), (96, 132), (132, 180)]
    assert truth.cuts == (132,)


@pytest.mark.slow
def test_a_fade_is_dark_in_its_middle() -> None:
    shots = (Shot(frames=24, hold=2), Shot(frames=24, hold=2, transition="fade"))
    film = BrickFilm(size=SMALL, shots=shots, scene="harbour", lighting="day", noise=0)
    light = [float(picture.mean()) for picture in film.pictures()]
    assert min(light) < 0.15 * light[0]
    assert 23 <= int(np.argmin(light)) <= 24


def test_a_frozen_shot_and_a_card_stand_still() -> None:
    for shot in (Shot(kind="frozen", frames=6), Shot(kind="title", frames=6, words="THE END")):
        first, *rest = BrickFilm(size=SMALL, shots=(shot,), scene="forest").pictures()
        assert all((picture == first).all() for picture in rest)


@pytest.mark.slow
def test_flicker_and_flash_change_the_light_but_are_no_cut() -> None:
    still = {"size": SMALL, "scene": "street", "lighting": "overcast", "camera": "static"}
    shot = Shot(frames=20, hold=2, view=1, speed="slow")
    plain = BrickFilm(shots=(shot,), **still)  # type: ignore[arg-type]
    flicker = BrickFilm(shots=(shot,), flicker=0.08, **still)  # type: ignore[arg-type]
    flash = BrickFilm(
        shots=(Shot(frames=20, hold=2, view=1, speed="slow", flash=True),),
        **still,  # type: ignore[arg-type]
    )
    spread = [np.std([p.mean() for p in film.pictures()]) for film in (plain, flicker)]
    assert spread[1] > 3 * spread[0]
    light = [float(picture.mean()) for picture in flash.pictures()]
    assert max(light) > 1.4 * light[0]
    assert flash.truth().cuts == ()


@pytest.mark.slow
@pytest.mark.parametrize("size", [(640, 360), (480, 270), (360, 640)])
def test_barcodes_survive_compression_and_reduction(size: tuple[int, int], tmp_path: Path) -> None:
    film = BrickFilm(size=size, shots=(Shot(frames=8, hold=1, speed="fast"),), barcode=True)
    film.render(tmp_path / "film.mp4", crf=23, preset="medium")
    scale = 180 / min(size)
    for number, picture in enumerate(decoded(tmp_path / "film.mp4")[0]):
        small = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        assert read_barcode(small) == number


def test_barcodes_of_all_numbers_read_back() -> None:
    frame = np.full((180, 320, 3), 99, np.uint8)
    for number in [*range(0, 65536, 97), 65535]:
        draw_barcode(frame, number)
        assert read_barcode(frame) == number


def test_a_frame_without_barcode_is_an_error() -> None:
    picture = next(BrickFilm(size=SMALL, shots=(Shot(frames=1),)).pictures())
    with pytest.raises(NoBarcode, match="barcode=True"):
        read_barcode(picture)


@pytest.mark.parametrize(
    ("wish", "says"),
    [
        ({"vfr": "jiter"}, "did you mean 'jitter'"),
        ({"scene": "moon"}, "scene='moon'"),
        ({"size": (641, 360)}, "even"),
        ({"shots": ()}, "length"),
        ({"holds": ()}, "holds"),
        ({"fps": Fraction(0)}, "fps"),
    ],
)
def test_invalid_fields_are_refused(wish: dict[str, object], says: str) -> None:
    with pytest.raises(RenderError, match=says):
        BrickFilm(**wish)  # type: ignore[arg-type]


def test_an_unknown_container_is_refused(tmp_path: Path) -> None:
    film = BrickFilm(size=SMALL, shots=(Shot(frames=1),))
    with pytest.raises(RenderError, match=r"choose \.mp4 or \.mkv"):
        film.render(tmp_path / "film.nonsense")


def test_the_kind_follows_the_holds() -> None:
    assert BrickFilm(holds=(1,), length=5).truth().kind == "ordinary"
    labels = BrickFilm(holds=(3,), length=9).truth().labels()
    assert labels["kind"] == "stop-motion"
    assert labels["cuts"]


def test_a_truth_can_be_saved(tmp_path: Path) -> None:
    truth: Truth = BrickFilm(length=4).truth(tmp_path / "film.mp4")
    truth.save(tmp_path / "film.json")
    assert '"time_base": "1/12288"' in (tmp_path / "film.json").read_text()


def test_importing_the_renderer_is_light() -> None:
    code = "import tests.brickworld, sys; print({'numpy', 'cv2', 'av'} & set(sys.modules))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "set()"
