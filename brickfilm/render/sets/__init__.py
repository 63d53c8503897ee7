"""The sets: each in a file of its own."""

from __future__ import annotations

from random import Random

from brickfilm.render.choices import check
from brickfilm.render.palette import PALETTES
from brickfilm.render.sets.street import street
from brickfilm.render.stage import Stage

BUILDERS = dict.fromkeys(("street", "castle", "space", "harbour", "forest"), street)


def build_set(scene: str, palette: str, seed: int) -> Stage:
    """The set of a film: the same for every shot on it."""
    check("scene", scene, BUILDERS)
    return BUILDERS[scene](PALETTES[palette], Random(f"set {scene} {palette} {seed}"))
