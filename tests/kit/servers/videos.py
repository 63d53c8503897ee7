"""Serve a web site with videos: complete, slow, cut off, moved, forbidden, or rate-limited."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import Any

from tests.kit.servers.loopback import serving

BLOCK = 8192


@dataclass
class ServedVideo:
    """A video as the site serves it; each fault is used once."""

    body: bytes
    speed: float | None = None
    """Bytes a second; None means no limit."""
    cuts: list[int] = field(default_factory=list)
    """Positions at which a connection breaks, one for each of the next requests."""
    refusals: list[int] = field(default_factory=list)
    """Status codes to answer the next requests with."""
    retry_after: int | None = None
    content_type: str = "video/mp4"
    ranges: bool = True


@dataclass(frozen=True)
class Hit:
    """One request and the status of its response."""

    path: str
    start: int
    """First byte requested."""
    status: int


class VideoSite:
    """Videos by name, the pages that embed them, and a log of requests."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.videos: dict[str, ServedVideo] = {}
        self.hits: list[Hit] = []
        self.cookies: list[str] = []
        """Cookie header of every request."""
        self.authorizations: list[str] = []
        """Authorization header of every request."""
        self.flowing: dict[int, tuple[str, int]] = {}
        """Responses being sent: the video, and the bytes sent so far."""

    def add(self, name: str, body: bytes, **manner: Any) -> str:
        """Serve a video; return the URL of the page that embeds it."""
        self.videos[name] = ServedVideo(body, **manner)
        return self.page(name)

    def page(self, name: str) -> str:
        return f"{self.address}/watch/{name}"

    def file(self, name: str) -> str:
        return f"{self.address}/films/{name}.mp4"

    def moved(self, name: str) -> str:
        """Return a URL that redirects to the video's page."""
        return f"{self.address}/moved/{name}"

    def at(self, path: str) -> str:
        """Return a URL: /list (one page), /feed (RSS), /gone, /forbidden, /nothing (no video)."""
        return self.address + path

    def requests_for(self, name: str) -> list[Hit]:
        """Return the requests for a video's bytes."""
        return [hit for hit in self.hits if hit.path == f"/films/{name}.mp4"]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    site: VideoSite

    def do_GET(self) -> None:
        match self.path.split("?")[0].strip("/").split("/"):
            case ["films", file]:
                self._film(file.removesuffix(".mp4"))
            case ["watch", name] if name in self.site.videos:
                self._text(
                    f"<html><head><title>Film {name}</title></head><body>{_tag(name)}</body>"
                )
            case ["moved", name]:
                self._status(302, {"Location": f"/watch/{name}"})
            case ["list"]:
                tags = "".join(map(_tag, self.site.videos))
                self._text(f"<html><head><title>All films</title></head><body>{tags}</body>")
            case ["feed"]:
                self._text(_feed(self.site), "application/rss+xml")
            case ["forbidden"]:
                self._status(403)
            case ["nothing"]:
                self._text("<html><body>No film is on this page.</body></html>")
            case _:
                self._status(404)

    def do_HEAD(self) -> None:
        self.do_GET()

    def handle(self) -> None:
        with suppress(ConnectionError):  # clients that need only the start of a video hang up
            super().handle()

    def log_message(self, *args: Any) -> None:
        """Log nothing: the log is `site.hits`."""

    def _film(self, name: str) -> None:
        film = self.site.videos.get(name)
        if film is None:
            return self._status(404)
        if film.refusals:
            after = {"Retry-After": str(film.retry_after)} if film.retry_after else {}
            return self._status(film.refusals.pop(0), after)
        range_ = (
            re.match(r"bytes=(\d+)-(\d*)", self.headers.get("Range", "")) if film.ranges else None
        )
        start = int(range_[1]) if range_ else 0
        end = int(range_[2]) + 1 if range_ and range_[2] else len(film.body)
        if start >= len(film.body):
            return self._status(416, {"Content-Range": f"bytes */{len(film.body)}"})
        self._begin(206 if range_ else 200, start, film.content_type, end - start)
        if range_:
            self.send_header("Content-Range", f"bytes {start}-{end - 1}/{len(film.body)}")
        self.send_header("Accept-Ranges", "bytes")
        self.end_headers()
        if self.command == "GET":
            self._stream(name, film, start, end)
        return None

    def _stream(self, name: str, film: ServedVideo, start: int, end: int) -> None:
        stop = film.cuts.pop(0) if film.cuts else end
        sent = 0
        try:
            for at in range(start, min(stop, end), BLOCK):
                block = film.body[at : min(at + BLOCK, stop, end)]
                self.wfile.write(block)
                self.wfile.flush()
                sent += len(block)
                self.site.flowing[id(self)] = (name, sent)
                if film.speed:
                    time.sleep(len(block) / film.speed)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True
        finally:
            self.site.flowing.pop(id(self), None)
        if stop < end:
            self.close_connection = True

    def _text(self, text: str, kind: str = "text/html") -> None:
        body = text.encode()
        self._begin(200, 0, f"{kind}; charset=utf-8", len(body))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def _status(self, status: int, headers: dict[str, str] | None = None) -> None:
        self._begin(status, 0, "text/plain", 0)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()

    def _begin(self, status: int, start: int, kind: str, length: int) -> None:
        self.site.hits.append(Hit(self.path, start, status))
        self.site.cookies.append(self.headers.get("Cookie", ""))
        self.site.authorizations.append(self.headers.get("Authorization", ""))
        self.send_response(status, HTTPStatus(status).phrase)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(length))


@contextmanager
def video_site() -> Iterator[VideoSite]:
    """Run the site until the end of the block."""
    handler = type("SiteHandler", (Handler,), {})
    with serving(handler) as address:
        handler.site = VideoSite(address)  # type: ignore[attr-defined]
        yield handler.site  # type: ignore[attr-defined]


def _tag(name: str) -> str:
    return f'<video title="{name}"><source src="/films/{name}.mp4" type="video/mp4"></video>'


def _feed(site: VideoSite) -> str:
    items = "".join(
        f"<item><title>Film {name}</title><guid>guid-{name}</guid>"
        f'<enclosure url="{site.file(name)}" type="video/mp4"/></item>'
        for name in site.videos
    )
    channel = f"<channel><title>Feed</title>{items}</channel>"
    return f'<?xml version="1.0"?><rss version="2.0">{channel}</rss>'
