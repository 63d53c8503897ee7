"""Decode a video on several threads, each with a decoder and groups of pictures of its own.

FFmpeg's frame threads wait for each other's lines: two are 1.4 times as fast as one. Groups of
pictures are independent: two threads are twice as fast, in the same CPU time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Generic, TypeVar

from brickfilm.media.decode import VideoReader
from brickfilm.media.open_video import open_video
from brickfilm.media.packet_decoder import RawFrame
from brickfilm.media.packet_groups import PacketGroup


class DamagedGroupError(Exception):
    """A group does not decode to a frame for each packet, as an undamaged one does."""


FrameResult = TypeVar("FrameResult")
FrameConverter = Callable[[VideoReader, RawFrame], FrameResult]
"""Converts a decoded frame to a result that shares no memory with it: decoders reuse frames."""


def decode_parallel(
    path: Path,
    groups: Iterable[PacketGroup],
    convert: FrameConverter[FrameResult],
    *,
    threads: int,
    max_buffered_bytes: int,
    bytes_per_frame: int,
) -> Iterator[FrameResult]:
    """Yield `convert(reader, frame)` for every frame, in presentation order.

    Raise DamagedGroupError at the first damaged group: what a decoder shows of it depends on the
    groups around it.
    max_buffered_bytes: bound on waiting packets and results (`bytes_per_frame` each); a single
    PacketGroup may exceed it.
    """
    with _open_decode_threads(path, convert, threads) as decode_threads:
        in_flight: deque[tuple[int, Future[list[FrameResult]]]] = deque()
        decode_thread, starts_group = decode_threads[0], True
        for group in groups:
            size = group.size + bytes_per_frame * len(group.packets)
            while in_flight and size + sum(used for used, _ in in_flight) > max_buffered_bytes:
                yield from in_flight[0][1].result()
                in_flight.popleft()  # not before: the consumer still holds its frames
            if starts_group:
                decode_thread = min(decode_threads, key=lambda thread: thread.backlog)
            starts_group = group.ends_group
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
    """A decoder on a thread of its own; groups are decoded in the order of submission."""

    def __init__(
        self, reader: VideoReader, thread: ThreadPoolExecutor, convert: FrameConverter[FrameResult]
    ) -> None:
        self.reader, self.thread, self.convert = reader, thread, convert
        self._submitted = 0
        self._decoded = 0
        self._frames = 0

    @property
    def backlog(self) -> int:
        """Return the number of packets that are not decoded yet."""
        return self._submitted - self._decoded

    def submit(self, group: PacketGroup) -> Future[list[FrameResult]]:
        self._submitted += len(group.packets)
        return self.thread.submit(self._decode_group, group)

    def _decode_group(self, group: PacketGroup) -> list[FrameResult]:
        results = [
            self.convert(self.reader, frame)
            for packet in group.packets
            for frame in self.reader.decode(packet)
        ]
        if group.ends_group:
            results += [self.convert(self.reader, frame) for frame in self.reader.flush()]
        self._decoded += len(group.packets)
        self._frames += len(results)
        if self.reader.damage.found or (group.ends_group and self._frames != self._decoded):
            raise DamagedGroupError
        return results
