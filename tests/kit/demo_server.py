"""The demo as its own process, and a visitor who sends it requests without a browser."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.kit import ROOT
from tests.kit.ranks import free_port


@dataclass(frozen=True)
class DemoServer:
    """A running demo: its address, the folders that it writes to, and its own folder."""

    address: str
    out: Path
    uploads: Path
    folder: Path

    def written(self) -> set[Path]:
        """Return the files of both folders."""
        found = (file for folder in (self.out, self.uploads) for file in folder.rglob("*"))
        return {file for file in found if file.is_file()}


@contextmanager
def demo_server(
    words: Sequence[str], folder: Path, *, out: Path, uploads: Path
) -> Iterator[DemoServer]:
    """Serve the page by a Python that starts in a folder with these words."""
    pytest.importorskip("gradio")
    port = str(free_port())
    environment = {n: v for n, v in os.environ.items() if n != "PYTHONPATH"}
    environment |= {"GRADIO_SERVER_PORT": port, "GRADIO_ANALYTICS_ENABLED": "False"}
    environment |= {"GRADIO_TEMP_DIR": str(uploads), "OMP_NUM_THREADS": "1"}
    server = subprocess.Popen([sys.executable, *words], cwd=folder, env=environment)
    address = f"http://127.0.0.1:{port}/"
    try:
        _wait_for(address, server)
        yield DemoServer(address, out, uploads, folder)
    finally:
        server.terminate()
        server.wait(20)


def _wait_for(address: str, server: subprocess.Popen[bytes]) -> None:
    for _ in range(240):
        assert server.poll() is None, "the demo ended by itself"
        with suppress(OSError), urllib.request.urlopen(address, timeout=5):
            return
        time.sleep(0.5)
    raise AssertionError("the demo did not answer within two minutes")


def export_space(folder: Path, model: Path) -> Path:
    words = ["-m", "finetune", "demo", "--model", str(model), "--export-space", str(folder)]
    subprocess.run([sys.executable, *words], cwd=ROOT, check=True)
    return folder


def fetch(url: str, body: object = None, kind: str = "application/json") -> tuple[int, str]:
    """Return the status and the text of an answer; a body is posted, bytes as they are."""
    data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": kind})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, answer.read().decode(errors="replace")
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode(errors="replace")


def upload(server: DemoServer, name: str, content: bytes) -> tuple[int, str]:
    """Post a file as the page does; return the status, and its path on the server."""
    line = uuid.uuid4().hex
    head = f'--{line}\r\nContent-Disposition: form-data; name="files"; filename="{name}"\r\n\r\n'
    body = head.encode() + content + f"\r\n--{line}--\r\n".encode()
    url = f"{server.address}gradio_api/upload"
    status, text = fetch(url, body, f"multipart/form-data; boundary={line}")
    return status, json.loads(text)[0] if status == 200 else text


def ask_call(server: DemoServer, data: list[Any]) -> dict[str, Any]:
    """Send the fields by the API's two requests; return {'error': ...} or {'output': ...}."""
    url = f"{server.address}gradio_api/call/generate"
    _, text = fetch(url, {"data": data})
    _, events = fetch(f"{url}/{json.loads(text)['event_id']}")
    kind, _, answer = events.strip().split("\n\n")[-1].partition("\ndata: ")
    assert kind in ("event: complete", "event: error"), events
    return {"output": json.loads(answer)} if kind == "event: complete" else json.loads(answer)


def ask_queue(server: DemoServer, data: list[Any]) -> dict[str, Any]:
    """Send the fields as the page's script does; return {'error': ...} or {'output': ...}."""
    _, config = fetch(f"{server.address}config")
    (index,) = (d["id"] for d in json.loads(config)["dependencies"] if d["api_name"] == "generate")
    session, url = uuid.uuid4().hex, f"{server.address}gradio_api/queue"
    fetch(f"{url}/join", {"data": data, "fn_index": index, "session_hash": session})
    _, events = fetch(f"{url}/data?session_hash={session}")
    messages = [json.loads(line[6:]) for line in events.splitlines() if line.startswith("data: ")]
    (done,) = (m for m in messages if m["msg"] == "process_completed")
    return {"output": done["output"]["data"]} if done["success"] else done["output"]
