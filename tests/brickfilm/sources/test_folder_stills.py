"""Numbered stills as videos, other formats of frames, and what a folder source passes over."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from brickfilm.build.build_dataset import build
from brickfilm.cli.status import status_tables
from brickfilm.errors import Failed, MediaError, Rejected, UsageError
from brickfilm.media import open_video
from brickfilm.records import Clip, Listing, Video
from brickfilm.sources import FolderSource
from brickfilm.sources.folder import Probe
from brickfilm.stages import ClipWriter, FrameSampler, SceneSplitter
from tests.brickworld import read_barcode
from tests.brickworld.barcode import draw_barcode
from tests.kit.ask_stage import ask, clips_of, rejected_of, written

FRAMES = 20
SPLITTER = SceneSplitter(min_frames=3)


def picture(number: int) -> NDArray[np.uint8]:
    """Return a texture that drifts, with its number, [180, 320, 3]."""
    noise = np.random.default_rng(2).integers(0, 256, (9, 16, 3), np.uint8)
    drifted = np.ascontiguousarray(np.roll(cv2.resize(noise, (320, 180)), 2 * number, axis=1))
    draw_barcode(drifted, number)
    return drifted


def stills(folder: Path, pattern: str = "shot{}.jpg", numbers: range = range(1, 21)) -> Path:
    folder.mkdir(exist_ok=True)
    for number in numbers:
        Image.fromarray(picture(number)).save(folder / pattern.format(number), quality=95)
    return folder


def listed(folder: Path, **options: object) -> list[Listing]:
    source = FolderSource(folder, fps=24, **options)  # type: ignore[arg-type]
    return [item for item in source.items() if isinstance(item, Listing)]


def video_in(folder: Path) -> Video:
    (video,) = ask(Probe(), listed(folder), folder)
    assert isinstance(video, Video)
    return video


def barcodes(path: Path) -> list[int]:
    with open_video(path) as reader:
        images = [frame.image().resize((320, 180)) for frame in reader.frames()]
    return [read_barcode(np.asarray(image)) for image in images]


def numbers_in(clips: list[Clip], work: Path) -> list[list[int]]:
    clips = written(ClipWriter(verify="full"), clips, work)[0]
    return [barcodes(work / clip.path) for clip in clips if clip.path]


@pytest.mark.parametrize("pattern", ["shot{}.jpg", "{}.PNG", "a%d_{:04d}_final.tif"])
def test_stills_become_one_video_in_the_order_of_their_numbers(
    pattern: str, tmp_path: Path
) -> None:
    folder = stills(tmp_path / "Scene 1", pattern)
    (listing,) = listed(tmp_path)
    assert (listing.source_id, listing.title) == ("Scene 1", "Scene 1")
    video = video_in(folder)
    assert (video.fps, video.time_base, video.width, video.height) == (
        24,
        Fraction(1, 24),
        320,
        180,
    )
    (clip,) = clips_of(SPLITTER, video, tmp_path)
    assert (clip.span.frames, clip.fps, clip.start) == (FRAMES, 24, 0)
    assert numbers_in([clip], tmp_path) == [list(range(1, 21))]


def test_two_sequences_of_a_folder_are_two_videos(tmp_path: Path) -> None:
    stills(tmp_path, "a{}.jpg")
    stills(tmp_path, "b{}.jpg", range(1001, 1011))
    assert [listing.source_id for listing in listed(tmp_path)] == ["a%d.jpg", "b%d.jpg"]
    assert [v.first_number for v in ask(Probe(), listed(tmp_path), tmp_path)] == [1, 1001]


def test_a_gap_in_the_numbers_is_a_break_and_is_named(tmp_path: Path) -> None:
    folder = stills(tmp_path / "scene", numbers=range(1001, 1041))
    (folder / "shot1020.jpg").unlink()
    video = video_in(folder)
    first, second = clips_of(SPLITTER, video, tmp_path)
    assert numbers_in([first, second], tmp_path) == [[*range(1001, 1020)], [*range(1021, 1041)]]
    (gap,) = rejected_of(SPLITTER, video, tmp_path)
    assert "stills 1020 to 1020 of 'shot%d.jpg' are missing" in str(gap)
    assert gap.record.end - gap.record.start == pytest.approx(1 / 24)
    assert first.video.duration == pytest.approx(40 / 24)


def test_numbers_that_are_no_frame_numbers_fail_the_sequence(tmp_path: Path) -> None:
    for number in range(1, 60, 7):
        Image.fromarray(picture(number)).save(tmp_path / f"{number}.jpg")
    with pytest.raises(MediaError, match=r"lacks 48 numbers among 9 stills \(first 2 to 7\)"):
        video_in(tmp_path)


def test_mixed_sizes_and_one_number_twice_are_named(tmp_path: Path) -> None:
    folder = stills(tmp_path / "scene")
    Image.fromarray(picture(9)[:100]).save(folder / "shot9.jpg")
    with pytest.raises(MediaError, match=r"'shot1.jpg' is 320 x 180, 'shot9.jpg' is 320 x 100"):
        video_in(folder)
    Image.fromarray(picture(9)).save(folder / "shot09.jpg")
    with pytest.raises(MediaError, match=r"'shot09.jpg' and 'shot9.jpg' have the same number"):
        video_in(folder)


def test_sixteen_bits_are_rounded_and_grey_becomes_rgb(tmp_path: Path) -> None:
    from brickfilm.media.still_pixels import read_rgb

    values = np.array([[0, 128, 129, 65406, 65407, 65535]], np.uint16)
    for suffix in ("png", "tif"):
        cv2.imwrite(str(tmp_path / f"grey.{suffix}"), values)
        cv2.imwrite(str(tmp_path / f"color.{suffix}"), np.dstack([values, values // 2, values]))
        assert read_rgb(tmp_path / f"grey.{suffix}")[0, :, 0].tolist() == [0, 0, 1, 254, 255, 255]
        color = read_rgb(tmp_path / f"color.{suffix}")[0]
        assert color[:, 2].tolist() == color[:, 0].tolist() == [0, 0, 1, 254, 255, 255]
        assert color[:, 1].tolist() == [0, 0, 0, 127, 127, 127]


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif"])
@pytest.mark.parametrize("orientation", [3, 5, 6, 8])
def test_exif_orientation_is_honoured(orientation: int, suffix: str, tmp_path: Path) -> None:
    from brickfilm.media.still_pixels import display_size, read_rgb

    exif = Image.Exif()
    exif[0x0112] = orientation
    upright = picture(5)
    undo = {3: lambda a: a[::-1, ::-1], 5: lambda a: a.swapaxes(0, 1)}
    undo |= {6: np.rot90, 8: lambda a: np.rot90(a, 3)}
    stored = np.ascontiguousarray(undo[orientation](upright))
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(stored).save(path, exif=exif, **({"quality": 95} if suffix == "jpg" else {}))
    assert display_size(path) == (320, 180)
    assert read_barcode(read_rgb(path)) == 5


def test_without_a_rate_the_error_names_the_option(tmp_path: Path) -> None:
    stills(tmp_path / "scene", numbers=range(1, 6))
    with pytest.raises(UsageError, match="--fps 24"):
        list(FolderSource(tmp_path).items())
    (tmp_path / "film.mp4").touch()
    film, scene = FolderSource(tmp_path).items()
    assert isinstance(film, Listing)
    assert isinstance(scene, Failed)
    assert "'scene' is an image sequence" in str(scene)
    with pytest.raises(UsageError, match="fps='fast' is no frame rate"):
        FolderSource(tmp_path, fps="fast")


def test_another_rate_is_another_video(tmp_path: Path) -> None:
    folder = stills(tmp_path / "scene", numbers=range(1, 6))
    (at_12,) = FolderSource(folder, fps=12).items()
    (at_24,) = FolderSource(folder, fps="24000/1001").items()
    one, other = ask(Probe(), [at_12, at_24], tmp_path)
    assert one.id != other.id
    assert other.time_base == Fraction(1001, 24000)
    assert Probe().key(at_12) != Probe().key(at_24)


def encoded(path: Path, codec: str, pix_fmt: str) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = 320, 180, pix_fmt
        if codec == "dvvideo":
            stream.width, stream.height = 720, 576
        for number in range(FRAMES):
            frame = av.VideoFrame.from_ndarray(picture(number), format="rgb24")
            container.mux(stream.encode(frame.reformat(stream.width, stream.height, pix_fmt)))
        container.mux(stream.encode())
    return path


FORMATS = [
    ("a.gif", "gif", "rgb8"),
    ("a.apng", "apng", "rgb24"),
    ("a.y4m", "wrapped_avframe", "yuv420p"),
    ("a.m2v", "mpeg2video", "yuv420p"),
    ("a.mjpeg", "mjpeg", "yuvj420p"),
    ("a.dv", "dvvideo", "yuv420p"),
    ("a.f4v", "libx264", "yuv420p"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "codec", "pix_fmt"), FORMATS, ids=[f[0] for f in FORMATS])
def test_formats_without_an_index_are_read_whole(
    name: str, codec: str, pix_fmt: str, tmp_path: Path
) -> None:
    encoded(tmp_path / name, codec, pix_fmt)
    video = video_in(tmp_path)
    clips = clips_of(SceneSplitter(min_frames=3, max_frames=8), video, tmp_path)
    assert [clip.span.frames for clip in clips] == [6, 7, 7]
    assert numbers_in(clips[::-1], tmp_path) == [
        list(range(13, 20)),
        list(range(6, 13)),
        list(range(6)),
    ]
    assert {float(clip.fps) for clip in clips} == {25.0}


@pytest.mark.slow
def test_what_is_passed_over_is_named_and_counted(tmp_path: Path) -> None:
    films = tmp_path / "films"
    stills(films, numbers=range(1, 21))
    for name in ("notes.txt", "b.TXT", "cover.jpg", "raw.cr2", ".hidden", "README"):
        (films / name).touch()
    result = build(FolderSource(films, fps=24), (SPLITTER, FrameSampler()), workdir=films / "out")
    passed = {r.source_id: r.reason for r in result.item_results if r.status == "rejected"}
    assert passed == {
        "README": "no footage: no suffix",
        "b.TXT": "no footage: .txt",
        "cover.jpg": "a single .jpg",
        "notes.txt": "no footage: .txt",
        "raw.cr2": "no footage: .cr2",
    }
    assert result.exit_code == 0
    report = (films / "out/report.html").read_text()
    assert all(name in report for name in passed)
    table = next(t for t in status_tables(films / "out") if t.title == "passed over")
    assert list(table.columns[0].cells)[2] == "no footage: .txt"
    assert list(table.columns[2].cells)[2] == "b.TXT, notes.txt"
    again = [item for item in FolderSource(films, fps=24).items() if isinstance(item, Rejected)]
    assert len(again) == len(passed), "what the build wrote is not passed over"
