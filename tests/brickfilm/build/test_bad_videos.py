"""One bad video fails by itself, whatever it raises, and nothing else is opened through it."""

from __future__ import annotations

import os
import shutil
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from brickfilm.build.build_dataset import BuildResult
from brickfilm.engine.ledger import ItemResult
from brickfilm.media import decode_stats, encode, packet_decoder
from brickfilm.sources import FolderSource
from brickfilm.stages import ClipWriter, SceneSplitter, SidecarCaptioner
from tests.kit.ask_stage import clips_of, video_of, written
from tests.kit.footage import remux
from tests.kit.small_build import inline_build, two_shots

SUBTITLES = "WEBVTT\n\n00:00.000 --> 01:00.000\nA minifigure walks down a street of bricks.\n"


def of_video(result: BuildResult, name: str) -> list[ItemResult]:
    return [r for r in result.item_results if r.source_id == name]


def unknown_codec(good: Path, path: Path) -> None:
    data = remux(good, path.with_suffix(".mkv")).read_bytes()
    path.with_suffix(".mkv").unlink()
    path.write_bytes(data.replace(b"V_MPEG4/ISO/AVC", b"V_MPEG4/ISO/XYZ"))


def too_large(good: Path, path: Path) -> None:
    path.write_bytes(b"YUV4MPEG2 W16000 H16000 F24:1 C420jpeg\nFRAME\n" + bytes(1000))


def every_packet_broken(good: Path, path: Path) -> None:
    remux(good, path)
    data = bytearray(path.read_bytes())
    start = data.index(b"mdat") + 4
    end = start - 8 + struct.unpack(">I", data[start - 8 : start - 4])[0]
    data[start:end] = b"\x00" * (end - start)
    path.write_bytes(data)


def playlist(good: Path, path: Path) -> None:
    path.write_text(f"ffconcat version 1.0\nfile {good}\n")


def hls(good: Path, path: Path) -> None:
    path.write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\n{good}\n#EXT-X-ENDLIST\n")


def session_description(good: Path, path: Path) -> None:
    path.write_text("v=0\no=- 0 0 IN IP4 127.0.0.1\nc=IN IP4 127.0.0.1\nm=video 5004 RTP/AVP 96\n")


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return two_shots(tmp_path_factory.mktemp("good") / "good.mp4", size=(160, 90))


BAD = [unknown_codec, too_large, every_packet_broken, playlist, hls, session_description]


def test_bad_videos_fail_by_themselves(good: Path, tmp_path: Path) -> None:
    films = tmp_path / "films"
    films.mkdir()
    shutil.copy(good, films / "good.mp4")
    for make in BAD:
        make(good, films / f"{make.__name__}.mp4")
    stages = (SceneSplitter(), ClipWriter())
    result = inline_build(FolderSource(films), *stages, workdir=tmp_path / "w")
    assert len(result.dataset["clips"]["train"]) == 2
    assert result.exit_code == 1
    for make in BAD:
        (bad,) = of_video(result, f"{make.__name__}.mp4")
        expected = (
            ("rejected", "too many pixels") if make is too_large else ("failed", "unreadable")
        )
        assert (bad.status, bad.reason) == expected, bad
        assert make.__name__ in bad.message


def test_bytes_of_a_cell_open_no_second_file(good: Path, tmp_path: Path) -> None:
    playlist(good, tmp_path / "list")
    with pytest.raises(Exception, match="cannot be decoded"):
        decode_stats((tmp_path / "list").read_bytes())


def test_a_name_that_is_not_unicode_beside_a_caption_file(good: Path, tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9")
    shutil.copy(good, tmp_path / f"{name}.mp4")
    (tmp_path / f"{name}.vtt").write_text(SUBTITLES)
    shutil.copy(good, tmp_path / "other\udce9.mp4")
    (tmp_path / "other\udce9.vtt").write_bytes(b"\xff")
    stages = (SceneSplitter(), SidecarCaptioner())
    result = inline_build(FolderSource(tmp_path), *stages, workdir=tmp_path / "w")
    assert len(result.dataset["clips"]["train"]) == 2
    assert {r.source_id for r in result.item_results} == {r"caf\xe9.mp4", r"other\xe9.mp4"}


def breaks(error: Exception) -> Callable[..., None]:
    def broken(*args: object, **kwargs: object) -> None:
        raise error

    return broken


@pytest.mark.parametrize(
    "error", [ValueError("odd"), MemoryError(), RuntimeError("x264")], ids=repr
)
def test_an_encoder_that_raises_anything_fails_the_clip(
    error: Exception, good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clips = clips_of(SceneSplitter(), video_of(good), tmp_path)
    monkeypatch.setattr(encode.EncoderSettings, "options", breaks(error))
    with pytest.raises(encode.MediaError, match="cannot be encoded"):
        written(ClipWriter(), clips[:1], tmp_path)
    assert not list((tmp_path / "clips").iterdir())


def test_a_video_that_cannot_be_sought_is_decoded_from_its_start(
    good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clips = clips_of(SceneSplitter(min_frames=5), video_of(good), tmp_path)
    monkeypatch.setattr(
        packet_decoder.PacketDecoder, "seek", breaks(packet_decoder.MediaError("no seek"))
    )
    assert [c.span for c in written(ClipWriter(), clips, tmp_path)[0]] == [c.span for c in clips]
