"""The demo film. `python -m tests.brickworld` renders it into `brickfilm/demo/` again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tests.brickworld.captions import webvtt
from tests.brickworld.encode import Encoding
from tests.brickworld.film import BrickFilm
from tests.brickworld.script import Shot

SMALL = Encoding(crf=27, preset="veryslow", bframes=3)
"""1.06 MB; the shots, held frames and rejections of the build are those at crf 20 (3.5 MB)."""


def demo_film() -> BrickFilm:
    """Return the demo film: 35 seconds on twos and threes.

    It has a title card, a fade, a shot that is too short and a shot without movement.
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
        encoding=SMALL,
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


def render_demo(path: Path) -> Path:
    """Render the demo film to `path` and its caption track beside it."""
    truth = demo_film().render(path)
    path.with_suffix(".vtt").write_text(webvtt(truth), encoding="utf-8")
    return path
