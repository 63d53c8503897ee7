"""Bound the time that the Hub's server may take to answer.

The Hub's client waits without end for the answers to most requests, and continues a download as
often as a few bytes of it have come. Here a server has to begin its answer in ANSWER_SECONDS and
to send MIN_BYTES_PER_SECOND, or the request fails and is not repeated.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import ExitStack
from dataclasses import dataclass, field
from threading import Thread
from typing import Any

from brickfilm.errors import BrickfilmError

ANSWER_SECONDS = 120.0
"""From the last byte of a request to the end of its answer's headers, redirects included."""
WINDOW_SECONDS = 60.0
"""Seconds of waiting for an answer's bytes after which their rate is compared."""
MIN_BYTES_PER_SECOND = 1000
MAX_PAUSE_SECONDS = 10.0
"""Counted of the time between a broken answer and its continuation: a user may pause for longer."""


class SlowServerError(BrickfilmError):
    """A server sends its answer too slowly to wait for it."""


def bound_hub_time() -> None:
    """Bound the requests of the Hub's client in this process from now on.

    The client stays the user's own, with its proxies and certificates. Clients of before version 1
    (on requests) are left as they are.
    """
    from huggingface_hub.utils import get_session  # type: ignore[attr-defined]

    client: Any = get_session()
    if not isinstance(getattr(client, "send", None), BoundedSend) and hasattr(client, "stream"):
        client.send = BoundedSend(client.send, _stream_class(client))


@dataclass
class Meter:
    """The bytes of an answer, and the time spent waiting for them."""

    waited: float = 0.0
    received: int = 0
    broke_at: float | None = None
    """When the connection broke; the client may continue the download."""

    def resume(self, url: str) -> None:
        """Count the time since the connection broke."""
        if self.broke_at is not None:
            pause = min(time.monotonic() - self.broke_at, MAX_PAUSE_SECONDS)
            self.broke_at = None
            self.count(pause, 0, url)

    def count(self, seconds: float, size: int, url: str) -> None:
        """Add a part of an answer; raise SlowServerError if a window of time brought too little."""
        self.waited += seconds
        self.received += size
        if self.waited < WINDOW_SECONDS:
            return
        waited, received = self.waited, self.received
        self.waited, self.received = 0.0, 0
        if received < MIN_BYTES_PER_SECOND * waited:
            raise SlowServerError(
                f"{url} sent {received:,} bytes in {waited:.0f} s: check HF_ENDPOINT, your proxy "
                "and your network, then run the same command again"
            )


@dataclass
class BoundedSend:
    """The `send` of an httpx client, with a bound in time.

    stream_class: httpx's class of streams, which request and response are checked for.
    """

    send: Callable[..., Any]
    stream_class: type
    meters: dict[str, Meter] = field(default_factory=dict)
    """By URL: the parts of a download that is continued count together."""

    def __call__(self, request: Any, *, stream: bool = False, **options: Any) -> Any:
        """Send a request; raise SlowServerError if its answer does not come in time."""
        url = str(request.url).partition("?")[0]
        if url in self.meters:
            self.meters[url].resume(url)
        response = self._begin(request, url, options)
        response.stream = self._watched(response.stream, lambda body: self._metered(body, url))
        if not stream:
            with ExitStack() as on_error:
                on_error.callback(response.close)
                response.read()
                on_error.pop_all()
        return response

    def _begin(self, request: Any, url: str, options: dict[str, Any]) -> Any:
        """Return the response, whose body is not read yet; the request is sent in a thread."""
        progress = [time.monotonic()]

        def sent(body: Any) -> Iterator[bytes]:
            for part in body:
                yield part
                progress[0] = time.monotonic()

        request.stream = self._watched(request.stream, sent)
        future = _in_thread(lambda: self.send(request, stream=True, **options))
        while True:
            left = progress[0] + ANSWER_SECONDS - time.monotonic()
            try:
                return future.result(max(left, 0.0))
            except TimeoutError:
                if future.done():
                    raise
                if time.monotonic() >= progress[0] + ANSWER_SECONDS:
                    raise SlowServerError(
                        f"{url} did not answer in {ANSWER_SECONDS:.0f} s: check HF_ENDPOINT, your "
                        "proxy and your network, then run the same command again"
                    ) from None

    def _metered(self, body: Any, url: str) -> Iterator[bytes]:
        meter, parts = self.meters.setdefault(url, Meter()), iter(body)
        while True:
            begun, part = time.monotonic(), None
            try:
                part = next(parts, b"")
            finally:  # the time before an error counts too
                ended = time.monotonic()
                meter.broke_at = ended if part is None else None
                meter.count(ended - begun, len(part or b""), url)
            if not part:
                self.meters.pop(url, None)
                return
            yield part

    def _watched(self, stream: Any, iterate: Callable[[Any], Iterator[bytes]]) -> Any:
        """Return a stream of the same bytes that `iterate` watches."""
        methods = {"__iter__": lambda _: iterate(stream), "close": lambda _: stream.close()}
        return type("WatchedStream", (self.stream_class,), methods)()


def _in_thread(call: Callable[[], Any]) -> Future[Any]:
    """Run a call in a thread that is left behind if nobody waits for it any more."""
    future: Future[Any] = Future()

    def run() -> None:
        try:
            future.set_result(call())
        except BaseException as error:  # noqa: BLE001  # raised where the future is read
            future.set_exception(error)

    Thread(target=run, daemon=True).start()
    return future


def _stream_class(client: Any) -> type:
    """Return the class of streams of the client's library, httpx or httpx2."""
    base = next(kind for kind in type(client).__mro__ if kind.__name__ == "Client")
    streams: type = sys.modules[base.__module__.partition(".")[0]].SyncByteStream
    return streams
