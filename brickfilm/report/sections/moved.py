"""Films that changed their split since the last build."""

from __future__ import annotations

from brickfilm.report.context import Material
from brickfilm.report.sections.base import Section


def moved_films(material: Material) -> Section | None:
    """Each film with the split it was in, and the one it is in now."""
    films = [
        (material.titles.get(film, film), before, material.split.of_film[film])
        for film, before in sorted(material.split.moved.items())
    ]
    return Section("moved", "Films that changed their split", {"films": films}) if films else None
