"""High dynamic range is left out, or becomes what FFmpeg's zscale and tonemap=hable make of it."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path
from shutil import which
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from brickfilm.errors import UsageError
from brickfilm.media import open_video, reduced_frames
from brickfilm.records import Listing, Video
from brickfilm.sources.folder import Probe
from brickfilm.stages import ClipWriter, FrameSampler, SceneSplitter
from tests.kit.ask_stage import ask, clips_of, written
from tests.kit.patches import Patches, patch_error, rgb_by_tags

PQ, HLG = 16, 18
CODES: dict[int, tuple[tuple[float, float, float], ...]] = {
    PQ: (
        *((76, 76, 76), (130, 130, 130), (148, 148, 148), (192, 192, 192)),
        *((140, 70, 70), (90, 142, 90), (80, 80, 135), (212, 150, 60)),
    ),
    HLG: (
        *((30, 30, 30), (100, 100, 100), (191, 191, 191), (240, 240, 240)),
        *((190, 70, 70), (110, 190, 110), (90, 90, 180), (245, 190, 60)),
    ),
}
"""Patches as stored, in 255ths: greys of 1 to 600 nits, then saturated colours."""
MAPPED = {
    PQ: (
        *((49, 49, 49), (125, 125, 125), (157, 157, 157), (233, 233, 233)),
        *((167, 0, 33), (0, 151, 33), (32, 48, 138), (255, 137, 134)),
    ),
    HLG: (
        *((23, 23, 23), (76, 76, 76), (157, 157, 157), (217, 217, 217)),
        *((180, 0, 39), (0, 160, 59), (49, 62, 148), (238, 94, 0)),
    ),
}
"""The same in RGB as FFmpeg 5.1 maps them, by `REFERENCE`."""
REFERENCE = (
    "zscale=t=linear:npl=203,format=gbrpf32le,zscale=p=bt709,tonemap=tonemap=hable,"
    "zscale=t=bt709:m=bt709:r=tv,format=yuv420p,"
    "scale=in_color_matrix=bt709:flags=accurate_rnd+full_chroma_int,format=rgb24"
)
MAX_ERROR = 8
"""Levels of 255: 4:2:0 and 8 bits are between."""


def hdr_film(path: Path, transfer: int, **storage: Any) -> Path:
    film = Patches(path, matrix=9, primaries=9, transfer=transfer, colors=CODES[transfer])
    film = replace(film, pix_fmt="yuv420p10le", codec="libx265", **storage)
    return film.write()


def probed(path: Path, **settings: Any) -> Any:
    listing = Listing(source_id=path.name, path=path, title=path.stem)
    (output,) = ask(Probe(**settings), [listing], path.parent)
    return output


@pytest.mark.parametrize(("transfer", "name"), [(PQ, "PQ"), (HLG, "HLG")])
def test_high_dynamic_range_is_left_out(transfer: int, name: str, tmp_path: Path) -> None:
    rejection = probed(hdr_film(tmp_path / "film.mp4", transfer, frames=2))
    assert rejection.reason == "high dynamic range"
    assert rejection.record.source_id == "film.mp4"
    assert str(rejection).startswith(f"'film' is in high dynamic range ({name}): keep it with")


@pytest.mark.parametrize(("transfer", "name"), [(PQ, "PQ"), (HLG, "HLG")])
def test_clips_and_stills_are_tone_mapped(transfer: int, name: str, tmp_path: Path) -> None:
    video = probed(hdr_film(tmp_path / "film.mp4", transfer), hdr="tonemap")
    assert video.conversions == (f"{name} to SDR", "yuv420p10le to yuv420p")
    clips = clips_of(SceneSplitter(), video, tmp_path)
    (clip,), _ = written(ClipWriter(), clips, tmp_path)
    _, (image,) = written(FrameSampler(), clips, tmp_path)
    assert clip.path is not None
    with av.open(str(tmp_path / clip.path)) as container:
        frame = list(container.decode(video=0))[2]
    assert (frame.colorspace, frame.color_primaries, frame.color_trc, frame.color_range) == (1,) * 4
    assert patch_error(rgb_by_tags(frame), MAPPED[transfer]) <= MAX_ERROR
    still = np.asarray(Image.open(tmp_path / image.path))
    assert patch_error(still, MAPPED[transfer]) <= MAX_ERROR


def test_a_turned_phone_film_is_mapped_and_scanned_upright(tmp_path: Path) -> None:
    path = hdr_film(tmp_path / "film.mp4", HLG, turned=90, frames=2)
    with open_video(path) as reader:
        shown = next(reader.frames()).display_frame
    assert (shown.width, shown.height) == (180, 320)
    upright = np.rot90(shown.to_ndarray(format="rgb24"), -1)
    errors = patch_error(upright, MAPPED[HLG]), patch_error(upright[::-1, ::-1], MAPPED[HLG])
    assert min(errors) <= MAX_ERROR
    with open_video(path) as reader:
        reduced = next(reduced_frames(reader))
    assert np.abs(reduced.luma.astype(int) - shown.to_ndarray()[:320]).mean() < 4


def test_a_conversion_changes_the_keys_of_pictures_and_their_names(tmp_path: Path) -> None:
    video: Video = probed(hdr_film(tmp_path / "film.mp4", PQ), hdr="tonemap")
    plain = replace(video, conversions=())
    splitter = SceneSplitter()
    assert {part.key(plain) for part in splitter.parts()} == {video.id}
    assert {part.key(video) for part in splitter.parts()} == {f"{video.id}:PQ to SDR"}
    (clip,) = clips_of(splitter, video, tmp_path)
    as_before = replace(clip, video=plain)
    for sink in (ClipWriter(), FrameSampler()):
        assert sink.key(clip).startswith(f"{clip.id}:PQ to SDR")
        assert sink.key(as_before) != sink.key(clip)
    paths = [written(ClipWriter(), [c], tmp_path)[0][0].path for c in (clip, as_before)]
    assert paths[0] != paths[1]


def test_an_unknown_mode_is_a_wrong_call() -> None:
    with pytest.raises(UsageError, match=r"hdr='hable' must be 'reject' or 'tonemap'"):
        Probe(hdr="hable")  # type: ignore[arg-type]


@pytest.mark.slow
@pytest.mark.parametrize("transfer", [PQ, HLG])
def test_ffmpeg_maps_to_the_same_pictures(transfer: int, tmp_path: Path) -> None:
    path = hdr_film(tmp_path / "film.mp4", transfer, frames=2)
    command = ["ffmpeg", "-v", "error", "-i", path, "-vf", REFERENCE, "-frames:v", "1"]
    if which("ffmpeg") is None:
        pytest.skip("no system ffmpeg on this machine: apt install ffmpeg")
    done = subprocess.run([*command, "-f", "rawvideo", "-"], capture_output=True, check=False)
    if b"zscale" in done.stderr:
        pytest.skip("this machine's ffmpeg has no zscale")
    reference = np.frombuffer(done.stdout, np.uint8).reshape(180, 320, 3).astype(float)
    with open_video(path) as reader:
        mapped = next(reader.frames()).display_frame.to_ndarray(format="rgb24")
    error = np.mean((mapped - reference) ** 2)
    assert 10 * np.log10(255**2 / error) > 30
