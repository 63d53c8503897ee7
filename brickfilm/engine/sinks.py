"""Sinks take the frames of clips; neighbours among them share one decode of a clip.

A sink is a stage that also has `begin(clip, work)`: a session that is handed the clip's frames in
order and closes with the answer. `SpanPass` runs any number of them over a chunk of one film.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from brickfilm.engine.stage import Answer, Landed, Part, Resources, Stage, Want
from brickfilm.errors import ItemError
from brickfilm.media import Film, Frame, opened
from brickfilm.records import Clip

CHUNK = 64
"""Spans of one film in one call: memory stays bounded, and captions start early."""
THREADS = 2
"""That decode a film while its clips are written."""


class Session(Protocol):
    """One clip's passage through one sink; other clips pass through others at the same time."""

    def add(self, n: int, frame: Frame) -> None:
        """Frame number n of the film, in order."""

    def close(self) -> Answer:
        """All frames were given: finish, and say what came of it."""

    def abort(self) -> None:
        """Something failed: leave nothing behind."""


Write = Callable[[Sequence["Sink"], Sequence[Want]], list[Landed]]


class Sink(Stage[Clip, Any]):
    """A stage that takes a clip's frames."""

    takes = (Clip,)
    reads_film = True
    chunk = CHUNK

    @property
    def resources(self) -> Resources:
        return Resources(pool="process", width=0)

    def begin(self, clip: Clip, work: Path) -> Session:
        """Start on a clip; files go below the work folder."""
        raise NotImplementedError

    def group(self, item: Clip) -> str:
        return item.video.id

    def imagine(self, item: Clip) -> Iterable[Any]:
        return (item,)

    def fuse(self, following: Stage[Any, Any]) -> Stage[Any, Any] | None:
        return SpanPass((self, following)) if isinstance(following, Sink) else None

    @contextmanager
    def open(self, work: Path) -> Iterator[Write]:  # type: ignore[override]
        yield lambda sinks, wants: write_spans(work, sinks, wants)

    def perform(self, ask: Write, wants: Sequence[Want]) -> list[Landed]:
        return ask((self,), wants)


@dataclass(frozen=True)
class SpanPass(Stage[Clip, Any]):
    """Neighbouring sinks as one stage: one decode serves all, each keeps rows of its own."""

    sinks: tuple[Sink, ...]

    takes = (Clip,)
    reads_film = True
    chunk = CHUNK

    def __post_init__(self) -> None:
        for name in ("makes", "needs", "gives"):
            merged = dict.fromkeys(itertools.chain(*(getattr(s, name) for s in self.sinks)))
            object.__setattr__(self, name, tuple(merged))

    @property
    def name(self) -> str:
        return " + ".join(sink.name for sink in self.sinks)

    @property
    def resources(self) -> Resources:
        return Resources(pool="process", width=0)

    def parts(self) -> tuple[Part, ...]:
        return tuple(part for sink in self.sinks for part in sink.parts())

    def group(self, item: Clip) -> str:
        return item.video.id

    def fuse(self, following: Stage[Any, Any]) -> Stage[Any, Any] | None:
        return SpanPass((*self.sinks, following)) if isinstance(following, Sink) else None

    @contextmanager
    def open(self, work: Path) -> Iterator[Write]:  # type: ignore[override]
        yield lambda sinks, wants: write_spans(work, sinks, wants)

    def perform(self, ask: Write, wants: Sequence[Want]) -> list[Landed]:
        return ask(self.sinks, wants)

    def resolve(self, item: Clip, answers: Mapping[str, Answer]) -> Iterable[Any]:
        """Each sink's outcome in turn: clips go on to the next sink, other records past it."""
        return self._through(item, lambda sink, clip: sink.resolve(clip, answers))

    def _through(self, item: Clip, work: Callable[[Sink, Clip], Iterable[Any]]) -> list[Any]:
        flowing: list[Any] = [item]
        for sink in self.sinks:
            flowing = [
                out
                for record in flowing
                for out in (work(sink, record) if isinstance(record, Clip) else (record,))
            ]
        return flowing

    def imagine(self, item: Clip) -> Iterable[Any]:
        return self._through(item, lambda sink, clip: sink.imagine(clip))


def write_spans(work: Path, sinks: Sequence[Sink], wants: Sequence[Want]) -> list[Landed]:
    """One film's clips through the sinks that lack an answer.

    Two stretches of the film are written side by side, each decoded once, in the film's order: an
    encoder waits for itself too often to keep two cores busy.
    """
    stretches = _stretches(wants)
    threads = THREADS // len(stretches)
    landed: dict[int, Landed] = {}
    with ThreadPoolExecutor(len(stretches), thread_name_prefix="write") as pool:
        for part in pool.map(lambda s: _write_stretch(work, sinks, wants, s, threads), stretches):
            landed |= part
    return [landed[n] for n in range(len(wants))]


def _stretches(wants: Sequence[Want]) -> list[list[int]]:
    """Positions of a film's clips in its order, in one or two lists of about as many frames."""
    order = sorted(range(len(wants)), key=lambda n: wants[n].item.span)
    done = list(itertools.accumulate(wants[n].item.span.frames for n in order))
    half = min(range(1, len(order)), key=lambda n: abs(2 * done[n - 1] - done[-1]), default=1)
    return [stretch for stretch in (order[:half], order[half:]) if stretch]


def _write_stretch(
    work: Path, sinks: Sequence[Sink], wants: Sequence[Want], order: Sequence[int], threads: int
) -> dict[int, Landed]:
    landed: dict[int, Landed] = {}
    try:
        with opened(work / wants[order[0]].item.video.path, threads=threads) as film:
            for n in order:
                landed[n] = _write(work, film, sinks, wants[n])
    except ItemError as error:
        landed = {n: landed.get(n, error) for n in order}
    return landed


def _write(work: Path, film: Film, sinks: Sequence[Sink], want: Want) -> Landed:
    clip = want.item
    wanted = [sink for sink in sinks if sink.digest in want.parts]
    sessions: list[Session] = []
    try:
        sessions += [sink.begin(clip, work) for sink in wanted]
        for frame in film.span(clip.span, by_count=clip.video.clock_jumps):
            for session in sessions:
                session.add(frame.number, frame)
        return {s.digest: session.close() for s, session in zip(wanted, sessions, strict=True)}
    except ItemError as error:
        for session in sessions:
            session.abort()
        return error
