"""A film decoded on several threads of which none waits for another.

FFmpeg's own threads share pictures and wait for each other's lines: two of them are 1.4 times as
fast as one. Groups of pictures share nothing, so two threads are twice as fast, and take no more
CPU time than one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Generic, TypeVar

from brickfilm.media.decode import Film, opened
from brickfilm.media.packet_groups import Part

Made = TypeVar("Made")
Make = Callable[[Film, Any], Made]
"""Turns a decoded frame into what is kept of it; the decoder uses the frame's memory again."""


def side_by_side(
    path: Path, parts: Iterable[Part], make: Make[Made], *, lanes: int, room: int, each: int
) -> Iterator[Made]:
    """What `make` gives for every frame, in the film's order.

    `room`, in bytes, is for packets that wait and for what was made of them, `each` a frame; one
    part has room always.
    """
    with _opened_lanes(path, make, lanes) as open_lanes:
        flying: deque[tuple[int, Future[list[Made]]]] = deque()
        lane, anew = open_lanes[0], True
        for part in parts:
            size = part.size + each * len(part.packets)
            while flying and size + sum(held for held, _ in flying) > room:
                yield from flying[0][1].result()
                flying.popleft()  # only now: whoever looks at its frames holds them
            if anew:
                lane = min(open_lanes, key=lambda lane: lane.backlog)
            anew = part.is_last
            flying.append((size, lane.send(part)))
        while flying:
            yield from flying.popleft()[1].result()


@contextmanager
def _opened_lanes(path: Path, make: Make[Made], count: int) -> Iterator[list[_Lane[Made]]]:
    with ExitStack() as stack:
        lanes = []
        for _ in range(count):
            film = stack.enter_context(opened(path, threads=1))
            thread = ThreadPoolExecutor(1, thread_name_prefix="decode")
            stack.callback(thread.shutdown, cancel_futures=True)
            lanes.append(_Lane(film, thread, make))
        yield lanes


class _Lane(Generic[Made]):
    """A decoder on a thread of its own: parts are decoded in the order they are sent."""

    def __init__(self, film: Film, thread: ThreadPoolExecutor, make: Make[Made]) -> None:
        self.film, self.thread, self.make = film, thread, make
        self._sent = 0
        self._decoded = 0

    @property
    def backlog(self) -> int:
        """Packets that wait, or are being decoded."""
        return self._sent - self._decoded

    def send(self, part: Part) -> Future[list[Made]]:
        self._sent += len(part.packets)
        return self.thread.submit(self._made, part)

    def _made(self, part: Part) -> list[Made]:
        made = [self.make(self.film, raw) for p in part.packets for raw in self.film.decode(p)]
        if part.is_last:
            made += [self.make(self.film, raw) for raw in self.film.drain()]
        self._decoded += len(part.packets)
        return made
