"""Odd videos, each with the reason for what a build does to it: the table of docs/odd-videos.md.

`python -m tests.kit.odd_videos` builds them all and writes the page again.
"""

# ruff: noqa: E501  # a row of the table is a line

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from av.stream import Disposition
from PIL import Image

from brickfilm.build.build_dataset import BuildResult, build
from brickfilm.files import printable
from brickfilm.sources import FolderSource
from brickfilm.stages import FrameSampler, SceneSplitter
from tests.kit import ROOT
from tests.kit.field_film import FieldFilm
from tests.kit.patches import Patches

PAGE = ROOT / "docs/odd-videos.md"
BEGIN, END = "<!-- table -->", "<!-- end of table -->"
FRAMES = 20


@dataclass(frozen=True)
class Film:
    """A film of a bright block that moves over a grey wedge."""

    codec: str = "libx264"
    pix_fmt: str = "yuv420p"
    size: tuple[int, int] = (160, 96)
    rate: int = 24
    frames: int = FRAMES
    options: Mapping[str, str] = field(default_factory=dict)
    container: Mapping[str, str] = field(default_factory=dict)
    pts: Callable[[int], int] = lambda n: n
    """Ticks of the frame rate, by frame."""
    streams: int = 1
    sound: bool = False

    def write(self, path: Path) -> None:
        with av.open(str(path), "w", options=dict(self.container)) as container:
            streams = [self._stream(container) for _ in range(self.streams)]
            sound = container.add_stream("aac", rate=48_000, layout="mono") if self.sound else None
            for stream in streams:
                for n in range(self.frames):
                    container.mux(stream.encode(self.frame(n)))
                container.mux(stream.encode())
            if sound is not None:
                silence = av.AudioFrame.from_ndarray(
                    np.zeros((1, 1024), np.float32), "fltp", "mono"
                )
                silence.sample_rate = 48_000
                container.mux([*sound.encode(silence), *sound.encode()])

    def _stream(self, container: Any) -> Any:
        stream = container.add_stream(self.codec, rate=self.rate, options=dict(self.options))
        stream.width, stream.height = self.size
        stream.pix_fmt = self.pix_fmt
        stream.bit_rate = 2_000_000
        stream.codec_context.time_base = Fraction(1, self.rate)
        return stream

    def frame(self, n: int) -> Any:
        width, height = self.size
        picture = np.zeros((height, width, 3), np.uint8)
        picture[:] = np.linspace(40, 200, width).astype(np.uint8)[:, None]
        left = 3 * n % (width - 30)
        picture[height // 3 : 2 * height // 3, left : left + 30] = (220, 60, 40)
        frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format=self.pix_fmt)
        frame.pts, frame.time_base = self.pts(n), Fraction(1, self.rate)
        return frame


@dataclass(frozen=True)
class OddVideo:
    """One row: a file, what it is, and why the build does what it does."""

    name: str
    what: str
    why: str
    make: Callable[[Path], object]


def film(**settings: Any) -> Callable[[Path], None]:
    return lambda path: Film(**settings).write(path)


def joined(*offsets: float) -> Callable[[Path], None]:
    """Return a maker of transport streams one after the other, each with its clock's offset."""

    def make(path: Path) -> None:
        content = b""
        for offset in offsets:
            with tempfile.TemporaryDirectory() as folder:
                piece = Path(folder, "piece.ts")
                Film(container={"output_ts_offset": str(offset)}).write(piece)
                content += piece.read_bytes()
        path.write_bytes(content)

    return make


def changed(change: Callable[[bytes], bytes], **settings: Any) -> Callable[[Path], None]:
    """Return a maker of a film whose bytes are then changed."""

    def make(path: Path) -> None:
        Film(**settings).write(path)
        path.write_bytes(change(path.read_bytes()))

    return make


def _sound_only(path: Path) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=48_000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        frame.sample_rate = 48_000
        container.mux([*stream.encode(frame), *stream.encode()])


