"""A second caption backend in one file: no server, no client, no JSON schema, and no bill.

It names pictures by their digests, so a caption that reached the wrong item shows.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from brickfilm.captions import Capabilities, ChatRequest, Completion, ModelInfo, Service, Usage
from brickfilm.errors import UsageError

WORDS = ("car", "house", "tree", "boat")


@dataclass
class WordConnection:
    """Write a caption out of the digest of the pictures; `asked` counts the requests."""

    model: str
    asked: list[ChatRequest] = field(default_factory=list)

    def complete(self, request: ChatRequest) -> Completion:
        self.asked.append(request)
        pictures = [jpeg for message in request.messages for jpeg in message.jpegs]
        reply = {"status": "described", "caption": caption_of(pictures)}
        usage = Usage(input=10 * len(pictures), output=8)
        return Completion(text=json.dumps(reply), model=self.model, usage=usage)

    def models(self) -> Sequence[ModelInfo]:
        return [ModelInfo(id="words")]


@dataclass(frozen=True, kw_only=True)
class WordBackend:
    """Need a model called 'words'; `opened` has the connection of each worker."""

    opened: list[WordConnection] = field(default_factory=list, compare=False, repr=False)
    capabilities = Capabilities(json_schema=False, priced=False)

    def check(self, service: Service) -> None:
        if service.model != "words":
            raise UsageError(f"model={service.model!r}: this backend has only 'words'")

    @contextmanager
    def connect(self, service: Service) -> Iterator[WordConnection]:
        self.opened.append(WordConnection(service.model))
        yield self.opened[-1]


def caption_of(pictures: Sequence[bytes]) -> str:
    digest = hashlib.sha256(b"".join(pictures)).hexdigest()
    return (
        f"A {WORDS[int(digest[0], 16) % 4]} stands in front of the house with the number {digest}."
    )
