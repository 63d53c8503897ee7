"""Run a scripted caption service: Chat Completions, Files and Batches over real HTTP.

    with CaptionServer(script=described) as server:
        GPT4oCaptioner(base_url=server.url, ...)
        server.requests, server.bill

A script is a function from a request to a reply. Every request is validated against the types that
the public client publishes for the API; an invalid one gets a 400 and is kept in `invalid`.
"""

from __future__ import annotations

import base64
import hashlib
import json
import random
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

import pydantic
from openai.types.chat.completion_create_params import CompletionCreateParamsNonStreaming

INPUT_PRICE, OUTPUT_PRICE = 2.50e-6, 10.00e-6
"""US cost_usd a token of gpt-4o."""
STILL_TOKENS = 255
_REQUEST = pydantic.TypeAdapter(CompletionCreateParamsNonStreaming)


@dataclass(frozen=True)
class ReceivedRequest:
    """One chat request as it arrived."""

    number: int
    body: Mapping[str, Any]
    headers: Mapping[str, str]

    @property
    def stills(self) -> list[bytes]:
        parts = [
            p for m in self.body["messages"] if isinstance(m["content"], list) for p in m["content"]
        ]
        urls = [p["image_url"]["url"] for p in parts if p["type"] == "image_url"]
        return [base64.b64decode(url.partition(",")[2]) for url in urls]

    @property
    def videos(self) -> list[bytes]:
        """Videos as vLLM and SGLang take them, which are no part of the public API."""
        lists = [m["content"] for m in self.body["messages"] if isinstance(m["content"], list)]
        urls = [p["video_url"]["url"] for c in lists for p in c if p["type"] == "video_url"]
        return [base64.b64decode(url.removeprefix("data:video/mp4;base64,")) for url in urls]

    @property
    def digest(self) -> str:
        """Digest of the stills as sent, in their order."""
        return digest_of_stills(self.stills)

    @property
    def text(self) -> str:
        """All text of the request."""
        return "\n".join(_words(m["content"]) for m in self.body["messages"])

    @property
    def is_image(self) -> bool:
        return len(self.stills) == 1

    @property
    def is_revision(self) -> bool:
        return any(m["role"] == "assistant" for m in self.body["messages"])


@dataclass(frozen=True)
class Charge:
    """A reply that was charged: the stills of its request, and True if it was malformed."""

    digest: str
    malformed: bool


@dataclass(frozen=True)
class ModelReply:
    """A reply of the model, charged."""

    content: str | None
    finish: str = "stop"
    refusal: str | None = None
    choices: int = 1
    output_tokens: int = 60


@dataclass(frozen=True)
class ErrorReply:
    """An error of the service, not charged."""

    status: int
    code: str | None = None
    message: str = "scripted"
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class LostReply:
    """A charged reply that never arrives: the connection is closed after `seconds`."""

    seconds: float = 0.0


@dataclass(frozen=True)
class RawReply:
    """Any bytes in place of a reply, not charged; with `pause`, one byte in so many seconds."""

    content: bytes
    kind: str = "application/json"
    status: int = 200
    pause: float = 0.0


Reply = ModelReply | ErrorReply | LostReply | RawReply
Script = Callable[[ReceivedRequest], Reply]


def digest_of_stills(stills: Sequence[bytes]) -> str:
    return hashlib.sha256(b"".join(stills)).hexdigest()[:12]


def answer(status: str, caption: str = "") -> ModelReply:
    return ModelReply(json.dumps({"status": status, "caption": caption}, ensure_ascii=False))


def described(request: ReceivedRequest) -> Reply:
    """A good caption that holds the digest of its stills, as the number of a house."""
    return answer(
        "described", f"A red car stops in front of house {request.digest} under a blue sky."
    )


RATE_LIMITED = ErrorReply(429, "rate_limit_exceeded", headers={"retry-after": "0.05"})
BROKEN = ErrorReply(500, "server_error")
MALFORMED = ModelReply('{"status": "described", "capt')


