"""Serve a local Hub for tests, to the real huggingface_hub and datasets clients without xet.

    with HubServer(folder) as hub:
        hub.token("hf_writer", "ada")
        hub.fail("PUT /lfs/", status=500)          # the next upload
        hub.cut("PUT /lfs/", after=1000)           # or hang up in the middle of it

Repositories and blobs: hub_store.py. Responses by URL: hub_routes.py.
"""

from __future__ import annotations

import hashlib
import json
import re
import socket
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BufferedIOBase
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self
from urllib.parse import parse_qsl, unquote, urlsplit

from tests.kit.servers.hub_routes import ROUTES, Call, Reply, Route, Upload
from tests.kit.servers.hub_store import HubError, Repo, Store, User

BLOCK = 1 << 20


@dataclass
class Fault:
    """A fault of the next `times` requests whose 'METHOD path' starts with `match`."""

    match: str
    status: int = 0
    times: int = 1
    cut_after: int = 0
    """Bytes of the upload or download after which the connection is closed."""
    retry_after: int | None = None
    skip: int = 0
    """Number of such requests that succeed before the first fault."""
    is_held: bool = False
    """Execute the request and delay its response."""
    reply: Reply | None = None
    """Sent in place of the response."""
    pause: float = 0.0
    """Seconds before each byte of the response's body."""
    slow_headers: bool = False
    """True if each byte of the headers takes as long."""
    delay: float = 0.0
    """Seconds before the response."""


class HubServer:
    """A Hub in a thread, on its own port."""

    def __init__(self, folder: Path, port: int = 0) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.store = Store(folder)
        self.lock = threading.RLock()
        self.page_size = 1000
        self.requests: list[str] = []
        """'METHOD path' of every request, in order of arrival."""
        self.holding = threading.Event()
        """Set while a response is delayed."""
        self._released = threading.Event()
        self._tokens: dict[str, User] = {}
        self._faults: list[Fault] = []
        self._http = ThreadingHTTPServer(("127.0.0.1", port), _handler(self))
        self._http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._http.server_port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._http.shutdown()
        self._http.server_close()

    def reset(self) -> None:
        """Delete all repositories, tokens, faults and recorded requests."""
        with self.lock:
            self.store.repos.clear()
            self.requests.clear()
            self._tokens.clear()
            self._faults.clear()
            for blob in self.store.folder.iterdir():
                blob.unlink()

    def token(self, token: str, name: str, role: str = "write") -> str:
        """Create a token of a user; `role` is write or read."""
        self._tokens[token] = User(name, role)
        return token

    def fail(
        self,
        match: str,
        *,
        status: int,
        times: int = 1,
        skip: int = 0,
        retry_after: int | None = None,
    ) -> None:
        """Answer the next `times` requests that begin with `match` with an error."""
        self._faults.append(Fault(match, status, times, retry_after=retry_after, skip=skip))

    def cut(self, match: str, *, after: int, times: int = 1) -> None:
        """Close the connection of the next `times` such requests after `after` bytes of body."""
        self._faults.append(Fault(match, times=times, cut_after=after))

    def answer_with(self, match: str, reply: Reply, *, times: int = 1_000) -> None:
        """Send this reply to the next `times` such requests."""
        self._faults.append(Fault(match, times=times, reply=reply))

    def trickle(self, match: str, pause: float, *, headers: bool, times: int = 1_000) -> None:
        """Send the responses to the next `times` such requests byte by byte."""
        self._faults.append(Fault(match, times=times, pause=pause, slow_headers=headers))

    def delay(self, match: str, seconds: float, *, times: int = 1_000) -> None:
        """Wait before the responses to the next `times` such requests."""
        self._faults.append(Fault(match, times=times, delay=seconds))

    def hold(self, match: str, *, skip: int = 0) -> None:
        """Execute one such request, and delay its response until `release`."""
        self.holding.clear()
        self._released.clear()
        self._faults.append(Fault(match, skip=skip, is_held=True))

    def release(self) -> None:
        """Send the delayed response, if the client is still there."""
        self._released.set()

    def keep_waiting(self) -> None:
        """Wait for `release`, in the thread of the request."""
        self.holding.set()
        self._released.wait(60)

    def mend(self) -> None:
        """Remove all faults."""
        self._faults.clear()

    def repo(self, repo_id: str, kind: str = "dataset") -> Repo:
        return self.store.repo(kind, repo_id)

    def files(self, repo_id: str, revision: str = "main", kind: str = "dataset") -> dict[str, Path]:
        """Return the paths in a repository, with the local files of their content."""
        entries = self.repo(repo_id, kind).at(revision).files
        return {path: self.store.blob(entry.sha256) for path, entry in entries.items()}

    def count(self, match: str) -> int:
        """Return the number of requests whose 'METHOD path' starts with `match`."""
        return sum(request.startswith(match) for request in self.requests)

    def user(self, authorization: str) -> User | None:
        return self._tokens.get(authorization.removeprefix("Bearer "))

    def fault(self, request: str) -> Fault | None:
        """Return the fault of this request, if it has one, and count it down."""
        with self.lock:
            for fault in self._faults:
                if not fault.times or not request.startswith(fault.match):
                    continue
                if fault.skip:
                    fault.skip -= 1
                    continue
                fault.times -= 1
                return fault
        return None


