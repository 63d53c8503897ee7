"""Drop clips by a score that something else measured: scoring and dropping are always apart."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from brickfilm.engine.stage import Answer, Stage
from brickfilm.errors import Rejected, UsageError
from brickfilm.records import Clip

CLIP_PROPERTIES: Mapping[str, Callable[[Clip], float]] = {
    "height": lambda clip: clip.height or clip.video.height,
    "width": lambda clip: clip.width or clip.video.width,
    "aspect_ratio": lambda clip: clip.video.height / clip.video.width,
    "num_frames": lambda clip: clip.span.frames,
    "fps": lambda clip: float(clip.fps),
    "duration": lambda clip: clip.end - clip.start,
}
"""What every clip has without being measured, by the dataset's column names."""


@dataclass(frozen=True)
class Keep(Stage[Clip, Clip]):
    """Keep clips whose score, or fact (FACTS), lies within the bounds, both included.

    Put ahead of `FrameSampler` it also saves the dropped clips' stills and images, and with
    `ClipWriter` behind it nothing dropped is ever encoded.
    """

    score: str
    at_least: float | None = None
    at_most: float | None = None

    input_types = (Clip,)

    def __post_init__(self) -> None:
        if self.at_least is None and self.at_most is None:
            raise UsageError(f"Keep({self.score!r}) keeps everything: give at_least or at_most")

    @property
    def requires(self) -> tuple[str, ...]:  # type: ignore[override]
        return () if self.score in CLIP_PROPERTIES else (self.score,)

    def apply(self, item: Clip, answer: Answer) -> Iterable[Clip | Rejected]:
        """The clip, or why it is dropped."""
        value = (
            CLIP_PROPERTIES[self.score](item)
            if self.score in CLIP_PROPERTIES
            else item.scores[self.score]
        )
        if self.at_least is not None and value < self.at_least:
            yield self._drop(value, f"below {self.at_least}")
        elif self.at_most is not None and value > self.at_most:
            yield self._drop(value, f"above {self.at_most}")
        else:
            yield item

    def _drop(self, value: float, why: str) -> Rejected:
        return Rejected(f"{self.score} is {value:.4g}, {why}", reason=f"{self.score} {why}")
