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

from brickfilm.media.decode import VideoReader, open_video
from brickfilm.media.packet_groups import PacketGroup

FrameResult = TypeVar("FrameResult")
FrameConverter = Callable[[VideoReader, Any], FrameResult]
"""Turns a decoded frame into what is kept of it; the decoder uses the frame's memory again."""


def decode_parallel(
    path: Path,
    groups: Iterable[PacketGroup],
    convert: FrameConverter[FrameResult],
    *,
    threads: int,
    max_buffered_bytes: int,
    bytes_per_frame: int,
) -> Iterator[FrameResult]:
    """What `convert` gives for every frame, in the film's order.

    `max_buffered_bytes`, in bytes, is for packets that wait and for what was made of them, `bytes_per_frame` a frame; one
    part has room always.
    """
    with _open_decode_threads(path, convert, threads) as decode_threads:
        in_flight: deque[tuple[int, Future[list[FrameResult]]]] = deque()
        decode_thread, anew = decode_threads[0], True
        for group in groups:
            size = group.size + bytes_per_frame * len(group.packets)
            while in_flight and size + sum(held for held, _ in in_flight) > max_buffered_bytes:
                yield from in_flight[0][1].result()
                in_flight.popleft()  # only now: whoever looks at its frames holds them
            if anew:
                decode_thread = min(decode_threads, key=lambda decode_thread: decode_thread.backlog)
            anew = group.ends_group
            in_flight.append((size, decode_thread.submit(group)))
        while in_flight:
            yield from in_flight.popleft()[1].result()


@contextmanager
def _open_decode_threads(
    path: Path, convert: FrameConverter[FrameResult], count: int
) -> Iterator[list[_DecodeThread[FrameResult]]]:
    with ExitStack() as stack:
        threads = []
        for _ in range(count):
            reader = stack.enter_context(open_video(path, threads=1))
            thread = ThreadPoolExecutor(1, thread_name_prefix="decode")
            stack.callback(thread.shutdown, cancel_futures=True)
            threads.append(_DecodeThread(reader, thread, convert))
        yield threads


class _DecodeThread(Generic[FrameResult]):
    """A decoder on a thread of its own: parts are decoded in the order they are sent."""

    def __init__(
        self, reader: VideoReader, thread: ThreadPoolExecutor, convert: FrameConverter[FrameResult]
    ) -> None:
        self.reader, self.thread, self.convert = reader, thread, convert
        self._sent = 0
        self._decoded = 0

    @property
    def backlog(self) -> int:
        """Packets that wait, or are being decoded."""
        return self._sent - self._decoded

    def submit(self, group: PacketGroup) -> Future[list[FrameResult]]:
        self._sent += len(group.packets)
        return self.thread.submit(self._decode_group, group)

    def _decode_group(self, group: PacketGroup) -> list[FrameResult]:
        made = [
            self.convert(self.reader, raw) for p in group.packets for raw in self.reader.decode(p)
        ]
        if group.ends_group:
            made += [self.convert(self.reader, raw) for raw in self.reader.flush()]
        self._decoded += len(group.packets)
        return made
