"""The sets: each in a file of its own, built for a palette and a seed."""

from __future__ import annotations

from functools import lru_cache
from random import Random

from tests.brickworld.choices import check
from tests.brickworld.palette import PALETTES
from tests.brickworld.sets.castle import castle
from tests.brickworld.sets.forest import forest
from tests.brickworld.sets.harbour import harbour
from tests.brickworld.sets.space import space
from tests.brickworld.sets.street import street
from tests.brickworld.stage import Stage

BUILDERS = {
    "street": street,
    "castle": castle,
    "space": space,
    "harbour": harbour,
    "forest": forest,
}


@lru_cache(maxsize=4)  # a caption asks for the set that the camera needs next
def build_set(scene: str, palette: str, seed: int) -> Stage:
    """The set of a film: the same for every shot on it."""
    check("scene", scene, BUILDERS)
    return BUILDERS[scene](PALETTES[palette], Random(f"set {scene} {palette} {seed}"))
