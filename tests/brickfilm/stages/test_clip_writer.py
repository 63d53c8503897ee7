"""Clips are copied where that is exact; others are encoded and say why."""

from __future__ import annotations

import base64
import subprocess
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from shutil import which
from typing import Any

import av
import cv2
import numpy as np
import pytest

from brickfilm.dataset.rows import clip_row
from brickfilm.engine.sinks import FusedSinks
from brickfilm.errors import UsageError
from brickfilm.media import NotCopyableError, StreamCopy, stream_copy
from brickfilm.media.color import BT709
from brickfilm.media.verify import psnr
from brickfilm.records import Clip
from brickfilm.stages import ClipWriter, FrameSampler, clip_writer
from tests.kit.ask_stage import video_of, written
from tests.kit.browser import open_page
from tests.kit.numbered_clips import NumberedClip, encode_numbered, number_of
from tests.kit.packet_groups import FPS, GROUPS, drawn, lumas, span_of

START, END = 17, 80
NO_GROUP = "encoded: no closed group of pictures begins in it"
COPIED = {
    "short groups": range(7, 63),
    "strict pyramid": range(23, 63),
    "no B-frames": range(13, 63),
    "intra only": range(63),
    "strobes": range(1, 56),
}
"""Positions of the frames that can be copied; in other groups there are none."""


def clip_of(path: Path, start: int = START, end: int = END) -> Clip:
    video = replace(video_of(path), path=path)
    return Clip(video=video, span=span_of(lumas(path)[0], start, end))


def copied(path: Path, **settings: Any) -> Clip:
    """Write one clip, copied where possible."""
    (clip,), _ = written(ClipWriter(mode="copy", **settings), [clip_of(path)], path.parent)
    return clip


@pytest.mark.parametrize("name", GROUPS)
def test_copied_frames_are_the_same_and_others_near(name: str, tmp_path: Path) -> None:
    source = drawn(tmp_path / "a.mp4", GROUPS[name])
    clip = copied(source)
    assert clip.encoding == ("copied" if name in COPIED else NO_GROUP)
    assert clip.path
    times, shown = lumas(tmp_path / clip.path)
    steps = np.diff(times)
    assert len(times) == END - START
    assert len(set(steps.tolist())) == 1
    least = 40 if name in COPIED else 30
    for n, (luma, expected) in enumerate(zip(shown, lumas(source)[1][START:END], strict=True)):
        if n in COPIED.get(name, ()):
            np.testing.assert_array_equal(luma, expected)
        else:
            assert psnr(luma, expected) > least


def test_stills_and_sound_come_along_from_one_decode(tmp_path: Path) -> None:
    tone = NumberedClip(90, fps=Fraction(FPS), has_tone=True)
    source = encode_numbered(tmp_path / "a.mp4", tone, g="20")
    sinks = FusedSinks((ClipWriter(mode="copy", sound=True), FrameSampler()))
    (clip,), (image,) = written(sinks, [clip_of(source)], tmp_path)
    assert (clip.encoding, clip_row(clip)["encoding"], len(clip.stills)) == ("copied", "copied", 3)
    assert (tmp_path / image.path).exists()
    assert clip.path
    with av.open(str(tmp_path / clip.path)) as container:
        assert container.streams.audio[0].codec_context.name == "aac"
        assert container.streams.video[0].codec_context.name == "h264"


@pytest.mark.parametrize(
    ("options", "settings", "reason"),
    [
        ({"pix_fmt": "yuv444p"}, {}, "converted pictures"),
        ({"pix_fmt": "yuvj420p"}, {}, "converted pictures"),
        ({}, {"max_height": 32}, "scaled pictures"),
        ({"codec": "mpeg4"}, {}, "not H.264 in mp4, mov or mkv"),
        ({"name": "a.ts"}, {}, "not H.264 in mp4, mov or mkv"),
        ({"turned": True}, {}, "converted pictures"),
    ],
)
def test_pictures_that_are_to_change_are_encoded(
    options: dict[str, Any], settings: dict[str, Any], reason: str, tmp_path: Path
) -> None:
    name, turned = options.pop("name", "a.mp4"), options.pop("turned", False)
    source = drawn(tmp_path / name, GROUPS["short groups"], **options)
    if turned:
        content = source.read_bytes()
        at = content.index(b"tkhd") + 44
        half_turn = b"".join(n.to_bytes(4, signed=True) for n in (-65536, 0, 0, 0, -65536, 0))
        source.write_bytes(content[:at] + half_turn + content[at + 24 :])
    clip = copied(source, **settings)
    assert clip.encoding == f"encoded: {reason}"
    assert clip.path
    assert len(lumas(tmp_path / clip.path)[0]) == END - START


