"""The demo: what `make demo` and `brickfilm demo` build a dataset from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from brickfilm.digest import digest_of
from tests.brickworld.captions import webvtt
from tests.brickworld.film import BrickFilm
from tests.brickworld.script import Shot

DEMO_NAME = "brick-film.mp4"


def demo_film() -> BrickFilm:
    """35 seconds on twos and threes: shots to keep, and what a builder must leave out.

    It opens on a title card; there is a fade, a shot too short and a shot where nothing moves.
    """
    street = Shot(scene="street", lighting="day", hold=2)
    harbour = Shot(scene="harbour", lighting="day", hold=2)
    castle = Shot(scene="castle", lighting="dusk", hold=2)
    forest = Shot(scene="forest", lighting="lamp", hold=3)
    space = Shot(scene="space", lighting="night", hold=3)
    return BrickFilm(
        seed=2,
        palette="classic",
        camera="static",
        shots=(
            replace(street, kind="title", seconds=2, words="A BUSY\nMORNING"),
            replace(street, seconds=4.5, view=0),
            replace(street, seconds=4, view=1, hold=3, camera="pan"),
            replace(harbour, seconds=4, view=0),
            replace(harbour, frames=11, view=2),
            replace(castle, seconds=4.5, view=0, camera="dolly"),
            replace(castle, seconds=3, view=1, kind="frozen"),
            replace(space, seconds=4.5, view=0, transition="fade"),
            replace(forest, seconds=4, view=0, camera="nudge"),
            replace(forest, seconds=4, view=1, hold=2),
        ),
    )


def write_demo(folder: Path | str) -> Path:
    """Render the demo film and its caption track into `folder`, unless they are there already."""
    film, path = demo_film(), Path(folder) / DEMO_NAME
    mark = path.with_suffix(".digest")  # written last: a film without it was interrupted
    if path.is_file() and mark.is_file() and mark.read_text() == digest_of(film):
        return path
    truth = film.render(path)
    path.with_suffix(".vtt").write_text(webvtt(truth), encoding="utf-8")
    mark.write_text(digest_of(film))
    return path