def _hidden_start(path: Path) -> None:
    """Write a film whose first five frames lie before time 0, as a cut without encoding does."""
    with tempfile.TemporaryDirectory() as folder:
        whole = Path(folder, "whole.mp4")
        Film(frames=25).write(whole)
        options = {"avoid_negative_ts": "disabled"}
        with av.open(str(whole)) as source, av.open(str(path), "w", options=options) as copy:
            stream = copy.add_stream_from_template(source.streams.video[0])
            shift = round(5 / 24 / source.streams.video[0].time_base)
            for packet in source.demux(video=0):
                if packet.dts is not None:
                    packet.pts, packet.dts, packet.stream = (
                        packet.pts - shift,
                        packet.dts - shift,
                        stream,
                    )
                    copy.mux(packet)


def _with_cover(path: Path) -> None:
    """Write a film with a cover picture and a subtitle."""
    with tempfile.TemporaryDirectory() as folder:
        whole = Path(folder, "whole.mp4")
        Film().write(whole)
        subtitle = Path(folder, "words.srt")
        subtitle.write_text("1\n00:00:00,000 --> 00:00:00,500\na block\n")
        picture = Path(folder, "cover.mkv")
        Film(codec="mjpeg", pix_fmt="yuvj420p", frames=1, size=(320, 240)).write(picture)
        with ExitStack() as stack:
            sources = [stack.enter_context(av.open(str(p))) for p in (whole, subtitle, picture)]
            copy = stack.enter_context(av.open(str(path), "w"))
            streams = [copy.add_stream_from_template(source.streams[0]) for source in sources]
            streams[2].disposition = Disposition.attached_pic
            for source, stream in zip(sources, streams, strict=True):
                for packet in source.demux(source.streams[0]):
                    if packet.dts is not None:
                        packet.stream = stream
                        copy.mux(packet)