def test_a_copy_that_is_not_exact_is_encoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = drawn(tmp_path / "a.mp4", GROUPS["short groups"])
    monkeypatch.setattr(stream_copy, "free_parameter_set_id", lambda units: 0)  # the source's own
    clip = copied(source)
    assert clip.encoding == "encoded: its copy is not exact"
    assert clip.path
    assert len(lumas(tmp_path / clip.path)[0]) == END - START
    assert [p.name for p in (tmp_path / "clips").iterdir()] == [clip.path.name]


def test_many_frames_to_encode_are_not_held_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = drawn(tmp_path / "a.mp4", GROUPS["short groups"])
    held = copied(source)
    monkeypatch.setattr(clip_writer, "MAX_HELD_BYTES", 0)
    assert copied(source).sha256 == held.sha256


def test_a_byte_that_changed_while_it_was_copied_is_found(tmp_path: Path) -> None:
    source, target = drawn(tmp_path / "a.mp4", {"g": "12"}), tmp_path / "b.mp4"
    copy = StreamCopy(source, span_of(lumas(source)[0], 24, 60))
    try:
        copy.join(target, {}, BT709)
        copy.check_packets(target)
        content = bytearray(target.read_bytes())
        content[-20] ^= 1
        target.write_bytes(content)
        with pytest.raises(NotCopyableError, match="packets that changed"):
            copy.check_packets(target)
    finally:
        copy.close()


def test_copied_frames_name_their_colours(tmp_path: Path) -> None:
    source = drawn(tmp_path / "a.mp4", GROUPS["short groups"])
    by_mode = {}
    for mode in ("copy", "encode"):
        (clip,), _ = written(ClipWriter(mode=mode), [clip_of(source, 0, 40)], tmp_path)  # type: ignore[arg-type]
        assert clip.path
        with av.open(str(tmp_path / clip.path)) as container:
            frame = next(container.decode(video=0))
        by_mode[mode] = (frame.colorspace, frame.color_range, frame.color_primaries)
    assert by_mode["copy"] == by_mode["encode"]
    assert int(by_mode["copy"][0]) == 6


def test_an_unknown_mode_is_an_error() -> None:
    with pytest.raises(UsageError, match="mode='remux'"):
        ClipWriter(mode="remux")  # type: ignore[arg-type]


SHOW = """async ([address, frames, fps, places]) => {
  const video = document.createElement("video");
  video.muted = true;
  await new Promise((done, failed) => {
    video.onloadeddata = done;
    video.onerror = () => failed(new Error(video.error.message));
    video.src = address;
  });
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [video.videoWidth, video.videoHeight];
  const context = canvas.getContext("2d", {willReadFrequently: true});
  const number = () => {
    context.drawImage(video, 0, 0);
    const y = canvas.height / 2;
    return places.reduce((sum, x, bit) =>
      sum + (context.getImageData(x, y, 1, 1).data[0] > 110 ? 1 << bit : 0), 0);
  };
  const shown = [];
  for (let n = 0; n < frames; n++) {
    const moved = new Promise((done) => video.requestVideoFrameCallback(done));
    video.currentTime = (n + 0.5) / fps;
    await Promise.race([moved, new Promise((done) => setTimeout(done, 3000))]);
    shown.push(number());
  }
  return shown;
}"""
"""Return the number that each frame of a video shows, reached by seeking."""


@pytest.mark.slow
def test_four_players_show_the_right_frames(tmp_path: Path) -> None:
    drawing = NumberedClip(90, fps=Fraction(FPS))
    source = encode_numbered(tmp_path / "a.mp4", drawing, g="30", preset="medium")
    clip = copied(source)
    assert (clip.encoding, clip.path is None) == ("copied", False)
    path = tmp_path / str(clip.path)
    expected = list(range(START, END))
    with av.open(str(path)) as container:
        frames = [frame.to_ndarray(format="gray") for frame in container.decode(video=0)]
    assert [number_of(frame) for frame in frames] == expected
    capture = cv2.VideoCapture(str(path))
    read = iter(capture.read, (False, None))
    assert [number_of(cv2.cvtColor(p, cv2.COLOR_BGR2GRAY)) for _, p in read] == expected
    if which("ffmpeg"):
        command = ["ffmpeg", "-v", "error", "-i", str(path), "-f", "rawvideo", "-pix_fmt", "gray"]
        done = subprocess.run([*command, "-"], capture_output=True, check=True)
        raw = np.frombuffer(done.stdout, np.uint8).reshape(-1, drawing.height, drawing.width)
        assert ([number_of(frame) for frame in raw], done.stderr) == (expected, b"")
    places = [int((bit + 0.5) * drawing.width / 10) for bit in range(10)]
    address = f"data:video/mp4;base64,{base64.b64encode(path.read_bytes()).decode()}"
    with open_page("about:blank") as (page, _):
        assert page.evaluate(SHOW, [address, END - START, FPS, places]) == expected
