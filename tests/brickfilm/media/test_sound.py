"""Clips get their own span of the sound, from the first frame on, if `sound` is set."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from brickfilm.digest import digest_of
from brickfilm.errors import MediaError
from brickfilm.media import VerificationError, open_video, verify_sound
from brickfilm.media.sound import AAC_FRAME_SAMPLES, fill_gaps
from brickfilm.records import Clip
from brickfilm.stages import ClipWriter, SceneSplitter
from tests.brickworld import BrickFilm, Shot
from tests.kit.ask_stage import clips_of, video_of, written

Samples = NDArray[np.float32]
SHOTS = (Shot(frames=31, hold=2, view=0), Shot(frames=40, hold=2, view=1))
SPLITTER = SceneSplitter(min_frames=5, max_frames=23)


def voice(seconds: float, rate: int, channels: int) -> Samples:
    """Return noise that never repeats, so that a piece of it can be located to the sample."""
    rng = np.random.default_rng(1)
    knots = rng.normal(0, 1, round(seconds * 2000))
    at = np.linspace(0, len(knots) - 1, round(seconds * rate))
    hum = 0.2 * np.interp(at, np.arange(len(knots)), knots)
    return np.repeat(hum[None], channels, axis=0).astype(np.float32)


def with_sound(
    path: Path, codec: str, rate: int, channels: int = 2, late: float = 0, **film: object
) -> Samples:
    """Write a film of two shots with sound from `late` seconds on; return the sound from time 0."""
    silent = path.with_name(f"silent{path.suffix}")
    settings = {"seed": 5, "size": (160, 90), "shots": SHOTS, **film}
    truth = BrickFilm(**settings).render(silent)  # type: ignore[arg-type]
    spoken = voice(float(truth.duration), rate, channels)
    layout = "mono" if channels == 1 else "stereo"
    with av.open(str(silent)) as source, av.open(str(path), "w") as target:
        picture = target.add_stream_from_template(source.streams.video[0])
        sound = target.add_stream(codec, rate=rate, layout=layout)
        to_codec = av.AudioResampler(sound.format, sound.layout, rate)
        for at in range(0, spoken.shape[1], rate // 50):
            part = np.ascontiguousarray(spoken[:, at : at + rate // 50])
            frame = av.AudioFrame.from_ndarray(part, format="fltp", layout=layout)
            frame.sample_rate, frame.time_base = rate, Fraction(1, rate)
            frame.pts = round(late * rate) + at
            for ready in to_codec.resample(frame):
                target.mux(sound.encode(ready))
        target.mux(sound.encode(None))
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream = picture
                target.mux(packet)
    quiet = np.zeros((channels, round(late * rate)), np.float32)
    return np.concatenate([quiet, spoken], axis=1)


def decoded_sound(path: Path) -> tuple[Samples, int]:
    """Decode a clip's sound; return samples and rate."""
    with av.open(str(path)) as container:
        frames = list(container.decode(audio=0))
        assert abs(frames[0].pts) <= AAC_FRAME_SAMPLES
        return np.concatenate([f.to_ndarray() for f in frames], axis=1), frames[0].sample_rate


def lag(piece: Samples, spoken: Samples, at: int) -> int:
    """Return the samples by which a piece is later than position `at` of the whole."""
    around = AAC_FRAME_SAMPLES
    padded = np.pad(spoken.mean(axis=0), (around, piece.shape[1] + around))
    there = padded[at : at + piece.shape[1] + 2 * around]
    fit = np.correlate(there, piece.mean(axis=0), "valid")
    return around - int(np.argmax(fit))


