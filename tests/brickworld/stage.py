"""What a set gives the camera: what stands, who moves, where from it is filmed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tests.brickworld.kinds import Array
from tests.brickworld.light import Lamp
from tests.brickworld.mesh import Mesh


@dataclass(frozen=True)
class Actor:
    """Something that moves."""

    mesh: Mesh
    act: Callable[[float], Array]
    """Seconds -> the matrix of every joint [J, 4, 4]."""
    does: str = ""
    """What a caption says of it."""


@dataclass(frozen=True, kw_only=True)
class View:
    """One position of the camera."""

    eye: tuple[float, float, float]
    target: tuple[float, float, float]
    angle: float = 38.0
    """Horizontal field of view in degrees."""
    actors: tuple[int, ...] | None = None
    """Who is on the set in this view; None: all."""
    shows: str = ""
    """What a caption says of the place."""


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A set, ready to be filmed."""

    still: Mesh
    actors: tuple[Actor, ...]
    views: tuple[View, ...]
    lamps: tuple[Lamp, ...] = ()
    sky: tuple[str, str] = ("#dcebf5", "#7fb6e3")
    stars: bool = False
