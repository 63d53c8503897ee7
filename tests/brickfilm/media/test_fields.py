"""Interlaced and telecined videos become progressive frames; progressive ones stay as they are."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from brickfilm.errors import Rejected
from brickfilm.media import open_video
from brickfilm.records import Clip, Listing, Video
from brickfilm.sources.folder import Probe
from brickfilm.stages import ClipWriter, SceneSplitter
from tests.brickworld.barcode import read_barcode
from tests.kit.ask_stage import ask, clips_of, written
from tests.kit.field_film import FieldFilm

SPLITTER = SceneSplitter(min_frames=5, max_frames=20)
KINDS: list[dict[str, Any]] = [
    {"kind": "interlaced"},
    {"kind": "interlaced", "bottom_first": True},
    {"kind": "telecine"},
    {"kind": "telecine", "bottom_first": True},
    {"kind": "interlaced", "codec": "libx264", "flagged": False, "size": (320, 480)},
    {"kind": "telecine", "codec": "libx264", "flagged": False, "size": (320, 480)},
]
PROGRESSIVE: list[dict[str, Any]] = [
    {"kind": "progressive"},
    {"kind": "progressive", "codec": "libx264", "flagged": False, "size": (320, 480)},
]


def words(storage: dict[str, Any]) -> str:
    shape = "bff" if storage.get("bottom_first") else "tff"
    return f"{storage['kind']} {shape} {storage.get('codec', 'mpeg2video')}"


def field_video(folder: Path, storage: dict[str, Any], **settings: Any) -> Any:
    """Write a film and probe it; return the video or its rejection."""
    path = folder / ("film.mkv" if "codec" in storage else "film.mpg")
    FieldFilm(path, **storage).write()
    listing = Listing(source_id=path.name, path=path, title=path.stem)
    (output,) = ask(Probe(**settings), [listing], folder)
    return output


def numbers(path: Path) -> list[int]:
    with av.open(str(path)) as container:
        return [read_barcode(f.to_ndarray()[: f.height]) for f in container.decode(video=0)]


def combed_share(path: Path) -> float:
    """Return the share of pixels that differ from both lines beside theirs to the same side."""
    shares = []
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            luma = frame.to_ndarray()[: frame.height * 4 // 5].astype(int)
            up, down = luma[1:-1] - luma[:-2], luma[1:-1] - luma[2:]
            shares.append(float((up * down > 150).mean()))
    return float(np.mean(shares))


def check_clips(clips: list[Clip], folder: Path, frames: int) -> None:
    """Every clip shows its frames, in order, once and not combed."""
    assert sum(clip.span.frames for clip in clips) == frames
    for clip in clips:
        assert clip.path is not None
        shown = list(range(clip.span.start_frame, clip.span.end_frame))
        assert numbers(folder / clip.path) == shown
        assert combed_share(folder / clip.path) < 0.002


@pytest.mark.parametrize("storage", KINDS, ids=words)
@pytest.mark.slow
def test_fields_become_frames(storage: dict[str, Any], tmp_path: Path) -> None:
    video = field_video(tmp_path, storage)
    done = "deinterlaced" if storage["kind"] == "interlaced" else "inverse telecine"
    suffix = " bff" if storage.get("bottom_first") else ""
    assert video.conversions[0] == f"{done}{suffix}"
    assert combed_share(video.path) > 0.02
    clips, _ = written(ClipWriter(), clips_of(SPLITTER, video, tmp_path), tmp_path)
    check_clips(clips, tmp_path, 60 if done == "deinterlaced" else 48)
    rate = 25 if done == "deinterlaced" else Fraction(24000, 1001)
    assert float(clips[0].fps) == pytest.approx(float(rate), rel=1e-3)


@pytest.mark.slow
def test_clips_do_not_depend_on_what_was_cut_before(tmp_path: Path) -> None:
    for storage in KINDS[0], KINDS[2]:
        video = field_video(tmp_path, storage)
        clips = clips_of(SPLITTER, video, tmp_path)
        together, _ = written(ClipWriter(), clips, tmp_path)
        (alone,), _ = written(ClipWriter(), clips[-1:], tmp_path)
        assert alone.sha256 == together[-1].sha256


@pytest.mark.parametrize("storage", PROGRESSIVE, ids=words)
def test_flags_alone_prove_nothing(storage: dict[str, Any], tmp_path: Path) -> None:
    """Progressive frames are kept as they are, marked interlaced or not."""
    video = field_video(tmp_path, storage)
    assert isinstance(video, Video)
    assert video.conversions == ()


def test_modes_keep_fields_or_leave_the_video_out(tmp_path: Path) -> None:
    kept = field_video(tmp_path, KINDS[2], deinterlace="off")
    assert kept.conversions == ()
    rejection = field_video(tmp_path, KINDS[2], deinterlace="reject")
    assert isinstance(rejection, Rejected)
    assert rejection.reason == "telecine"


def test_a_conversion_of_fields_changes_keys(tmp_path: Path) -> None:
    video = field_video(tmp_path, KINDS[0])
    plain = replace(video, conversions=())
    for part in SPLITTER.parts():
        assert part.key(video) == f"{part.key(plain)}:deinterlaced"


def test_frames_keep_their_times(tmp_path: Path) -> None:
    video = field_video(tmp_path, KINDS[0])
    with open_video(video.path) as reader:
        stored = [frame.pts for frame in reader.frames()]
    with open_video(video.path, conversions=video.conversions) as reader:
        assert [frame.pts for frame in reader.frames()] == stored


def test_a_turned_film_of_many_details_passes_verification(tmp_path: Path) -> None:
    storage = {"kind": "progressive", "codec": "libx264", "flagged": False, "size": (432, 240)}
    path = FieldFilm(tmp_path / "film.mp4", **storage, turned=90).write()  # type: ignore[arg-type]
    listing = Listing(source_id=path.name, path=path)
    (video,) = ask(Probe(), [listing], tmp_path)
    clips, _ = written(ClipWriter(), clips_of(SceneSplitter(), video, tmp_path), tmp_path)
    assert [(clip.width, clip.height) for clip in clips] == [(240, 432)]
