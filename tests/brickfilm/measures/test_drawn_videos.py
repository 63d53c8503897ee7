"""Every measure gives the value that was drawn, rises with it, and bears encoding and scaling."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from brickfilm.measures import (
    ALL_MEASURES,
    Blank,
    Blockiness,
    Cadence,
    CameraMotion,
    ColorBars,
    Exposure,
    Flicker,
    Freeze,
    Interlacing,
    Letterbox,
    Measure,
    Motion,
    Overlay,
    Sharpness,
    TextShare,
    VmafMotion,
)
from tests.brickfilm.measures import drawn
from tests.brickfilm.measures.drawn import FPS, HEIGHT, WIDTH, Picture, encode, measured


def moving(pixels: float) -> list[Picture]:
    return drawn.panned([(pixels * n, 0.0) for n in range(12)])


def held(frames: float) -> list[Picture]:
    """Ten poses, of which the last is held for so many frames."""
    poses = drawn.panned([(6.0 * n, 0.0) for n in range(10)])
    return [*poses, *[poses[-1]] * round(frames - 1)]


def on_hold(hold: float) -> list[Picture]:
    return [
        pose for pose in drawn.panned([(6.0 * n, 0) for n in range(8)]) for _ in range(round(hold))
    ]


def blurred(sigma: float) -> list[Picture]:
    pictures = [drawn.texture(seed=n, blob=3) for n in range(4)]
    return [cv2.GaussianBlur(picture, (0, 0), sigma) for picture in pictures]


def bright(mean: float) -> list[Picture]:
    return [drawn.texture(seed=n, mean=mean, deviation=15) for n in range(4)]


def contrasty(deviation: float) -> list[Picture]:
    return [drawn.texture(seed=n, deviation=deviation) for n in range(4)]


def with_frames(other: Picture) -> Callable[[float], list[Picture]]:
    """Return a drawing of twelve frames, of which a share shows something else."""

    def draw(share: float) -> list[Picture]:
        pictures, count = moving(3), round(12 * share)
        return [*[other] * count, *pictures[count:]]

    return draw


def flickering(amount: float) -> list[Picture]:
    lights = [1 + amount / 2 * (-1) ** n for n in range(16)]
    return [np.clip(p * light, 0, 255).astype(np.uint8) for p, light in zip(moving(2), lights)]  # noqa: B905


def letterboxed(bar: float) -> list[Picture]:
    pictures = moving(3)
    lines = round(bar * HEIGHT)
    for picture in pictures:
        picture[:lines] = picture[HEIGHT - lines :] = 0
    return pictures


def with_logo(side: float) -> list[Picture]:
    """Eight pictures of three frames each, with a bright plate of this side in the corner."""
    pictures = [drawn.texture(seed=n, deviation=45, blob=40) for n in range(8) for _ in range(3)]
    for picture in pictures:
        for inset in range(0, round(side) // 2, 6):
            low, high = 20 + inset, 20 + round(side) - inset
            picture[low:high, low:high] = 255 if inset // 6 % 2 else 0
    return pictures


def with_text(lines: float) -> list[Picture]:
    pictures = [(p // 3).astype(np.uint8) for p in moving(1)]
    for picture in pictures:
        for n in range(round(lines)):
            at = (60, HEIGHT - 30 - 45 * n)
            cv2.putText(
                picture, "Bricks fall down the stairs", at, 0, 1.1, (255,) * 3, 2, cv2.LINE_AA
            )
    return pictures


def tilting(pixels: float) -> list[Picture]:
    return drawn.panned([(0.0, -pixels * n) for n in range(12)])


def zooming(percent: float) -> list[Picture]:
    return drawn.panned([(0.0, 0.0)] * 12, [(1 + percent / 100) ** n for n in range(12)])


def shaking(deviation: float) -> list[Picture]:
    places = np.random.default_rng(1).standard_normal((24, 2)) * deviation / np.sqrt(2)
    return drawn.panned([(float(x), float(y)) for x, y in places])


def interlaced(share: float) -> list[Picture]:
    fields = drawn.panned([(5.0 * n, 0.0) for n in range(24)])
    return [drawn.woven(*fields[n : n + 2], share) for n in range(0, 24, 2)]


def blocky(strength: float) -> list[Picture]:
    pictures = []
    for picture in moving(3):
        small = cv2.resize(picture, (WIDTH // 8, HEIGHT // 8), interpolation=cv2.INTER_AREA)
        blocks = cv2.resize(small, (WIDTH, HEIGHT), interpolation=cv2.INTER_NEAREST)
        pictures.append(cv2.addWeighted(picture, 1 - strength, blocks, strength, 0))
    return pictures


@dataclass(frozen=True)
class Case:
    """A score, how its value is drawn, and what three drawn values give."""

    measure: Measure
    score: str
    draw: Callable[[float], list[Picture]]
    drawn: tuple[float, float, float]
    expected: tuple[float, float, float] | None
    """None: only that they rise, or fall."""
    tolerance: float = 0.1
    """Relative to the span of the three."""
    preset: str = "veryfast"
    """Of x264; 'veryfast' flattens flicker of 0.1 by half at crf 30."""
    is_of_the_file: bool = False
    """True if scaling the picture changes it by what it is."""


def per_second(*pixels: float) -> tuple[float, float, float]:
    first, second, third = (p * FPS / HEIGHT for p in pixels)
    return first, second, third


BLACK, GREY = (np.full((HEIGHT, WIDTH, 3), level, np.uint8) for level in (0, 128))
BARS = drawn.color_bars()
LINE_SHARE = 0.05
"""Of one line of text, by its height and width on the picture."""
ZOOM = FPS * np.log(1.01)
CASES = [
    Case(Motion(), "motion", moving, (1, 2, 4), per_second(1, 2, 4), 0.2),
    Case(Freeze(), "freeze_share", held, (1, 18, 36), (0, 2 / 3, 0.8)),
    Case(Cadence(), "hold", on_hold, (1, 2, 3), (1, 2, 3)),
    Case(Cadence(), "drawing_fps", on_hold, (3, 2, 1), (8, 12, 24)),
    Case(Sharpness(), "sharpness", blurred, (6, 3, 1), None, 0.25),
    Case(Exposure(), "brightness", bright, (60, 120, 180), (60, 120, 180), 0.03),
    Case(Exposure(), "contrast", contrasty, (10, 20, 40), (10, 20, 40)),
    Case(Blank(), "black_share", with_frames(BLACK), (0, 0.25, 0.5), (0, 0.25, 0.5), 0.01),
    Case(Blank(), "flat_share", with_frames(GREY), (0, 0.25, 0.5), (0, 0.25, 0.5), 0.01),
    Case(ColorBars(), "color_bars", with_frames(BARS), (0, 0.25, 1), (0, 0.25, 1), 0.01),
    Case(Flicker(), "flicker", flickering, (0, 0.1, 0.2), (0, 0.1, 0.2), preset="medium"),
    Case(Letterbox(), "letterbox", letterboxed, (0, 0.05, 0.125), (0, 0.1, 0.25), 0.06),
    Case(Letterbox(), "letterbox_top", letterboxed, (0, 0.05, 0.125), (0, 0.05, 0.125), 0.06),
    Case(Overlay(), "overlay_share", with_logo, (0, 60, 96), (0, 1 / 64, 1 / 25), 0.3),
    Case(TextShare(), "text_share", with_text, (0, 1, 3), (0, LINE_SHARE, 3 * LINE_SHARE), 0.25),
    Case(CameraMotion(), "camera_pan", moving, (0, 2, 4), per_second(0, 2, 4)),
    Case(CameraMotion(), "camera_tilt", tilting, (0, 2, 4), per_second(0, 2, 4)),
    Case(CameraMotion(), "camera_zoom", zooming, (0, 1, 2), (0, ZOOM, 2 * ZOOM)),
    Case(CameraMotion(), "camera_shake", shaking, (0, 1.5, 3), (0, 1.5 / HEIGHT, 3 / HEIGHT), 0.25),
    Case(Interlacing(), "interlacing", interlaced, (0, 0.5, 1), None, 0.25, is_of_the_file=True),
    Case(Blockiness(), "blockiness", blocky, (0, 0.5, 1), None, 0.35, is_of_the_file=True),
    Case(VmafMotion(), "vmaf_motion", moving, (1, 2, 4), None, 0.15, is_of_the_file=True),
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.score)
def test_a_score_is_what_was_drawn(case: Case, tmp_path: Path) -> None:
    found = [score(case, value, tmp_path) for value in case.drawn]
    span = found[2] - found[0]
    assert found[0] < found[1] < found[2], found
    if case.expected is not None:
        wanted = np.array(case.expected)
        assert np.abs(np.array(found) - wanted).max() <= case.tolerance * np.ptp(wanted), found
    variants = [{"crf": 30.0}, *([] if case.is_of_the_file else [{"scale": 0.5}])]
    for variant in variants:
        again = score(case, case.drawn[1], tmp_path, **variant)
        assert again == pytest.approx(found[1], abs=case.tolerance * span), (variant, found)


def score(case: Case, value: float, folder: Path, *, crf: float = 18, scale: float = 1) -> float:
    path = encode(
        folder / "drawn.mp4", case.draw(value), crf=round(crf), scale=scale, preset=case.preset
    )
    return measured(path, case.measure)[case.score]


def test_every_measure_has_a_drawn_case() -> None:
    assert {type(case.measure) for case in CASES} == {type(measure) for measure in ALL_MEASURES}


@pytest.mark.slow
def test_vmaf_motion_is_the_difference_of_blurred_frames(tmp_path: Path) -> None:
    path, pictures = tmp_path / "drawn.mkv", drawn.panned([(3.0 * n, 0.0) for n in range(4)])
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=FPS)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "gray"
        for picture in pictures:
            frame = np.ascontiguousarray(picture[..., 0])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="gray")))
        container.mux(stream.encode(None))
    kernel = np.array([0.054488685, 0.244201342, 0.402619947, 0.244201342, 0.054488685])  # of VMAF
    blurred = [cv2.sepFilter2D(p[..., 0].astype(np.float64), -1, kernel, kernel) for p in pictures]
    steps = [np.abs(b - a).mean() for a, b in pairwise(blurred)]
    found = measured(path, VmafMotion())["vmaf_motion"]
    assert found == pytest.approx(sum(steps) / len(pictures), rel=0.01)


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("ffmpeg"), reason="no ffmpeg is installed")
def test_vmaf_motion_is_that_of_a_system_ffmpeg(tmp_path: Path) -> None:
    path = encode(tmp_path / "drawn.mp4", moving(3)[:6])
    stats = tmp_path / "stats.txt"
    command = ["ffmpeg", "-v", "error", "-i", str(path), "-vf", f"vmafmotion=stats_file={stats}"]
    subprocess.run([*command, "-f", "null", "-"], check=True, timeout=60)
    values = [float(line.rpartition(":")[2]) for line in stats.read_text().splitlines() if line]
    found = measured(path, VmafMotion())["vmaf_motion"]
    assert found == pytest.approx(sum(values) / len(values), rel=0.01)
