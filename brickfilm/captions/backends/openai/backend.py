"""OpenAIBackend: any server that speaks Chat Completions."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from brickfilm.captions.backend import Capabilities, Service
from brickfilm.captions.backends.openai.batch import CaptionBatchService
from brickfilm.captions.backends.openai.client import Client
from brickfilm.captions.completion import CaptionStage
from brickfilm.errors import MissingApiKey


@dataclass(frozen=True, kw_only=True)
class OpenAIBackend:
    """Ask the OpenAI API, or any other Chat Completions server at `base_url`."""

    capabilities = Capabilities(json_schema=True, priced=True)

    def check(self, service: Service) -> None:
        """Raise MissingApiKey if there is no API key and no `base_url`."""
        read_api_key(service)

    @contextmanager
    def connect(self, service: Service) -> Iterator[Client]:
        import openai  # takes half a second

        api_key = read_api_key(service)
        with openai.OpenAI(
            api_key=api_key,
            base_url=service.base_url,
            timeout=service.timeout,
            max_retries=0,  # `call_with_retry` retries, and it alone
            http_client=openai.DefaultHttpxClient(proxy=service.proxy, timeout=service.timeout),
        ) as api:
            yield Client(service, api, api_key)

    @contextmanager
    def connect_batch(self, captioner: CaptionStage, work: Path) -> Iterator[CaptionBatchService]:
        with self.connect(captioner.service) as client:
            yield CaptionBatchService(client, captioner, work, captioner.known_prices)


def read_api_key(service: Service) -> str:
    """Read the API key from the environment; it is stored nowhere else.

    Raises MissingApiKey if the variable is empty and no `base_url` is set.
    """
    api_key = os.environ.get(service.api_key_env, "")
    if not api_key and service.base_url is None:
        raise MissingApiKey(
            f"no API key for model={service.model!r}: export {service.api_key_env}=..., or set "
            "base_url= to a server that needs none"
        )
    return api_key or "none"
