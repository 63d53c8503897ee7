"""The review page, served in this process on a free port of loopback."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

SECONDS = 60


@dataclass(frozen=True)
class RunningReview:
    """A served page."""

    address: str

    @property
    def base(self) -> str:
        return self.address.partition("/?")[0]

    @property
    def token(self) -> str:
        return self.address.partition("token=")[2]

    def ask(
        self, path: str, body: object = None, **headers: str
    ) -> tuple[int, bytes, dict[str, str]]:
        """Send a request with the token, unless a header replaces it; return its answer."""
        data = None if body is None else json.dumps(body).encode()
        known = {"x-review-token": self.token, "content-type": "application/json"}
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        request = Request(self.base + path, data, known | named)
        try:
            with urlopen(request, timeout=SECONDS) as answer:
                return answer.status, answer.read(), dict(answer.headers)
        except HTTPError as error:
            return error.code, error.read(), dict(error.headers)

    def json(self, path: str, body: object = None) -> Any:
        status, text, _ = self.ask(path, body)
        assert status == 200, text
        return json.loads(text)


@contextmanager
def running_review(work: Path) -> Iterator[RunningReview]:
    """Serve the review page of a work folder; skip the test without the extra."""
    uvicorn = pytest.importorskip("uvicorn", reason="needs the extra `review`")
    pytest.importorskip("fastapi", reason="needs the extra `review`")
    from brickfilm.review import open_review

    with open_review(work) as page:
        server = uvicorn.Server(uvicorn.Config(page.app, log_level="warning"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [page.listener]})
        thread.start()
        try:
            yield RunningReview(page.address)
        finally:
            server.should_exit = True
            thread.join(SECONDS)
