"""Read a file at a web address from any position, over broken connections."""

from __future__ import annotations

import http.client
import io
import time
import urllib.error
import urllib.request
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from brickfilm.errors import Failed, ItemError
from brickfilm.schema.public_text import public_url
from brickfilm.sources.base.public_addresses import PrivateAddressError

PAUSES = (0.5, 1.0, 2.0, 4.0)
"""Seconds before each new attempt in a row, after a broken connection or a busy server."""
SKIP_BYTES = 1 << 20
URL_CHARACTERS = "%/:?#[]@!$&'()*+,;=~"
"""What stays as it is in an address: lists also have spaces and letters that browsers escape."""
BUSY = (429, 500, 502, 503, 504)
USER_AGENT = "brickfilm"
REASONS = {401: "forbidden", 403: "forbidden", 404: "dead link", 410: "dead link"}
CONNECTION_ERRORS = (OSError, http.client.HTTPException)


class WebFile(io.RawIOBase):
    """A file that is requested when it is read: from the position on, until another is sought.

    authorization: header for the address's own host; a redirect does not take it along.
    """

    def __init__(self, url: str, *, authorization: str = "", timeout: float = 30.0) -> None:
        super().__init__()
        self.url = url
        self.has_ranges = False
        """True if the server sends parts of the file."""
        self._validator = ""
        self._authorization = authorization
        self._timeout = timeout
        self._size: int | None = None
        self._at = 0
        self._response: Any = None
        self._opener = _web_opener()

    @property
    def validator(self) -> str:
        """Return the file's ETag or date, '' if the server states none."""
        self._connect()
        return self._validator

    @property
    def size(self) -> int | None:
        """Return the file's bytes, or None if the server does not say."""
        self._connect()
        return self._size

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._at}.get(whence)
        if start is None:
            if self.size is None:
                raise self._failed("its server does not state the size", "no size")
            start = self.size
        if start + offset != self._at:
            self._disconnect()
            self._at = start + offset
        return self._at

    def readinto(self, buffer: Any) -> int:
        for pause in (*PAUSES, None):
            try:
                self._connect()
                count: int = self._response.readinto(buffer)
                if not count and self._size is not None and self._at < self._size and len(buffer):
                    raise ConnectionResetError("the connection ended early")
                self._at += count
                return count
            except CONNECTION_ERRORS as error:
                self._disconnect()
                if pause is None:
                    raise self._failed(str(error), "not fetched") from error
                time.sleep(pause)
        raise AssertionError("the last attempt returns or raises")

    def close(self) -> None:
        self._disconnect()
        super().close()

    def _disconnect(self) -> None:
        if self._response is not None:
            self._response.close()
            self._response = None

    def _connect(self) -> None:
        """Request the file from the position on, unless that is under way."""
        if self._response is not None:
            return
        if self._size is not None and self._at >= self._size:
            self._response = io.BytesIO()
            return
        response = self._request()
        self._note(response)
        if response.status != HTTPStatus.PARTIAL_CONTENT:
            left = self._at
            while left and (block := response.read(min(left, SKIP_BYTES))):
                left -= len(block)
        self._response = response

    def _request(self) -> Any:
        headers = {"User-Agent": USER_AGENT, "Range": f"bytes={self._at}-"}
        headers["Accept-Encoding"] = "identity"
        request = urllib.request.Request(quote(self.url, URL_CHARACTERS), headers=headers)
        if self._authorization:
            request.add_unredirected_header("Authorization", self._authorization)
        for pause in (*PAUSES, None):
            try:
                return self._opener.open(request, timeout=self._timeout)
            except urllib.error.HTTPError as error:
                error.close()
                if pause is None or error.code not in BUSY:
                    raise self._refused(error.code, error.reason) from error
                time.sleep(pause)
            except (*CONNECTION_ERRORS, ValueError) as error:  # ValueError: of the address
                cause = getattr(error, "reason", error)
                if isinstance(cause, PrivateAddressError):
                    raise self._failed(str(cause), "private address") from error
                raise self._failed(str(cause), "not fetched") from error
        raise AssertionError("the last attempt returns or raises")

    def _note(self, response: Any) -> None:
        """Note size and validator; raise Failed if the file is another one than before."""
        found = response.headers.get("ETag") or response.headers.get("Last-Modified") or ""
        self.has_ranges = response.status == HTTPStatus.PARTIAL_CONTENT
        if self.has_ranges:
            total = response.headers.get("Content-Range", "").rpartition("/")[2]
        else:
            total = response.headers.get("Content-Length", "")
        if self._validator not in ("", found):
            raise self._failed("it has changed during the download", "changed")
        self._validator = found
        self._size = int(total) if total.isdigit() else None

    def _refused(self, status: int, phrase: str) -> ItemError:
        reason = REASONS.get(status, "busy server" if status in BUSY else "not fetched")
        return self._failed(f"{status} {phrase}", reason)

    def _failed(self, message: str, reason: str) -> Failed:
        return Failed(f"{public_url(self.url)}: {message}", reason=reason)


def _web_opener() -> urllib.request.OpenerDirector:
    """Return an opener for http and https alone: a redirect leads to no file and no ftp."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPRedirectHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        urllib.request.UnknownHandler(),
    ):
        opener.add_handler(handler)
    return opener
