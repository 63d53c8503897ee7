"""The sets: each in a file of its own, built for a palette and a seed."""

from __future__ import annotations

from random import Random

from brickfilm.render.choices import check
from brickfilm.render.palette import PALETTES
from brickfilm.render.sets.castle import castle
from brickfilm.render.sets.forest import forest
from brickfilm.render.sets.harbour import harbour
from brickfilm.render.sets.space import space
from brickfilm.render.sets.street import street
from brickfilm.render.stage import Stage

BUILDERS = {
    "street": street,
    "castle": castle,
    "space": space,
    "harbour": harbour,
    "forest": forest,
}


def build_set(scene: str, palette: str, seed: int) -> Stage:
    """The set of a film: the same for every shot on it."""
    check("scene", scene, BUILDERS)
    return BUILDERS[scene](PALETTES[palette], Random(f"set {scene} {palette} {seed}"))
