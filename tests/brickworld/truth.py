"""What a rendered film really contains, to the frame and to the tick."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class ShotTruth:
    """One shot, without the frames of its fades."""

    start: int
    end: int
    """Exclusive."""
    kind: str
    """action, frozen (nothing moves) or title (a card)."""
    hold: int
    """Frames a drawing is held; 1 is ordinary film."""
    caption: str
    scene: str
    transition: str
    """How the shot begins: cut, fade (through black) or crossfade."""


@dataclass(frozen=True, kw_only=True)
class Truth:
    """Frames are numbered from 0 in the order they are shown, also under a VFR pattern."""

    path: Path | None
    fps: Fraction
    """The nominal rate: under a VFR pattern only `pts` tells when a frame is shown."""
    cuts: tuple[int, ...]
    """First frame of each shot that begins with a hard cut; the film's first frame is none."""
    ignore: tuple[int, ...]
    """Frames of fades and crossfades: they belong to no shot, and a cut there is no error."""
    new_drawing: tuple[bool, ...]
    """Whether a frame shows another pose than the frame before it."""
    pts: tuple[int, ...]
    time_base: Fraction
    """Seconds a tick of `pts`."""
    shots: tuple[ShotTruth, ...]

    @property
    def frames(self) -> int:
        return len(self.pts)

    @property
    def duration(self) -> Fraction:
        """Seconds from the first frame's time to the end of the last."""
        return self.pts[-1] * self.time_base + 1 / self.fps if self.pts else Fraction(0)

    @property
    def kind(self) -> str:
        """'stop-motion' if any moving shot is held, else 'ordinary'."""
        held = any(shot.hold > 1 for shot in self.shots if shot.kind == "action")
        return "stop-motion" if held else "ordinary"

    def labels(self) -> dict[str, object]:
        """The entry of this film in a benchmark's truth file."""
        return {"cuts": list(self.cuts), "ignore": list(self.ignore), "kind": self.kind}

    def save(self, path: Path) -> None:
        """Write everything as JSON, for people who work in another language."""
        facts = asdict(self) | {"path": self.path and self.path.name}
        path.write_text(json.dumps(facts, default=str, indent=1), encoding="utf-8")
