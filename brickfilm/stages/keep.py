"""Drop clips by a score. Other stages measure scores; only this one drops by them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from brickfilm.digest import field_added_later
from brickfilm.engine.stage import Answer, Stage
from brickfilm.errors import Rejected, UsageError
from brickfilm.records import Clip
from brickfilm.schema.recipes import find_keep_set

CLIP_PROPERTIES: Mapping[str, Callable[[Clip], float]] = {
    "height": lambda clip: clip.height or clip.video.height,
    "width": lambda clip: clip.width or clip.video.width,
    "aspect_ratio": lambda clip: clip.video.height / clip.video.width,
    "num_frames": lambda clip: clip.span.frames,
    "fps": lambda clip: float(clip.fps),
    "duration": lambda clip: clip.end - clip.start,
}
"""Properties of every clip, by the dataset's column names."""


def score_of(clip: Clip, name: str) -> float | None:
    """Return a clip's score or property of this name; None if it was not measured."""
    return CLIP_PROPERTIES[name](clip) if name in CLIP_PROPERTIES else clip.scores.get(name)


@dataclass(frozen=True)
class Keep(Stage[Clip, Clip]):
    """Keep clips whose score or property (CLIP_PROPERTIES) lies within the bounds, inclusive.

    Put it before `FrameSampler` and `ClipWriter`, so that dropped clips are never encoded.
    """

    score: str
    at_least: float | None = None
    at_most: float | None = None
    if_measured: bool = field_added_later(False)
    """Keep clips without the score, as those of a work folder that is older than the measure."""

    input_types = (Clip,)

    def __post_init__(self) -> None:
        if self.at_least is None and self.at_most is None:
            raise UsageError(f"Keep({self.score!r}) keeps everything: give at_least or at_most")

    @property
    def requires(self) -> tuple[str, ...]:  # type: ignore[override]
        return () if self.score in CLIP_PROPERTIES or self.if_measured else (self.score,)

    @classmethod
    def parse(cls, text: str) -> Keep:
        """Return the stage of a condition, as `motion>=0.02` or `brightness<=140`."""
        for sign in (">=", "<="):
            score, found, number = (part.strip() for part in text.partition(sign))
            with suppress(ValueError):
                if found and score.isidentifier() and math.isfinite(bound := float(number)):
                    return cls(score, bound) if sign == ">=" else cls(score, at_most=bound)
        raise UsageError(
            f"{text!r} is no condition: write a score and its bound in quotes, as 'motion>=0.02'"
        )

    @classmethod
    def read(cls, name: str | Path) -> tuple[Keep, ...]:
        """Return the conditions of a file, one a line behind which `#` begins a comment.

        name: a path, or a packaged set of `recipes/keep/`: bricks, general. Raise UsageError if
        there is no such file, or a line is no condition.
        """
        path = find_keep_set(name)
        lines = (line.partition("#")[0].strip() for line in _lines(path))
        try:
            return tuple(cls.parse(line) for line in lines if line)
        except UsageError as error:
            raise UsageError(f"{str(path)!r}: {error}") from None

    @property
    def condition(self) -> str:
        """Return the bounds as `parse` reads them; two are joined by ' and '."""
        bounds = ((">=", self.at_least), ("<=", self.at_most))
        return " and ".join(f"{self.score}{sign}{n:g}" for sign, n in bounds if n is not None)

    def apply(self, item: Clip, answer: Answer) -> Iterable[Clip | Rejected]:
        """Yield the clip, or a Rejected with the value and the bound."""
        value = score_of(item, self.score)
        if value is None and not self.if_measured:
            raise KeyError(self.score)  # `requires` makes sure that a stage before gives it
        if value is not None and (bound := self.broken_bound(value)):
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


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{str(path)!r} cannot be read as text: {error}") from error
