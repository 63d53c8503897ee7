"""What a shot detector is."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from brickfilm.scan.analyzer import Observer, Rows

Stretch = tuple[int, int]
"""Frames [start, end)."""


class Detector(Observer):
    """Sees every frame of a film, then says where its shots are."""

    def cuts(self, rows: Rows) -> list[int]:
        """The hard cuts of a whole film: first frames of new shots."""
        raise NotImplementedError

    def shots(self, rows: Rows) -> list[Stretch]:
        """The shots of a whole film in order. Frames between two of them belong to neither."""
        return shots_between(self.cuts(rows), len(rows))


def shots_between(cuts: Sequence[int], frames: int) -> list[Stretch]:
    """The shots that cuts (first frames of new shots) leave in a film of so many frames."""
    edges = [0, *cuts, frames]
    return [(a, b) for a, b in pairwise(edges) if b > a]
