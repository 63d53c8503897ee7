"""The demo in a real browser: type, generate, and see a video that plays."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from finetune.sampling import SampleRequest
from tests.kit import ROOT
from tests.kit.browser import open_page, scrolls_sideways
from tests.kit.ranks import free_port
from tests.kit.toy_model import PROMPT

PLAYS = (
    "() => { const v = document.querySelector('#video video');"
    " return v && v.readyState >= 2 && v.videoWidth === 48 && v.currentTime > 0 }"
)
pytestmark = pytest.mark.slow


@contextmanager
def served(words: list[str], folder: Path) -> Iterator[str]:
    """A page, served by a Python that starts in a folder with these words; its address."""
    pytest.importorskip("gradio")
    port = str(free_port())
    environment = {n: v for n, v in os.environ.items() if n != "PYTHONPATH"}
    environment |= {"GRADIO_SERVER_PORT": port, "GRADIO_ANALYTICS_ENABLED": "False"}
    server = subprocess.Popen(
        [sys.executable, *words], cwd=folder, env={**environment, "OMP_NUM_THREADS": "1"}
    )
    try:
        wait_for(f"http://127.0.0.1:{port}/", server)
        yield f"http://127.0.0.1:{port}/"
    finally:
        server.terminate()
        server.wait(20)


def wait_for(address: str, server: subprocess.Popen[bytes]) -> None:
    for _ in range(240):
        assert server.poll() is None, "the demo ended by itself"
        with suppress(OSError), urllib.request.urlopen(address, timeout=5):
            return
        time.sleep(0.5)
    raise AssertionError("the demo did not answer within two minutes")


def generate(page: Any, prompt: str) -> None:
    page.fill("#prompt textarea", prompt)
    page.click("#generate")


def test_type_generate_and_see_a_playing_video(toy_model: Path, tmp_path: Path) -> None:
    out = tmp_path / "made"
    words = ["-m", "finetune", "demo", "--model", str(toy_model), "--out", str(out)]
    with served(words, ROOT) as address, open_page(address, width=400) as (page, requests):
        generate(page, PROMPT)
        page.locator("#video video").wait_for(timeout=90_000)
        page.wait_for_function(PLAYS, timeout=60_000)
        assert not scrolls_sideways(page)
        generate(page, "   ")
        page.get_by_text("the prompt is empty").first.wait_for(timeout=30_000)
        page.reload()
        page.locator("#made video").wait_for(timeout=30_000)
        assert not [r for r in requests if not r.startswith((address, "data:", "blob:"))]
    assert len(list(out.glob("*.mp4"))) == 1


def test_an_emptied_field_is_as_the_model_has_it_and_a_bad_picture_is_named(
    toy_model: Path, tmp_path: Path
) -> None:
    out, bad = tmp_path / "made", tmp_path / "bad.png"
    bad.write_text("no picture")
    words = ["-m", "finetune", "demo", "--model", str(toy_model), "--out", str(out)]
    with served(words, ROOT) as address, open_page(address) as (page, _):
        page.get_by_label("Seed").fill("")
        generate(page, PROMPT)
        page.wait_for_function(PLAYS, timeout=90_000)
        page.get_by_text("Start image").click()
        page.locator("#picture input[type=file]").set_input_files(bad)
        page.locator("#picture img").wait_for(state="attached", timeout=30_000)
        generate(page, PROMPT)
        page.get_by_text("bad.png' cannot be read as an image").first.wait_for(timeout=30_000)
    (sidecar,) = out.glob("*.json")
    assert json.loads(sidecar.read_text())["request"]["seed"] == SampleRequest(prompt=PROMPT).seed
    assert not list(out.glob("*.png"))  # what cannot be used is not kept


def test_a_space_runs_from_its_own_folder(toy_model: Path, tmp_path: Path) -> None:
    space = export(tmp_path / "space", toy_model)
    with served(["app.py"], space) as address, open_page(address) as (page, _):
        generate(page, PROMPT)
        page.wait_for_function(PLAYS, timeout=90_000)
    assert len(list((space / "samples").glob("*.mp4"))) == 1


def export(folder: Path, model: str | Path) -> Path:
    words = ["-m", "finetune", "demo", "--model", str(model), "--export-space", str(folder)]
    subprocess.run([sys.executable, *words], cwd=ROOT, check=True)
    return folder
