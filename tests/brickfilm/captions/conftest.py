"""A caption server for every test of captions."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.kit.servers.openai import CaptionServer


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[CaptionServer]:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-none")
    with CaptionServer() as running:
        yield running