def faulty(
    faults: Sequence[tuple[float, Reply]], *, seed: int, otherwise: Script = described
) -> Script:
    """Return each fault at its rate, drawn independently for every request."""
    draw = random.Random(seed)
    lock = threading.Lock()

    def script(request: ReceivedRequest) -> Reply:
        with lock:
            lot = draw.random()
        for rate, reply in faults:
            if lot < rate:
                return reply
            lot -= rate
        return otherwise(request)

    return script


class CaptionServer:
    """The service on a port of its own.

    latency: seconds that a request takes; width: requests processed in parallel, so that the
    service's own limit is width / latency; polls: status requests of a batch until it ends; videos:
    take `video_url` parts, as vLLM does, instead of rejecting them, as the public API does.
    """

    def __init__(
        self,
        script: Script = described,
        *,
        latency: float = 0.0,
        width: int = 256,
        polls: int = 1,
        key: str | None = None,
        port: int = 0,
        videos: bool = False,
    ) -> None:
        from tests.kit.servers.openai_batches import Batches

        self.script, self.latency, self.key, self.videos = script, latency, key, videos
        self.requests: list[ReceivedRequest] = []
        self.invalid: list[str] = []
        self.charged: list[Charge] = []
        self.bill = 0.0
        self.models: list[Mapping[str, Any]] = []
        self.models_pause = 0.0
        self.in_flight = 0
        self.max_in_flight = 0
        self.answered = 0
        self.batches = Batches(self, polls)
        self.lock = threading.RLock()
        self._slots = threading.BoundedSemaphore(width)
        self._http = _Server(("127.0.0.1", port), _handler(self))
        self.url = f"http://127.0.0.1:{self._http.server_port}/v1"

    def __enter__(self) -> Self:
        threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._http.shutdown()
        self._http.server_close()

    def chat(
        self, body: Mapping[str, Any], headers: Mapping[str, str], share: float = 1.0
    ) -> Reply:
        """Validate a request, call the script, and add up the bill."""
        if problem := validation_error(_without_videos(body) if self.videos else body):
            self.invalid.append(problem)
            return ErrorReply(400, "invalid_request_error", problem)
        with self.lock:
            request = ReceivedRequest(len(self.requests), body, headers)
            self.requests.append(request)
        reply = self.script(request)
        if isinstance(reply, ModelReply | LostReply):
            with self.lock:
                self.bill += share * cost_usd(request, reply)
                self.charged.append(Charge(request.digest, reply == MALFORMED))
        return reply

    @contextmanager
    def slot(self) -> Any:
        with self.lock:
            self.in_flight += 1
            self.max_in_flight = max(self.max_in_flight, self.in_flight)
        try:
            with self._slots:
                time.sleep(self.latency)
                yield
        finally:
            with self.lock:
                self.in_flight -= 1


def _without_videos(body: Mapping[str, Any]) -> Mapping[str, Any]:
    def kept(content: Any) -> Any:
        if isinstance(content, str):
            return content
        return [part for part in content if part["type"] != "video_url"]

    messages = [{**m, "content": kept(m["content"])} for m in body["messages"]]
    return {**body, "messages": messages}


def validation_error(body: Mapping[str, Any]) -> str:
    """Return what is invalid in a request by the API's published types; '' if nothing is."""
    unknown = set(body) - set(CompletionCreateParamsNonStreaming.__annotations__)
    unknown -= set(_inherited())
    if unknown:
        return f"unknown parameters {sorted(unknown)}"
    try:
        _walk(_REQUEST.validate_python(body))
    except pydantic.ValidationError as error:
        return str(error)
    return ""


def completion(body: Mapping[str, Any], reply: ModelReply, tokens: int) -> dict[str, Any]:
    """Return a reply as a Chat Completions object."""
    message = {"role": "assistant", "content": reply.content, "refusal": reply.refusal}
    choice = {"index": 0, "message": message, "finish_reason": reply.finish, "logprobs": None}
    return {
        "id": "chatcmpl-scripted",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": body["model"],
        "choices": [choice] * reply.choices,
        "usage": {
            "prompt_tokens": tokens,
            "completion_tokens": reply.output_tokens,
            "total_tokens": tokens + reply.output_tokens,
        },
    }


