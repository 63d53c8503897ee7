"""Serve files with ranges, as a web server with pages of links does."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler
from typing import Any

from tests.kit.servers.loopback import serving


class FileServer:
    """Files by path, their pages, and a log of requests as (path, first byte)."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.files: dict[str, bytes] = {}
        self.moved: dict[str, str] = {}
        """Path to the address that it redirects to."""
        self.hits: list[tuple[str, int]] = []
        self.authorizations: list[str] = []
        self.cuts: list[int] = []
        """Positions at which the next responses break off."""
        self.statuses: list[int] = []
        """Status codes to answer the next requests with."""
        self.has_ranges = True

    def add(self, path: str, body: bytes) -> str:
        """Serve a file; return its URL."""
        self.files[path] = body
        return f"{self.address}/{path}"

    def page(self, folder: str) -> str | None:
        """Return the page of a folder: its files and folders, a parent and a sort link."""
        below = [path.removeprefix(folder) for path in self.files if path.startswith(folder)]
        names = {f"{name}{slash}" for name, slash, _ in (path.partition("/") for path in below)}
        if not below:
            return None
        links = ("../", "/", "?C=N;O=D", *sorted(n for n in names if n))
        return "".join(f'<a href="{link}">{link}</a>\n' for link in links)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_state: FileServer

    def do_GET(self) -> None:
        state, path = self.server_state, self.path.partition("?")[0].lstrip("/")
        match = re.match(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        start = int(match[1]) if match and state.has_ranges else 0
        state.hits.append((path, start))
        state.authorizations.append(self.headers.get("Authorization", ""))
        if state.statuses:
            return self._send(state.statuses.pop(0), b"")
        if path in state.moved:
            return self._send(302, b"", {"Location": state.moved[path]})
        body = state.files.get(path)
        if body is None:
            page = state.page(path) if path.endswith("/") or not path else None
            return self._send(200 if page else 404, (page or "").encode(), kind="text/html")
        headers = {"ETag": f'"{hash(body)}"'}
        if not (match and state.has_ranges):
            return self._send(200, body, headers)
        if start >= len(body):
            return self._send(416, b"", {"Content-Range": f"bytes */{len(body)}"})
        end = min(int(match[2]) + 1 if match[2] else len(body), len(body))
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{len(body)}"
        return self._send(206, body[start:end], headers)

    do_HEAD = do_GET  # noqa: N815

    def log_message(self, *args: Any) -> None:
        """Log nothing: the log is `hits`."""

    def _send(
        self, status: int, body: bytes, headers: dict[str, str] | None = None, kind: str = "x/y"
    ) -> None:
        self.send_response(status)
        for name, value in {**(headers or {}), "Content-Type": kind}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            stop = self.server_state.cuts.pop(0) if self.server_state.cuts and body else len(body)
            with suppress(ConnectionError):
                self.wfile.write(body[:stop])
            self.close_connection = self.close_connection or stop < len(body)


@contextmanager
def file_server(host: str = "127.0.0.1") -> Iterator[FileServer]:
    """Run a server until the end of the block."""
    handler = type("FileHandler", (Handler,), {})
    with serving(handler, host) as address:
        handler.server_state = FileServer(address)  # type: ignore[attr-defined]
        yield handler.server_state  # type: ignore[attr-defined]
