"""Captions from the command line alone: a scripted server, a real one, a model in the process."""

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

import pandas as pd
import pytest

from brickfilm.engine.ledger import spend_frame
from tests.kit.footage import shots_bytes
from tests.kit.servers.openai import CaptionServer
from tests.kit.servers.tiny_llava import write_tiny_llava
from tests.kit.tiny_vlms import write_tiny_qwen2_vl

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


@pytest.fixture
def films(tmp_path: Path) -> Path:
    """A folder with one video of one shot."""
    folder = tmp_path / "films"
    folder.mkdir()
    (folder / "one.mp4").write_bytes(shots_bytes(30, width=160, height=80))
    return folder


def captions_of(films: Path, work: Path, *options: str) -> pd.DataFrame:
    """Build at the command line, without a key of an API; return the clips."""
    command = [sys.executable, "-m", "brickfilm", "build", films, "--out", work, *options]
    quiet = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    quiet.pop("OPENAI_API_KEY", None)
    done = subprocess.run(command, env=quiet, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return pd.concat(pd.read_parquet(f) for f in (work / "dataset" / "clips").glob("*.parquet"))


def test_a_build_against_a_server_with_a_schema(films: Path, tmp_path: Path) -> None:
    with CaptionServer() as server:
        address = ("--captions", "my-llava", "--base-url", server.url, "--max-cost-usd", "0.01")
        clips = captions_of(films, tmp_path / "w", *address)
    assert len(clips) == 1
    assert "A red car stops" in clips.caption[0]
    assert server.invalid == []


def test_a_build_against_a_real_server_takes_its_prose(
    served: tuple[str, str], films: Path, tmp_path: Path
) -> None:
    address, model = served
    clips = captions_of(films, tmp_path / "w", "--captions", model, "--base-url", address)
    assert set(clips.caption_status) == {"described"}
    assert all(clips.caption)
    assert set(clips.score_prose_reply) == {1.0}
    spend = spend_frame(tmp_path / "w")
    assert spend.input_tokens.sum() > 2 * 2000  # of clip and image: prompt and pictures arrived
    assert (spend.output_tokens.sum() > 0, spend.settled.sum()) == (True, 0)


def test_a_build_with_a_model_in_its_own_process(films: Path, tmp_path: Path) -> None:
    if LACKING:
        pytest.skip(f"needs {', '.join(LACKING)}: pip install 'brickfilm[dev]'")
    model = write_tiny_qwen2_vl(tmp_path / "model")
    clips = captions_of(films, tmp_path / "w", "--captions", f"local:{model}", "--prompt", "bricks")
    assert set(clips.caption_status) == {"described"}
    assert all(clips.caption)
