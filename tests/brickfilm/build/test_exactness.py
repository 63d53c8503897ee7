"""No foreign, dropped or doubled frame in any clip, whatever the film does; barcodes prove it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from brickfilm.engine.sinks import FusedSinks
from brickfilm.media import VerificationError, open_video
from brickfilm.records import Clip
from brickfilm.stages import ClipWriter, FrameSampler, SceneSplitter
from tests.brickworld import BrickFilm, Shot, Truth, read_barcode
from tests.brickworld.barcode import draw_barcode
from tests.kit.ask_stage import clips_of, video_of, written

Picture = NDArray[np.uint8]
SPLITTER = SceneSplitter(min_frames=2, max_frames=11)
"""Short enough to begin clips everywhere in a group of pictures."""
SINKS = FusedSinks((ClipWriter(verify="full"), FrameSampler()))
SLOW = pytest.mark.slow
RATES = [
    Fraction(30000, 1001),
    *(pytest.param(Fraction(n), marks=SLOW) for n in (12, 15, 24, 25, 30, 60, "24000/1001")),
]
VFR = ["drop-third", *(pytest.param(s, marks=SLOW) for s in ("jitter", "half", "random-holds"))]


class NumberedFilm(BrickFilm):
    """A film of moving blocks instead of a set, which is quick to draw."""

    def pictures(self) -> Iterator[Picture]:
        width, height = self.size
        rng = np.random.default_rng(self.seed)
        blocks = rng.integers(0, 256, (height // 10, width // 10, 3), np.uint8)
        pixels = blocks.repeat(10, axis=0).repeat(10, axis=1)
        for number, frame in enumerate(self.exposures):
            picture = np.roll(pixels, 4 * frame.drawing + 99 * frame.shot, axis=1)
            draw_barcode(picture, number)
            yield picture


def film(*frames: int, **settings: object) -> BrickFilm:
    """Shots of so many frames (23 and 20) on twos, numbered."""
    shots = tuple(Shot(frames=n, hold=2, caption="") for n in frames or (23, 20))
    return NumberedFilm(shots=shots, **{"size": (320, 180)} | settings)  # type: ignore[arg-type]


def shown(path: Path) -> tuple[list[int], list[Fraction]]:
    """A clip's barcodes, and when each frame is shown in seconds."""
    with open_video(path) as clip:
        frames = [(read_barcode(np.asarray(f.image())), f.pts) for f in clip.frames()]
        base = Fraction(clip.stream.time_base)
    return [number for number, _ in frames], [pts * base for _, pts in frames]


def cut(path: Path, work: Path) -> list[Clip]:
    """Every clip of a film, written."""
    clips, _ = written(SINKS, clips_of(SPLITTER, video_of(path), work), work)
    return clips


def prove(clips: Iterable[Clip], truth: Truth, work: Path) -> None:
    """Each clip shows its own frames at their own times, and together they are the film."""
    seen: list[int] = []
    for clip in clips:
        assert clip.path is not None
        numbers, times = shown(work / clip.path)
        start = clip.span.start_frame
        assert numbers == list(range(start, clip.span.end_frame))
        assert times == [(truth.pts[n] - truth.pts[start]) * truth.time_base for n in numbers]
        seen += numbers
    assert seen == list(range(truth.frames))


@pytest.mark.parametrize("fps", RATES, ids=str)
def test_at_every_rate(fps: Fraction, tmp_path: Path) -> None:
    truth = film(fps=fps).render(tmp_path / "film.mp4")
    prove(cut(tmp_path / "film.mp4", tmp_path), truth, tmp_path)


