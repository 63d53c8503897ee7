"""The demo in a real browser: type, generate, and see a video that plays."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from finetune.sampling import SampleRequest
from finetune.sampling.images import file_digest
from tests.kit.browser import open_page, scrolls_sideways
from tests.kit.demo_server import DemoServer
from tests.kit.toy_model import PROMPT

PLAYS = (
    "() => { const v = document.querySelector('#video video');"
    " return v && v.readyState >= 2 && v.videoWidth === 48 && v.currentTime > 0 }"
)
pytestmark = pytest.mark.slow


def generate(page: Any, prompt: str) -> None:
    page.fill("#prompt textarea", prompt)
    page.click("#generate")


def test_type_generate_and_see_a_playing_video(served_demo: DemoServer) -> None:
    with open_page(served_demo.address, width=400) as (page, requests):
        generate(page, PROMPT)
        page.locator("#video video").wait_for(timeout=90_000)
        page.wait_for_function(PLAYS, timeout=60_000)
        assert not scrolls_sideways(page)
        generate(page, "   ")
        page.get_by_text("the prompt is empty").first.wait_for(timeout=30_000)
        page.reload()
        page.locator("#made video").first.wait_for(timeout=30_000)
        assert not [
            r for r in requests if not r.startswith((served_demo.address, "data:", "blob:"))
        ]
    assert len(list(served_demo.out.glob(f"{PROMPT.replace(' ', '-')}-*.mp4"))) == 1


def test_an_emptied_field_is_as_the_model_has_it_and_a_bad_picture_is_named(
    served_demo: DemoServer, tmp_path: Path
) -> None:
    bad, prompt = tmp_path / "bad.png", PROMPT.replace("0", "1")
    bad.write_text("no picture")
    with open_page(served_demo.address) as (page, _):
        page.get_by_label("Seed").fill("")
        generate(page, prompt)
        page.wait_for_function(PLAYS, timeout=90_000)
        page.get_by_text("Start image").click()
        page.locator("#picture input[type=file]").set_input_files(bad)
        page.locator("#picture img").wait_for(state="attached", timeout=30_000)
        generate(page, prompt)
        page.get_by_text("bad.png' cannot be read as an image").first.wait_for(timeout=30_000)
    (sidecar,) = served_demo.out.glob(f"{prompt.replace(' ', '-')}-*.json")
    assert json.loads(sidecar.read_text())["request"]["seed"] == SampleRequest(prompt=PROMPT).seed
    assert not list(
        served_demo.out.rglob(f"{file_digest(bad)[:16]}*")
    )  # what cannot be used is not kept


def test_a_space_runs_from_its_own_folder(served_space: DemoServer) -> None:
    with open_page(served_space.address) as (page, _):
        generate(page, PROMPT)
        page.wait_for_function(PLAYS, timeout=90_000)
    assert len(list(served_space.out.glob(f"{PROMPT.replace(' ', '-')}-*.mp4"))) == 1