def input_tokens(request: ReceivedRequest) -> int:
    return len(request.text) // 4 + STILL_TOKENS * len(request.stills)


def cost_usd(request: ReceivedRequest, reply: ModelReply | LostReply) -> float:
    written = reply.output_tokens if isinstance(reply, ModelReply) else ModelReply("").output_tokens
    return input_tokens(request) * INPUT_PRICE + written * OUTPUT_PRICE


def _inherited() -> set[str]:
    names: set[str] = set()
    for base in getattr(CompletionCreateParamsNonStreaming, "__orig_bases__", ()):
        names |= set(getattr(base, "__annotations__", {}))
    return names


def _walk(value: Any) -> None:
    """Read every iterable, as they are validated only then."""
    if isinstance(value, Mapping):
        for inner in value.values():
            _walk(inner)
    elif not isinstance(value, str | bytes | int | float | None):
        for inner in value:
            _walk(inner)


def _words(content: Any) -> str:
    if isinstance(content, str):
        return content
    return "\n".join(part["text"] for part in content if part["type"] == "text")


class _Server(ThreadingHTTPServer):
    """Ignore clients that were killed."""

    daemon_threads = True
    request_queue_size = 256

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


def _handler(server: CaptionServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            content = self.rfile.read(int(self.headers.get("content-length", 0)))
            if not self._allowed():
                return
            if self.path == "/v1/chat/completions":
                self._chat(json.loads(content))
            else:
                self._batches("POST", content)

        def do_GET(self) -> None:
            if self.path == "/v1/models":
                time.sleep(server.models_pause)
                self._send(200, {"object": "list", "data": server.models})
            elif self._allowed():
                self._batches("GET", b"")

        def do_DELETE(self) -> None:
            if self._allowed():
                self._batches("DELETE", b"")

        def _allowed(self) -> bool:
            given = self.headers.get("authorization", "").removeprefix("Bearer ")
            if server.key is None or given == server.key:
                return True
            self._error(ErrorReply(401, "invalid_api_key", f"Incorrect API key provided: {given}"))
            return False

        def _chat(self, body: Mapping[str, Any]) -> None:
            with server.slot():
                reply = server.chat(body, dict(self.headers))
            match reply:
                case ModelReply():
                    tokens = input_tokens(ReceivedRequest(0, body, {}))
                    self._send(200, completion(body, reply, tokens))
                case ErrorReply():
                    self._error(reply)
                case RawReply():
                    self._raw(reply)
                case LostReply():
                    time.sleep(reply.seconds)
                    self.close_connection = True
            with server.lock:
                server.answered += 1

        def _raw(self, reply: RawReply) -> None:
            head = f"HTTP/1.1 {reply.status} x\r\ncontent-type: {reply.kind}\r\n"
            whole = f"{head}content-length: {len(reply.content)}\r\n\r\n".encode() + reply.content
            size = 1 if reply.pause else len(whole)
            for start in range(0, len(whole), size):
                self.wfile.write(whole[start : start + size])
                self.wfile.flush()
                time.sleep(reply.pause)

        def _batches(self, method: str, content: bytes) -> None:
            status, reply = server.batches.answer(
                method, self.path, content, self.headers.get("content-type", "")
            )
            if status:
                self._send(status, reply)
            else:
                self.close_connection = True

        def _error(self, error: ErrorReply) -> None:
            words = {
                "message": error.message,
                "type": "scripted",
                "param": None,
                "code": error.code,
            }
            self._send(error.status, {"error": words}, error.headers)

        def _send(self, status: int, reply: Any, headers: Mapping[str, str] | None = None) -> None:
            content = reply if isinstance(reply, bytes) else json.dumps(reply).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(content)))
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)
            self.wfile.flush()

        def log_message(self, format: str, *args: Any) -> None:
            """Log nothing."""

    return Handler