def _route(method: str, path: str) -> tuple[Route, Mapping[str, str]]:
    method = "GET" if method == "HEAD" else method
    for methods, pattern, route in ROUTES:
        match = re.fullmatch(pattern, path)
        if match and method in methods.split("|"):
            return route, {k: unquote(v) for k, v in match.groupdict().items() if v}
    raise HubError(404, "EntryNotFound", f"this Hub does not implement {method} {path}")


class SlowWriter(BufferedIOBase):
    """Writes byte by byte, with a pause before each; the first write are the headers."""

    def __init__(self, file: BinaryIO, pause: float, *, headers: bool) -> None:
        self._file, self._pause, self._is_slow = file, pause, headers

    def write(self, content: Any) -> int:
        if not self._is_slow:
            self._is_slow = True
            return self._file.write(content)
        for byte in bytes(content):
            time.sleep(self._pause)
            self._file.write(bytes([byte]))
        return len(content)


def _handler(hub: HubServer) -> type[BaseHTTPRequestHandler]:
    """Return the request handler class of one server."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def serve(self) -> None:
            request = f"{self.command} {unquote(urlsplit(self.path).path)}"
            hub.requests.append(request)
            fault = hub.fault(request)
            with suppress(ConnectionError):
                if fault and fault.reply:
                    for _ in self.chunks():
                        pass
                    self.send(fault.reply)
                elif fault and fault.status:
                    for _ in self.chunks():
                        pass
                    self.refuse(HubError(fault.status, "", "scripted fault"), fault.retry_after)
                elif fault and fault.delay:
                    time.sleep(fault.delay)
                    self.answer(None)
                elif fault and fault.pause:
                    self.wfile = SlowWriter(self.wfile, fault.pause, headers=fault.slow_headers)
                    self.close_connection = True
                    self.answer(None)
                elif fault and fault.is_held:
                    self.answer(None, late=True)
                elif fault and self.command in ("PUT", "POST"):
                    self.rfile.read(fault.cut_after)
                    self.hang_up()
                else:
                    self.answer(fault.cut_after if fault else None)

        do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = serve  # noqa: N815

        def answer(self, cut_after: int | None, *, late: bool = False) -> None:
            address = urlsplit(self.path)
            is_upload = address.path.startswith("/lfs/")
            call = Call(
                store=hub.store,
                base=hub.url,
                user=hub.user(self.headers.get("Authorization", "")),
                method=self.command,
                path=address.path,
                query=dict(parse_qsl(address.query)),
                headers=self.headers,
                upload=self.read_upload() if is_upload else None,
                body=b"" if is_upload else b"".join(self.chunks()),
                page_size=hub.page_size,
            )
            try:
                route, named = _route(self.command, address.path)
                with hub.lock:
                    reply = route(replace(call, named=named))
            except HubError as error:
                self.refuse(error)
            else:
                if late:
                    hub.keep_waiting()
                self.send(reply, cut_after)

        def refuse(self, error: HubError, retry_after: int | None = None) -> None:
            headers = {"X-Error-Message": error.message.replace("\n", " ")}
            if error.code:
                headers["X-Error-Code"] = error.code
            if retry_after is not None:
                headers["Retry-After"] = str(retry_after)
            self.send(Reply({"error": error.message}, status=error.status, headers=headers))

        def send(self, reply: Reply, cut_after: int | None = None) -> None:
            first, last = reply.span or (0, 0)
            is_bytes = isinstance(reply.body, bytes)
            body = reply.body if is_bytes else json.dumps(reply.body).encode()
            end = last if cut_after is None else min(last, first + cut_after)
            headers = {"Content-Type": "application/json", **reply.headers}
            self.send_response(reply.status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(last - first if reply.file else len(body)))
            self.end_headers()
            if self.command == "HEAD":
                return
            for block in _blocks(reply.file, first, end) if reply.file else (body,):
                self.wfile.write(block)
            if cut_after is not None:
                self.hang_up()

        def chunks(self) -> Iterator[bytes]:
            """Yield the request's body in blocks, chunked or not."""
            if "chunked" in self.headers.get("Transfer-Encoding", ""):
                while size := int(self.rfile.readline().split(b";")[0], 16):
                    yield self.rfile.read(size)
                    self.rfile.readline()
                self.rfile.readline()
                return
            left = int(self.headers.get("Content-Length") or 0)
            while left and (block := self.rfile.read(min(BLOCK, left))):
                left -= len(block)
                yield block
            if left:
                raise ConnectionResetError("the client closed the connection in its body")

        def read_upload(self) -> Upload:
            """Write the body to a file: uploads may be larger than memory."""
            arriving = hub.store.folder / f".{uuid.uuid4().hex}"
            digest = hashlib.sha256()
            with arriving.open("wb") as file:
                for block in self.chunks():
                    digest.update(block)
                    file.write(block)
            return Upload(arriving, digest.hexdigest())

        def hang_up(self) -> None:
            """Close the connection as a lost network does."""
            self.wfile.flush()
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)

        def log_message(self, format: str, *args: Any) -> None:
            """Log nothing: tests read `hub.requests`."""

    return Handler


def _blocks(path: Path, first: int, last: int) -> Iterator[bytes]:
    """Yield bytes [first, last) of a file."""
    with path.open("rb") as file:
        file.seek(first)
        while first < last and (block := file.read(min(BLOCK, last - first))):
            first += len(block)
            yield block
