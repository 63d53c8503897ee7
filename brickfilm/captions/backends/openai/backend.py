"""OpenAIBackend: any server that speaks Chat Completions."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from brickfilm.captions.backend import Capabilities, Service
from brickfilm.captions.backends.openai.batch import CaptionBatchService
from brickfilm.captions.backends.openai.client import Client
from brickfilm.captions.backends.openai.dialect import Dialect
from brickfilm.captions.backends.openai.event_loop import EventLoopThread
from brickfilm.captions.completion import CaptionStage
from brickfilm.errors import MissingApiKey, UsageError

if TYPE_CHECKING:
    import openai


@dataclass(frozen=True, kw_only=True)
class OpenAIBackend:
    """Ask the OpenAI API, or any other Chat Completions server at `base_url`."""

    @property
    def capabilities(self) -> Capabilities:
        address = os.environ.get("OPENAI_BASE_URL")  # as the client reads it
        return Capabilities(json_schema=True, priced=True, video=True, default_base_url=address)

    def check(self, service: Service) -> None:
        """Raise UsageError for an API key, an address or a proxy that no request can use."""
        _open_api(service)

    @contextmanager
    def connect(self, service: Service) -> Iterator[Client]:
        api = _open_api(service)
        with EventLoopThread() as loop:
            try:
                yield Client(service, api, loop, Dialect.for_json_mode(service.json_mode))
            finally:
                loop.run(api.close(), timeout=service.timeout)

    @contextmanager
    def connect_batch(self, captioner: CaptionStage, work: Path) -> Iterator[CaptionBatchService]:
        with self.connect(captioner.service) as client:
            yield CaptionBatchService(client, captioner, work, captioner.known_prices)


def _open_api(service: Service) -> openai.AsyncOpenAI:
    import openai  # takes half a second

    _check_address(service.base_url)
    api_key = _read_api_key(service)
    try:
        return openai.AsyncOpenAI(
            api_key=api_key,
            base_url=service.base_url,
            timeout=service.timeout,
            max_retries=0,  # `call_with_retry` retries, and it alone
            http_client=openai.DefaultAsyncHttpxClient(
                proxy=service.proxy, timeout=service.timeout
            ),
        )
    except Exception as error:  # noqa: BLE001  of several libraries; also of a proxy's variable
        raise UsageError(_proxy_problem(error)) from None  # its text may hold a password


def _read_api_key(service: Service) -> str:
    """Read the API key from the environment; it is stored nowhere else.

    Raises MissingApiKey if the variable is empty and no `base_url` is set.
    """
    api_key = os.environ.get(service.api_key_env, "").strip()
    if not api_key and service.base_url is None:
        raise MissingApiKey(
            f"no API key for model={service.model!r}: export {service.api_key_env}=..., name "
            "a server that needs none with base_url= (--base-url), or take captions from files or "
            "none (--captions sidecar, --captions none)"
        )
    if not api_key.isascii() or not api_key.isprintable():
        raise UsageError(
            f"the API key in {service.api_key_env} has characters that no key has, such as a line "
            "break or a typographic quote: export it again"
        )
    return api_key or "none"


def _check_address(base_url: str | None) -> None:
    if base_url is None:
        return
    try:
        parts = urlsplit(base_url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname)
        secret = parts.password or parts.username
    except ValueError:
        usable, secret = False, None
    if secret:
        raise UsageError(
            "base_url= holds a user name or password, which would be written to logs: leave it "
            "out, and put the key into the variable that api_key_env= names"
        )
    if not usable:
        raise UsageError(
            f"base_url={base_url!r} is no address: write it as http://localhost:8000/v1"
        )


def _proxy_problem(error: Exception) -> str:
    if isinstance(error, ImportError):
        return (
            "a SOCKS proxy is set (proxy=, or HTTPS_PROXY or ALL_PROXY in the environment), which "
            "needs one package more: pip install socksio"
        )
    return (
        "the proxy (proxy=, or HTTPS_PROXY or ALL_PROXY in the environment) is no address: write "
        "it as http://host:port or socks5://host:port"
    )