@pytest.mark.parametrize("suffix", [pytest.param("mp4", marks=SLOW), "mkv"])
@pytest.mark.parametrize("vfr", VFR)
def test_at_a_variable_rate(vfr: str, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"film.{suffix}"
    truth = film(vfr=vfr).render(path)
    prove(cut(path, tmp_path), truth, tmp_path)


@SLOW
@pytest.mark.parametrize("open_gop", [False, True])
def test_with_reordered_frames_across_the_cut(open_gop: bool, tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    truth = film().render(path, gop=7, bframes=4, open_gop=open_gop)
    prove(cut(path, tmp_path), truth, tmp_path)


def test_each_clip_alone_where_only_seeking_finds_it(tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    truth = film().render(path, gop=9, bframes=4, open_gop=True)
    clips = clips_of(SPLITTER, video_of(path), tmp_path)
    alone = [written(SINKS, [clip], tmp_path)[0][0] for clip in reversed(clips)]
    prove(reversed(alone), truth, tmp_path)


def encoded(pictures: Iterable[Picture], path: Path) -> None:
    """A film of pictures [180, 320, 3], at 25 fps."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"crf": "18"})
        stream.width, stream.height, stream.pix_fmt = 320, 180, "yuv420p"
        for picture in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())


@pytest.mark.parametrize("kind", ["black", pytest.param("noise", marks=SLOW)])
def test_a_film_without_a_picture(kind: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    black = np.zeros((180, 320, 3), np.uint8)
    pictures = [
        black if kind == "black" else rng.integers(0, 256, black.shape, np.uint8) for _ in range(30)
    ]
    encoded(pictures, tmp_path / "film.mp4")
    clips = cut(tmp_path / "film.mp4", tmp_path)
    assert sum(clip.span.frames for clip in clips) == 30
    for clip in clips:
        assert clip.path is not None
        with open_video(tmp_path / clip.path) as written_clip:
            assert sum(1 for _ in written_clip.frames()) == clip.span.frames


def test_a_clip_that_is_refused_names_its_film(tmp_path: Path) -> None:
    film().render(tmp_path / "film.mp4")
    clips = clips_of(SPLITTER, video_of(tmp_path / "film.mp4"), tmp_path)
    with pytest.raises(VerificationError, match=r"'film.mp4', frames 0-\d+: .*lower crf"):
        written(ClipWriter(min_psnr_db=90), clips[:1], tmp_path)
    assert not list((tmp_path / "clips").iterdir())


def joined(parts: Iterable[Path], path: Path, shift: Callable[[int], int]) -> None:
    """One after another in a transport stream; part k begins at tick `shift(k)` of 90,000."""
    path.write_bytes(b"")
    for number, part in enumerate(parts):
        piece = path.with_name(f"{number}.ts")
        options = {"output_ts_offset": str(shift(number) / 90_000)}
        with av.open(str(part)) as source, av.open(str(piece), "w", options=options) as copy:
            stream = copy.add_stream_from_template(source.streams.video[0])
            for packet in source.demux(video=0):
                if packet.dts is not None:
                    packet.stream = stream
                    copy.mux(packet)
        path.write_bytes(path.read_bytes() + piece.read_bytes())


def halves(tmp_path: Path, *, sizes: tuple[tuple[int, int], tuple[int, int]]) -> list[Path]:
    """Two films of 20 frames numbered from 0, the second of another look."""
    paths = [tmp_path / "one.mp4", tmp_path / "two.mp4"]
    for seed, (path, size) in enumerate(zip(paths, sizes, strict=True)):
        film(20, size=size, fps=Fraction(25), seed=seed).render(path)
    return paths


def test_a_clock_that_jumps_back(tmp_path: Path) -> None:
    parts = halves(tmp_path, sizes=((320, 180), (320, 180)))
    joined(parts, tmp_path / "film.ts", shift=lambda k: 900_000 - 450_000 * k)
    clips = cut(tmp_path / "film.ts", tmp_path)
    assert 20 in {clip.span.start_frame for clip in clips}
    seen = [n for clip in clips for n in shown(tmp_path / clip.path)[0]]  # type: ignore[operator]
    assert seen == [*range(20), *range(20)]


def test_a_stream_that_changes_its_size(tmp_path: Path) -> None:
    parts = halves(tmp_path, sizes=((320, 180), (640, 360)))
    joined(parts, tmp_path / "film.ts", shift=lambda k: 72_000 * k)
    clips = cut(tmp_path / "film.ts", tmp_path)
    sizes = {(clip.width, clip.height): clip.span.start_frame for clip in reversed(clips)}
    assert sizes == {(320, 180): 0, (640, 360): 20}
    seen = [n for clip in clips for n in shown(tmp_path / clip.path)[0]]  # type: ignore[operator]
    assert seen == [*range(20), *range(20)]
