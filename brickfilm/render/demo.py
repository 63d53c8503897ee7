"""The demo: what `make demo` and `brickfilm demo` build a dataset from."""

from __future__ import annotations

from pathlib import Path

from brickfilm.render.captions import webvtt
from brickfilm.render.film import BrickFilm
from brickfilm.render.script import Shot

DEMO_NAME = "brick-film.mp4"


def demo_film() -> BrickFilm:
    """35 seconds on twos and threes: shots to keep, and what a builder must leave out.

    It opens on a title card; there is a fade, a shot too short and a shot where nothing moves.
    """
    return BrickFilm(
        seed=2,
        palette="classic",
        shots=(
            Shot(kind="title", seconds=2, scene="street", words="A BUSY MORNING", hold=2),
            Shot(seconds=4.5, scene="street", view=0, lighting="day", camera="static", hold=2),
            Shot(seconds=4, scene="street", view=1, lighting="day", camera="pan", hold=3),
            Shot(seconds=4, scene="harbour", view=0, lighting="day", camera="static", hold=2),
            Shot(frames=11, scene="harbour", view=1, lighting="day", camera="static", hold=2),
            Shot(
                seconds=4.5,
                scene="castle",
                view=0,
                lighting="dusk",
                camera="dolly",
                hold=2,
                transition="fade",
            ),
            Shot(
                kind="frozen",
                seconds=3,
                scene="castle",
                view=1,
                lighting="dusk",
                camera="static",
                hold=2,
            ),
            Shot(seconds=4.5, scene="space", view=0, lighting="night", camera="static", hold=3),
            Shot(seconds=4, scene="forest", view=0, lighting="lamp", camera="nudge", hold=3),
            Shot(seconds=4, scene="forest", view=1, lighting="lamp", camera="static", hold=2),
        ),
    )


def write_demo(folder: Path | str) -> Path:
    """Render the demo film and its caption track into `folder`; the path of the film."""
    path = Path(folder) / DEMO_NAME
    truth = demo_film().render(path)
    path.with_suffix(".vtt").write_text(webvtt(truth), encoding="utf-8")
    return path