def cut(path: Path, work: Path, **writer: object) -> list[Clip]:
    clips, _ = written(
        ClipWriter(sound=True, **writer),  # type: ignore[arg-type]
        clips_of(SPLITTER, video_of(path), work),
        work,
    )
    return clips


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "codec", "rate", "channels", "film"),
    [
        ("a.mp4", "aac", 44_100, 2, {}),
        ("a.mkv", "pcm_s16le", 48_000, 1, {}),
        ("a.mp4", "aac", 48_000, 2, {"vfr": "half"}),
        ("a.mkv", "libopus", 48_000, 2, {"vfr": "random-holds"}),
        ("a.mp4", "aac", 22_050, 2, {"vfr": "jitter", "fps": Fraction(30_000, 1001)}),
        ("a.mov", "pcm_s16le", 96_000, 2, {}),
    ],
    ids=str,
)
def test_each_clip_has_its_own_span_of_the_sound(
    name: str, codec: str, rate: int, channels: int, film: dict[str, object], tmp_path: Path
) -> None:
    spoken = with_sound(tmp_path / name, codec, rate, channels, **film)
    clips = cut(tmp_path / name, tmp_path)
    assert len(clips) >= 4
    for clip in clips:
        piece, kept = decoded_sound(tmp_path / clip.path)  # type: ignore[operator]
        assert kept == min(rate, 48_000)
        assert abs(piece.shape[1] - (clip.end - clip.start) * kept) <= AAC_FRAME_SAMPLES
        assert piece.shape[0] == channels
        whole = spoken[:, :: rate // kept]
        assert abs(lag(piece, whole, round(clip.start * kept))) <= 0.002 * kept


@pytest.mark.slow
def test_the_picture_is_the_same_with_sound(tmp_path: Path) -> None:
    with_sound(tmp_path / "a.mp4", "aac", 44_100)
    loud = cut(tmp_path / "a.mp4", tmp_path, verify="full")
    clips = clips_of(SPLITTER, video_of(tmp_path / "a.mp4"), tmp_path)
    quiet, _ = written(ClipWriter(), clips, tmp_path)
    for one, other in zip(loud, quiet, strict=True):
        assert pictures(tmp_path / one.path) == pictures(tmp_path / other.path)  # type: ignore[operator]
        with av.open(str(tmp_path / other.path)) as container:  # type: ignore[operator]
            assert not container.streams.audio


def pictures(path: Path) -> list[tuple[int, bytes]]:
    with open_video(path) as reader:
        return [(f.pts, f.luma().tobytes()) for f in reader.frames()]


@pytest.mark.slow
def test_sound_that_begins_late_is_silent_before(tmp_path: Path) -> None:
    spoken = with_sound(tmp_path / "a.mkv", "pcm_s16le", 48_000, late=0.5)
    first, *_ = cut(tmp_path / "a.mkv", tmp_path)
    piece, rate = decoded_sound(tmp_path / first.path)  # type: ignore[operator]
    assert np.abs(piece[:, : round(0.45 * rate)]).max() < 0.01 < np.abs(piece).max()
    assert abs(lag(piece, spoken, 0)) <= 0.002 * rate


@pytest.mark.slow
def test_a_film_without_sound_gives_clips_without(tmp_path: Path) -> None:
    BrickFilm(seed=5, size=(160, 90), shots=SHOTS).render(tmp_path / "a.mp4")
    for clip in cut(tmp_path / "a.mp4", tmp_path):
        with av.open(str(tmp_path / clip.path)) as container:  # type: ignore[operator]
            assert [stream.type for stream in container.streams] == ["video"]


@pytest.mark.slow
def test_bytes_repeat_with_sound(tmp_path: Path) -> None:
    with_sound(tmp_path / "a.mp4", "aac", 44_100)
    first = [clip.sha256 for clip in cut(tmp_path / "a.mp4", tmp_path / "one")]
    assert first == [clip.sha256 for clip in cut(tmp_path / "a.mp4", tmp_path / "two")]


def test_without_sound_the_digest_is_the_old_one() -> None:
    names = ("crf", "preset", "threads", "max_height", "keyframes")
    before = {name: getattr(ClipWriter(), name) for name in names}
    assert ClipWriter().digest == digest_of(["ClipWriter", ClipWriter.version, before])
    assert ClipWriter(sound=True).digest != ClipWriter().digest


@pytest.mark.slow
def test_sound_of_another_length_is_refused(tmp_path: Path) -> None:
    with_sound(tmp_path / "a.mp4", "aac", 44_100)
    clip = cut(tmp_path / "a.mp4", tmp_path)[0]
    with pytest.raises(VerificationError, match="instead of"):
        verify_sound(tmp_path / clip.path, clip.end - clip.start + 0.1)  # type: ignore[operator]


@pytest.mark.slow
def test_sound_that_cannot_be_read_is_a_media_error(tmp_path: Path) -> None:
    path = tmp_path / "a.mkv"
    with_sound(path, "pcm_s16le", 48_000)
    (clip, *_) = clips_of(SPLITTER, video_of(path), tmp_path)
    gone = replace(clip, video=replace(clip.video, path=tmp_path / "gone.mkv"))
    with pytest.raises(MediaError):
        written(ClipWriter(sound=True), [gone], tmp_path)


def test_small_timestamp_errors_are_no_gaps() -> None:
    ones = [(n * 1024 + n % 3, np.ones((1, 1024), np.float32)) for n in range(20)]
    got = np.concatenate(list(fill_gaps(iter(ones), 20_000, 48_000)), axis=1)
    assert got.shape == (1, 20_000)
    assert got.min() == 1


def test_a_gap_is_silent() -> None:
    ones = [(at, np.ones((2, 1000), np.float32)) for at in (-500, 500, 4000)]
    got = np.concatenate(list(fill_gaps(iter(ones), 6_000, 10_000)), axis=1)
    assert got.shape == (2, 6_000)
    assert got[0, :1500].min() == 1 and got[0, 1500:4000].max() == 0
    assert got[0, 4000:5000].min() == 1 and got[0, 5000:].max() == 0
