"""Drop clips by a score. Other stages measure scores; only this one drops by them."""

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
"""Properties of every clip, by the dataset's column names."""


@dataclass(frozen=True)
class Keep(Stage[Clip, Clip]):
    """Keep clips whose score or property (CLIP_PROPERTIES) lies within the bounds, inclusive.

    Put it before `FrameSampler` and `ClipWriter`, so that dropped clips are never encoded.
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
        """Yield the clip, or a Rejected with the value and the bound."""
        value = (
            CLIP_PROPERTIES[self.score](item)
            if self.score in CLIP_PROPERTIES
            else item.scores[self.score]
        )
        if bound := self.broken_bound(value):
            message = f"{self.score} is {value:.4g}, {bound}"
            yield Rejected(message, reason=f"{self.score} {bound}")
        else:
            yield item

    def broken_bound(self, value: float) -> str:
        """Return the bound that a value breaks, in words; '' if it breaks none."""
        if self.at_least is not None and value < self.at_least:
            return f"below {self.at_least}"
        if self.at_most is not None and value > self.at_most:
            return f"above {self.at_most}"
        return ""
