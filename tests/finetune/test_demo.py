"""The demo in a real browser: type, generate, and see a video that plays."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from shutil import which

import pytest

from finetune.demo import export_space
from tests.finetune.ranks import free_port
from tests.finetune.toymodel import PROMPT

ROOT = Path(__file__).parents[2]
CHROMIUM = which("chromium") or which("chromium-browser") or which("google-chrome")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
FLAGS += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
pytestmark = pytest.mark.slow


@pytest.fixture
def page_address(toy_model: Path, tmp_path: Path) -> Iterator[str]:
    """The demo, served by its own command."""
    pytest.importorskip("gradio")
    port = free_port()
    words = ["--model", str(toy_model), "--port", str(port), "--out", str(tmp_path / "made")]
    environment = {**os.environ, "GRADIO_ANALYTICS_ENABLED": "False", "OMP_NUM_THREADS": "1"}
    server = subprocess.Popen(
        [sys.executable, "-m", "finetune.demo", *words], cwd=ROOT, env=environment
    )
    address = f"http://127.0.0.1:{port}/"
    try:
        wait_for(address, server)
        yield address
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


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine: apt install chromium")
def test_type_generate_and_see_a_playing_video(page_address: str, tmp_path: Path) -> None:
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page(viewport={"width": 1280, "height": 1000})
        page.goto(page_address)
        page.fill("#prompt textarea", PROMPT)
        page.click("#generate")
        video = page.locator("#video video")
        video.wait_for(timeout=90_000)
        page.wait_for_function(
            "() => { const v = document.querySelector('#video video');"
            " return v && v.readyState >= 2 && v.videoWidth === 48 && v.currentTime > 0 }",
            timeout=60_000,
        )
        shot = Path(os.environ.get("DEMO_SCREENSHOT", tmp_path / "demo.png"))
        page.screenshot(path=str(shot))
        page.fill("#prompt textarea", "   ")
        page.click("#generate")
        page.get_by_text("the prompt is empty").first.wait_for(timeout=30_000)
        browser.close()
    assert len(list((tmp_path / "made").glob("*.mp4"))) == 1


def test_the_space_holds_what_it_needs(toy_model: Path, tmp_path: Path) -> None:
    export_space(tmp_path / "space", str(toy_model))
    names = {path.name for path in (tmp_path / "space").iterdir()}
    assert names == {"app.py", "requirements.txt", "README.md"}
    compile((tmp_path / "space" / "app.py").read_text(), "app.py", "exec")
    assert "sdk: gradio" in (tmp_path / "space" / "README.md").read_text()
