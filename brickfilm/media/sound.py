"""Encode a clip's sound: AAC, cut to the clip's span to the sample, silent where there is none."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from brickfilm.media.container import media_errors, open_container

AudioSamples = NDArray[np.float32]
"""[channels, n], -1 to 1."""

AAC_BIT_RATE = 128_000
SAMPLE_RATES = (8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)
"""Sample rates that are kept, in Hz; others are resampled to the last of these."""
PREROLL_SECONDS = 0.5
"""Seconds decoded before a span: a decoder's first frame after a seek may be wrong."""
TIMESTAMP_TOLERANCE_SECONDS = Fraction(1, 100)
"""Seconds by which a timestamp may be off before it counts as a gap."""
AAC_FRAME_SAMPLES = 1024
"""Samples in a frame of AAC-LC."""


class Sound:
    """The sound of a video from `start` to `end`, in seconds on its own clock."""

    def __init__(self, path: Path, start: Fraction, end: Fraction) -> None:
        self.path = path
        self.start = start
        self.end = end

    def add_to(self, target: Any) -> list[Any]:
        """Add this sound to an open container; return its packets, [] without an audio stream."""
        problem = f"the sound of {self.path.name!r} cannot be read (write clips with sound=False)"
        with media_errors(problem), open_container(self.path) as container:
            source = container.streams.best("audio")
            return [] if source is None else self._encoded(container, source, target)

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
        """Yield decoded samples with their position, counted in samples from `start`."""
        resampler = av.AudioResampler(format="fltp", layout=layout, rate=rate)
        container.seek(
            round((self.start - Fraction(PREROLL_SECONDS)) / source.time_base), stream=source
        )
        for raw in container.decode(source):
            for frame in resampler.resample(raw):
                if frame.pts is not None:
                    position = round((frame.pts * frame.time_base - self.start) * rate)
                    yield position, np.atleast_2d(frame.to_ndarray())


def fill_gaps(
    decoded: Iterator[tuple[int, AudioSamples]], total: int, rate: int
) -> Iterator[AudioSamples]:
    """Yield exactly `total` samples from position 0 on, trimmed and with silence in the gaps."""
    tolerance = TIMESTAMP_TOLERANCE_SECONDS * rate
    done, channels = 0, 1
    expected: int | None = None
    for position, samples in decoded:
        channels, count = samples.shape
        start = position if expected is None or abs(position - expected) > tolerance else expected
        expected = start + count
        if start >= total:
            break
        if expected > done:
            if start > done:
                yield np.zeros((channels, start - done), np.float32)
            yield np.ascontiguousarray(samples[:, max(0, done - start) : total - start])
            done = min(expected, total)
    if done < total:
        yield np.zeros((channels, total - done), np.float32)
