"""An event loop in a thread, on which a call from any other thread can be cut off at any byte."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable
from types import TracebackType
from typing import Self, TypeVar

T = TypeVar("T")


class EventLoopThread:
    """Run awaitables for other threads, each within a time limit.

    A blocking client has a limit for each read alone: a server that sends one byte a second would
    hold it for hours.
    """

    def __enter__(self) -> Self:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="event loop", daemon=True
        )
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def run(self, call: Awaitable[T], *, timeout: float) -> T:
        """Wait for the result of a call; raise TimeoutError after `timeout` seconds."""
        limited = asyncio.wait_for(call, timeout)
        return asyncio.run_coroutine_threadsafe(limited, self._loop).result()
