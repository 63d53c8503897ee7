"""pytest plugin: start a local Hub for the session, and point all clients to it.

huggingface_hub and datasets read their environment once, at import. So it is set here, before any
test module is imported, and every test (and every process that a test starts) talks to this server.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kit.servers.hub import HubServer

SERVER = pytest.StashKey[HubServer]()
FOLDER = pytest.StashKey[tempfile.TemporaryDirectory[str]]()


def pytest_configure(config: pytest.Config) -> None:
    folder = tempfile.TemporaryDirectory(prefix="hub-")
    server = HubServer(Path(folder.name, "blobs")).__enter__()
    config.stash[FOLDER], config.stash[SERVER] = folder, server
    os.environ.update(
        HF_ENDPOINT=server.url,
        HF_HOME=str(Path(folder.name, "home")),
        HF_HUB_DISABLE_XET="1",
        HF_HUB_DISABLE_TELEMETRY="1",
        HF_HUB_DISABLE_PROGRESS_BARS="1",
    )
    os.environ.pop("HF_TOKEN", None)


def pytest_unconfigure(config: pytest.Config) -> None:
    config.stash[SERVER].__exit__(None, None, None)
    config.stash[FOLDER].cleanup()


@pytest.fixture
def hub(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    """Return an empty Hub; HF_TOKEN is a token of the user 'maker' with write access."""
    from huggingface_hub import HfFileSystem

    server = request.config.stash[SERVER]
    server.reset()
    HfFileSystem.clear_instance_cache()  # it caches listings of the last test's repositories
    monkeypatch.setenv("HF_TOKEN", server.token("hf_maker", "maker"))
    yield server
    server.reset()
