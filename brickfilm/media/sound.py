"""A clip's sound: cut to the clip's span to the sample, silence where the film has none, AAC."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from brickfilm.errors import MediaError
from brickfilm.media.decode import ffmpeg_error_text

AudioSamples = NDArray[np.float32]
"""[channels, n], -1 to 1."""

AAC_BIT_RATE = 128_000
SAMPLE_RATES = (8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)
"""Samples a second that are kept; others become the last of these."""
PREROLL_SECONDS = 0.5
"""Seconds that are decoded before a span: a decoder's first frame after seeking may be wrong."""
TIMESTAMP_TOLERANCE_SECONDS = Fraction(1, 100)
"""Seconds by which timestamps may stray before a gap is taken for one."""
AAC_FRAME_SAMPLES = 1024
"""Samples."""


class Sound:
    """The sound of one stretch of a film, `start` to `end` in seconds of the film's clock."""

    def __init__(self, path: Path, start: Fraction, end: Fraction) -> None:
        self.path = path
        self.start = start
        self.end = end

    def add_to(self, target: Any) -> list[Any]:
        """Give an open container a stream of this sound: its packets, or none if there is none."""
        try:
            with av.open(str(self.path), metadata_errors="ignore") as container:
                source = container.streams.best("audio")
                return [] if source is None else self._encoded(container, source, target)
        except (av.FFmpegError, OSError) as error:
            raise MediaError(
                f"the sound of {self.path.name!r} cannot be read: {ffmpeg_error_text(error)}: "
                "write its clips with sound=False"
            ) from error

    def _encoded(self, container: Any, source: Any, target: Any) -> list[Any]:
        rate = source.rate if source.rate in SAMPLE_RATES else SAMPLE_RATES[-1]
        layout = "mono" if source.codec_context.channels == 1 else "stereo"
        stream = target.add_stream("aac", rate=rate, layout=layout)
        stream.bit_rate = AAC_BIT_RATE
        decoded = self._decoded(container, source, rate, layout)
        packets: list[Any] = []
        done = 0
        for samples in fill_gaps(decoded, round((self.end - self.start) * rate), rate):
            frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout=layout)
            frame.sample_rate, frame.pts, frame.time_base = rate, done, Fraction(1, rate)
            packets += stream.encode(frame)
            done += samples.shape[1]
        return packets + list(stream.encode(None))

    def _decoded(
        self, container: Any, source: Any, rate: int, layout: str
    ) -> Iterator[tuple[int, AudioSamples]]:
        """Stretches of samples as they come, with their place counted from `start`."""
        resampler = av.AudioResampler(format="fltp", layout=layout, rate=rate)
        container.seek(
            round((self.start - Fraction(PREROLL_SECONDS)) / source.time_base), stream=source
        )
        for raw in container.decode(source):
            for frame in resampler.resample(raw):
                if frame.pts is not None:
                    at = round((frame.pts * frame.time_base - self.start) * rate)
                    yield at, np.atleast_2d(frame.to_ndarray())


def fill_gaps(
    found: Iterator[tuple[int, AudioSamples]], whole: int, rate: int
) -> Iterator[AudioSamples]:
    """Exactly `whole` samples from place 0 on: what is outside is cut off, gaps are silent."""
    done, channels = 0, 1
    due: int | None = None
    for at, samples in found:
        channels, count = samples.shape
        begins = at if due is None or abs(at - due) > TIMESTAMP_TOLERANCE_SECONDS * rate else due
        due = begins + count
        if begins >= whole:
            break
        if due > done:
            if begins > done:
                yield np.zeros((channels, begins - done), np.float32)
            yield np.ascontiguousarray(samples[:, max(0, done - begins) : whole - begins])
            done = min(due, whole)
    if done < whole:
        yield np.zeros((channels, whole - done), np.float32)
