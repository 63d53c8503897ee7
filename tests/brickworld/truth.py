"""Truth: cuts, held frames, timestamps and captions of a rendered film."""

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
    """Transition before the shot: cut, fade (through black), crossfade or wipe."""


@dataclass(frozen=True, kw_only=True)
class Truth:
    """The truth of a film. Frames are numbered from 0 in presentation order."""

    path: Path | None
    fps: Fraction
    """Nominal rate; with a variable rate only `pts` is exact."""
    cuts: tuple[int, ...]
    """First frame of each shot that begins with a hard cut; the film's first frame is none."""
    ignore: tuple[int, ...]
    """Frames of fades, crossfades and wipes: a cut there is no fault."""
    new_drawing: tuple[bool, ...]
    """True for frames with another pose than the frame before."""
    pts: tuple[int, ...]
    time_base: Fraction
    """Seconds a tick of `pts`."""
    shots: tuple[ShotTruth, ...]

    @property
    def frames(self) -> int:
        return len(self.pts)

    @property
    def duration(self) -> Fraction:
        """Return the seconds from the first frame to the end of the last."""
        return self.pts[-1] * self.time_base + 1 / self.fps if self.pts else Fraction(0)

    @property
    def kind(self) -> str:
        """Return 'stop-motion' if any moving shot is held, else 'ordinary'."""
        held = any(shot.hold > 1 for shot in self.shots if shot.kind == "action")
        return "stop-motion" if held else "ordinary"

    def labels(self) -> dict[str, object]:
        """Return the entry of this film in a benchmark's truth file."""
        return {"cuts": list(self.cuts), "ignore": list(self.ignore), "kind": self.kind}

    def save(self, path: Path) -> None:
        """Write everything as JSON."""
        facts = asdict(self) | {"path": self.path and self.path.name}
        path.write_text(json.dumps(facts, default=str, indent=1), encoding="utf-8")
