"""A real Chat Completions server: `transformers serve` with a tiny random model."""

from __future__ import annotations

import importlib.util
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from brickfilm.engine.ledger import spend_frame
from brickfilm.stages import GPT4oCaptioner
from tests.kit.captions import AddImages, ClipSource, count_results, run_captions
from tests.kit.servers.tiny_llava import write_tiny_llava

pytestmark = pytest.mark.slow

LACKING = [m for m in ("fastapi", "uvicorn", "transformers") if not importlib.util.find_spec(m)]


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[str, str]]:
    """Yield the server's URL and the model's name."""
    if LACKING:
        pytest.skip(f"transformers serve needs {', '.join(LACKING)}: pip install 'brickfilm[dev]'")
    model = str(write_tiny_llava(tmp_path / "llava"))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [Path(sys.executable).with_name("transformers"), "serve", model]
    settings = ["--host", "127.0.0.1", "--port", str(port), "--device", "cpu"]
    quiet = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    log = (tmp_path / "serve.log").open("wb")
    with subprocess.Popen([*command, *settings], env=quiet, stdout=log, stderr=log) as server:
        try:
            wait_until_up(f"http://127.0.0.1:{port}/health", tmp_path / "serve.log")
            yield f"http://127.0.0.1:{port}/v1", model
        finally:
            server.terminate()
            log.close()


def wait_until_up(address: str, log: Path) -> None:
    for _ in range(480):
        with suppress(urllib.error.URLError, ConnectionError), urllib.request.urlopen(address):
            return
        time.sleep(0.25)
    pytest.fail(f"the server did not start:\n{log.read_text()[-2000:]}")


def test_a_real_server_reads_our_requests_and_its_gibberish_is_no_caption(
    served: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address, model = served
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)  # not needed with base_url
    stage = GPT4oCaptioner(
        base_url=address, model=model, max_tokens=16, image_size=64, timeout=60, concurrency=2
    )
    run = run_captions(tmp_path / "w", ClipSource(2, tmp_path / "w"), AddImages(), stage)
    ends = count_results(run, "GPT4oCaptioner")
    print(dict(ends))
    assert ends.total() == 4
    assert set(ends) <= {"done", "failed: malformed answer"}  # read, answered, paid; not JSON
    assert all(item.caption.status == "truncated" for item in run.finished)
    spend = spend_frame(tmp_path / "w")
    assert spend.requests.sum() >= 4
    assert spend.input_tokens.sum() > 4 * 1000  # the prompt and the pictures arrived
    assert spend.output_tokens.sum() > 0
