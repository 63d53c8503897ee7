"""Serve the review page on loopback, to whoever has its token."""

from __future__ import annotations

import secrets
import signal
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from brickfilm.errors import UsageError, WorkdirBusy
from brickfilm.review.session import ReviewAct, ReviewConflict, ReviewSession

if TYPE_CHECKING:
    from fastapi import FastAPI, Request, Response

HOST = "127.0.0.1"
POLICY = "default-src 'none'; img-src 'self' data:; media-src 'self'; connect-src 'self'; "
HEADERS = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
TOKEN_HEADER = "x-review-token"


@dataclass(frozen=True)
class ReviewPage:
    """A page that waits for visitors: its address and the socket that it listens on."""

    app: FastAPI
    address: str
    """With the token; only who has it is answered."""
    listener: socket.socket

    def serve(self) -> None:
        """Answer requests until Ctrl-C, SIGTERM or SIGHUP."""
        import uvicorn

        config = uvicorn.Config(self.app, log_level="warning", timeout_graceful_shutdown=1)
        with _hangup_as_sigterm():
            uvicorn.Server(config).run(sockets=[self.listener])


@contextmanager
def _hangup_as_sigterm() -> Iterator[None]:
    """Let a closed terminal end the page as SIGTERM does, which uvicorn knows, unless by nohup."""
    is_main = threading.current_thread() is threading.main_thread()
    before = signal.getsignal(signal.SIGHUP)
    if not is_main or before is signal.SIG_IGN:
        yield
        return
    signal.signal(signal.SIGHUP, lambda *_: signal.raise_signal(signal.SIGTERM))
    try:
        yield
    finally:
        signal.signal(signal.SIGHUP, before)


@contextmanager
def open_review(work: Path, *, port: int = 0) -> Iterator[ReviewPage]:
    """Open the review page of a work folder on a port of loopback, 0 for any free one.

    Raise UsageError if the folder has no build, the extra is missing, or the port is taken.
    """
    _require_extra()
    session = ReviewSession(work)
    token = secrets.token_urlsafe(24)
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((HOST, port))
            listener.listen()  # a browser that is quicker than the server waits
        except (OSError, OverflowError) as error:
            raise UsageError(f"--port {port}: {error}: give another one, or none") from error
        number = listener.getsockname()[1]
        app = review_app(session, token=token, port=number)
        yield ReviewPage(app, f"http://{HOST}:{number}/?token={token}", listener)


def review_app(session: ReviewSession, *, token: str, port: int) -> FastAPI:
    """Return the web application: the page, the items, their media, and what people decide."""
    from fastapi import Body, FastAPI, HTTPException
    from fastapi.responses import FileResponse, HTMLResponse

    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    _guard(app, token, port)

    def page() -> Response:
        nonce = secrets.token_urlsafe(16)
        html = resources.files("brickfilm.review").joinpath("review.html").read_text("utf-8")
        policy = f"{POLICY}script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'"
        headers = {"Content-Security-Policy": f"{policy}; frame-ancestors 'none'"}
        return HTMLResponse(html.replace("{{nonce}}", nonce), headers=headers)

    def items() -> dict[str, Any]:
        return session.page_data()

    def act(decision: dict[str, Any] = Body()) -> dict[str, Any]:  # noqa: B008
        with _http_errors(HTTPException):
            return {"item": session.act(parse_act(decision)), "rates": session.rates()}

    def undo(decision: dict[str, Any] = Body()) -> dict[str, Any]:  # noqa: B008
        with _http_errors(HTTPException):
            item = session.undo(str(decision.get("reviewer", "")))
            return {"item": item, "rates": session.rates()}

    def media(item: str, still: int | None = None) -> Response:
        with _http_errors(HTTPException):
            return FileResponse(session.media(item, still))

    app.get("/", response_model=None)(page)
    app.get("/items", response_model=None)(items)
    app.post("/act", response_model=None)(act)
    app.post("/undo", response_model=None)(undo)
    app.get("/media/{item}", response_model=None)(media)
    return app


def parse_act(decision: dict[str, Any]) -> ReviewAct:
    """Return a decision from JSON; raise UsageError for fields or types that it does not have."""
    forms: dict[str, type | tuple[type, ...]] = {
        **dict.fromkeys(("item", "reviewer", "queue", "note"), str),
        **dict.fromkeys(("reject", "caption_wrong", "cut_wrong"), bool),
        "seen": int,
        "caption": (str, type(None)),
        "trim": (list, type(None)),
    }
    for name, value in decision.items():
        if name not in forms or not isinstance(value, forms[name]):
            raise UsageError(f"{name!r} of a decision cannot be {value!r}")
    trim = decision.get("trim")
    if trim is not None:
        if len(trim) != 2 or not all(type(frame) is int for frame in trim):
            raise UsageError(f"trim={trim!r}: give two frame numbers")
        trim = (trim[0], trim[1])
    try:
        return ReviewAct(**{**decision, "trim": trim})
    except TypeError as error:
        raise UsageError(f"a decision needs item, reviewer and queue ({error})") from error


def _guard(app: FastAPI, token: str, port: int) -> None:
    """Refuse requests of other pages, other names of this machine, and without the token."""
    from fastapi.responses import PlainTextResponse

    hosts = {f"{name}:{port}" for name in (HOST, "localhost")}
    origins = {f"http://{host}" for host in hosts}

    @app.middleware("http")
    async def check(
        request: Request, call_next: Callable[[Request], Awaitable[Response]]
    ) -> Response:
        given = request.query_params.get("token") or request.headers.get(TOKEN_HEADER) or ""
        origin = request.headers.get("origin")
        is_own = request.headers.get("host") in hosts and (origin is None or origin in origins)
        if not is_own or not secrets.compare_digest(given.encode(), token.encode()):
            text = "refused: open the address that `brickfilm review` printed"
            response: Response = PlainTextResponse(text, status_code=403)
        else:
            response = await call_next(request)
        response.headers.update(HEADERS)
        return response


@contextmanager
def _http_errors(error_class: Any) -> Iterator[None]:
    """Turn our errors into answers that the page shows."""
    try:
        yield
    except ReviewConflict as error:
        raise error_class(409, str(error)) from error
    except WorkdirBusy as error:
        raise error_class(423, f"a build is running: {error}") from error
    except UsageError as error:
        raise error_class(400, str(error)) from error


def _require_extra() -> None:
    try:
        import fastapi  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as error:
        raise UsageError(
            f"the review page needs {error.name}: pip install 'brickfilm[review]'"
        ) from error