def _damaged(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes(400) + content[middle + 400 :]


def stills(
    suffix: str = "png", *, numbers: Sequence[int] = range(FRAMES), **settings: Any
) -> Callable[[Path], None]:
    """Return a maker of a folder of numbered stills."""

    def make(folder: Path) -> None:
        folder.mkdir()
        for n in numbers:
            _still(folder / f"shot_{n:04d}.{suffix}", n, **settings)

    return make


def _still(path: Path, n: int, *, bits: int = 8, turned: bool = False, mixed: bool = False) -> None:
    size = (200, 120) if mixed and n == FRAMES - 1 else (160, 96)
    picture = Film(pix_fmt="rgb24", size=size).frame(n).to_ndarray(format="rgb24")
    if bits == 16:
        cv2.imwrite(str(path), picture[..., ::-1].astype(np.uint16) * 257)
        return
    image = Image.fromarray(picture)
    exif = image.getexif()
    exif[0x0112] = 6 if turned else 1
    image.save(path, exif=exif)


def _without_unicode(path: Path) -> None:
    film(frames=22)(path)
    path.with_suffix(".vtt").write_text("WEBVTT\n\n00:00.000 --> 01:00.000\nA block moves.\n")


PLAIN = "kept as it is"
NAME_IN_LATIN_1 = os.fsdecode(b"caf\xe9.mp4")
CODEC = "every codec of FFmpeg; clips are H.264"
FIELDS = "combing is measured: flags alone prove nothing"
TIMES = "times are the stream's own"
ODD_VIDEOS: tuple[OddVideo, ...] = (
    OddVideo("plain.mp4", "H.264, 8 bits, 4:2:0", PLAIN, film()),
    OddVideo("mpeg1.mpg", "MPEG-1", CODEC, film(codec="mpeg1video")),
    OddVideo("mpeg2.mpg", "MPEG-2", CODEC, film(codec="mpeg2video")),
    OddVideo("mpeg4.avi", "MPEG-4 with B-frames in AVI", TIMES, film(codec="mpeg4", options={"bf": "2"})),
    OddVideo("h264.avi", "H.264 with B-frames in AVI", TIMES, film(options={"bf": "2"})),
    OddVideo("wmv.wmv", "Windows Media", CODEC, film(codec="wmv2")),
    OddVideo("mjpeg.avi", "Motion JPEG", CODEC, film(codec="mjpeg", pix_fmt="yuvj420p")),
    OddVideo("vp8.webm", "VP8", CODEC, film(codec="libvpx")),
    OddVideo("vp9.webm", "VP9", CODEC, film(codec="libvpx-vp9")),
    OddVideo("av1.mkv", "AV1", CODEC, film(codec="libsvtav1", options={"preset": "12"})),
    OddVideo("hevc.mp4", "HEVC", CODEC, film(codec="libx265", options={"x265-params": "log-level=none"})),
    OddVideo("prores.mov", "ProRes: 10 bits, 4:2:2", "converted in its own matrix", film(codec="prores_ks", pix_fmt="yuv422p10le")),
    OddVideo("tenbit.mkv", "H.264 in 10 bits", "converted in its own matrix", film(pix_fmt="yuv420p10le")),
    OddVideo("full444.mp4", "full range, 4:4:4", "players expect limited range", lambda p: Patches(p, pix_fmt="yuv444p", full=True).write()),
    OddVideo("alpha.mov", "PNG frames with alpha", "alpha is dropped", film(codec="png", pix_fmt="rgba")),
    OddVideo("grey.mkv", "grey in FFV1", "converted", film(codec="ffv1", pix_fmt="gray")),
    OddVideo("pq.mp4", "high dynamic range, PQ (HDR10)", "`hdr='tonemap'` keeps it", lambda p: Patches(p, transfer=16, matrix=9, primaries=9, pix_fmt="yuv420p10le", codec="libx265", frames=4).write()),
    OddVideo("hlg.mp4", "high dynamic range, HLG (phones, Dolby Vision 8.4)", "`hdr='tonemap'` keeps it", lambda p: Patches(p, transfer=18, matrix=9, primaries=9, pix_fmt="yuv420p10le", codec="libx265", frames=4).write()),
    OddVideo("turned.mp4", "turned by a display matrix", "made upright", lambda p: Patches(p, turned=90).write()),
    OddVideo("mirrored.mp4", "mirrored by a display matrix", "shown as players show it", lambda p: Patches(p, mirrored=True).write()),
    OddVideo("anamorphic.mp4", "pixels of 16:11", "pixels become square", lambda p: Patches(p, pixel_aspect=Fraction(16, 11)).write()),
    OddVideo("odd_size.mkv", "161 x 97 pixels", "the odd line and column are cut off", film(size=(161, 97), pix_fmt="yuv444p", codec="ffv1")),
    OddVideo("interlaced.mpg", "interlaced", FIELDS, lambda p: FieldFilm(p, kind="interlaced").write()),
    OddVideo("telecine.mpg", "telecined (3:2 pulldown)", "four film frames of five", lambda p: FieldFilm(p, kind="telecine").write()),
    OddVideo("psf.mpg", "progressive frames marked interlaced", FIELDS, lambda p: FieldFilm(p, kind="progressive").write()),
    OddVideo("late.mkv", "first timestamp of 10 s", TIMES, film(pts=lambda n: n + 240)),
    OddVideo("vfr.mkv", "variable frame rate", TIMES, film(pts=lambda n: n + n // 5)),
    OddVideo("fast.mp4", "120 frames a second", TIMES, film(rate=120)),
    OddVideo("slow.mp4", "1 frame a second", TIMES, film(rate=1)),
    OddVideo("edit_list.mp4", "an edit list that hides the first five frames", "what a player shows", _hidden_start),
    OddVideo("animated.gif", "an animated GIF", "a palette; decoded from the start", film(codec="gif", pix_fmt="rgb8", rate=20)),
    OddVideo("raw.y4m", "uncompressed YUV4MPEG", CODEC, film(codec="rawvideo")),
    OddVideo("subtitles.mkv", "with subtitles and a cover picture", "neither is a video", _with_cover),
    OddVideo("open_gop.ts", "open groups of pictures", "decoded exactly", film(options={"x264-params": "open-gop=1:keyint=8:bframes=2"})),
    OddVideo("wrap.ts", "a clock that starts again at 26.5 h", "FFmpeg unwraps it", film(container={"output_ts_offset": "95443.2"})),
    OddVideo("gap.ts", "the clock jumps by an hour", "a clip ends at the jump", joined(0, 3600)),
    OddVideo("back.ts", "the clock jumps back", "a clip ends at the jump", joined(100, 0)),
    OddVideo("two_streams.mkv", "two video streams", "the one that players choose", film(streams=2)),
    OddVideo("sound.mkv", "with sound", "`ClipWriter(sound=True)` keeps it", film(sound=True)),
    OddVideo("sound_only.mp4", "sound only", "no video stream", _sound_only),
    OddVideo("one_frame.mp4", "one frame", "`min_frames` is 15", film(frames=1)),
    OddVideo("short.mp4", "14 frames", "`min_frames` is 15", film(frames=14)),
    OddVideo("no_index.mp4", "mp4 without its index", "an unfinished download", changed(lambda content: content[: len(content) // 2])),
    OddVideo("cut_short.mkv", "ends in the middle", "what decodes is kept", changed(lambda content: content[: len(content) * 6 // 10], frames=96, options={"g": "8"})),
    OddVideo("damaged.ts", "damaged in the middle", "damaged frames are left out", changed(_damaged, frames=60, options={"g": "10"})),
    OddVideo("page.mp4", "a web page saved as a video", "no video", lambda p: p.write_text("<html>Sign in</html>")),
    OddVideo("empty.mp4", "an empty file", "no video", lambda p: p.touch()),
    OddVideo("list.mkv", "an `ffconcat` list of other files", "lists are not opened", lambda p: p.write_text("ffconcat version 1.0\nfile plain.mp4\n")),
    OddVideo("huge.y4m", "16,000 x 16,000 pixels", "`max_pixels` is the bound", lambda p: p.write_bytes(b"YUV4MPEG2 W16000 H16000 F24:1 C420jpeg\nFRAME\n" + bytes(1000))),
    OddVideo("stills", "numbered stills", "with `fps=24`; without, an error names `--fps`", stills()),
    OddVideo("stills_gap", "numbered stills, one missing", "a clip ends there", stills(numbers=[*range(20), *range(21, 41)])),
    OddVideo("stills_mixed", "numbered stills of two sizes", "the error names both", stills(mixed=True)),
    OddVideo("stills_turned", "numbered stills turned by EXIF", "made upright", stills("jpg", turned=True)),
    OddVideo("stills_16", "numbered stills of 16 bits", "rounded to 8 bits", stills(bits=16)),
    OddVideo(NAME_IN_LATIN_1, "a name that is not UTF-8, beside a caption file", PLAIN, _without_unicode),
    OddVideo(f"{'n' * 251}.mp4", "a name of 255 bytes", PLAIN, film(frames=21)),
)  # fmt: skip


def make_all(folder: Path) -> None:
    for odd in ODD_VIDEOS:
        odd.make(folder / odd.name)


def build_all(films: Path, work: Path) -> BuildResult:
    return build(FolderSource(films, fps=24), [SceneSplitter(), FrameSampler()], workdir=work)


def outcomes(result: BuildResult) -> dict[str, str]:
    """Return what became of each source, in words that do not depend on the machine."""
    rows: dict[str, list[dict[str, Any]]] = {}
    for table in result.dataset["clips"].values():
        for row in table.remove_columns("video"):
            rows.setdefault(row["source_id"], []).append(row)
    return {
        odd.name: _outcome(result, name := printable(odd.name), rows.get(name, []))
        for odd in ODD_VIDEOS
    }


def _outcome(result: BuildResult, name: str, rows: list[dict[str, Any]]) -> str:
    parts = []
    if rows:
        frames = sum(row["num_frames"] for row in rows)
        sizes = ", ".join(sorted({f"{row['width']} x {row['height']}" for row in rows}))
        clips = f"{len(rows)} clip{'s' if len(rows) > 1 else ''}"
        parts.append(f"{frames} frames in {clips} of {sizes}")
        parts += list(rows[0]["conversions"] or [])
    reasons = {
        f"{r.status}: {r.reason}"
        for r in result.item_results
        if r.source_id == name and r.status != "done"
    }
    return "; ".join([*parts, *sorted(reasons)])


def table(found: Mapping[str, str]) -> str:
    """Return the page's table: input, result and reason."""
    head = "| input | what happens | why |\n|---|---|---|\n"
    lines = (f"| {odd.what} | {found[odd.name]} | {odd.why} |" for odd in ODD_VIDEOS)
    return head + "\n".join(lines)


def main() -> None:
    """Build all odd videos and write their table into the page."""
    with tempfile.TemporaryDirectory() as folder:
        films = Path(folder, "films")
        films.mkdir()
        make_all(films)
        found = outcomes(build_all(films, Path(folder, "work")))
    before, _, rest = PAGE.read_text("utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    PAGE.write_text(f"{before}{BEGIN}\n{table(found)}\n{END}{after}", "utf-8")


if __name__ == "__main__":
    main()
