"""Draw the pictures of the report and of the review page again: `python -m tests.screenshots`.

It builds the demo film, opens both pages in the system's Chromium and writes `docs/images/*.jpg`.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from brickfilm.cli import app
from tests.kit import ROOT
from tests.kit.browser import open_page
from tests.kit.review_server import running_review

SIZE = {"width": 1280, "height": 800}
SETTLING_MS = 1500
"""Until stills are decoded and the player's circle is gone."""
QUALITY = 70
"""Of the JPEGs, below 200 kB each."""


def draw(address: str, picture: Path, script: str, ready: str) -> None:
    """Write a picture of a page in the light scheme, after a script and once `ready` is seen."""
    with open_page(address, **SIZE) as (page, _):
        page.emulate_media(color_scheme="light")
        page.locator(ready).first.wait_for()
        page.evaluate(script)
        page.wait_for_timeout(SETTLING_MS)
        page.screenshot(path=picture, type="jpeg", quality=QUALITY)


def draw_all(work: Path, images: Path) -> None:
    """Draw the report and the review page of a built folder."""
    draw(f"file://{work}/report.html", images / "report.jpg", "0", "article img")
    at_a_second = """new Promise((done) => {
      document.querySelector("#next").click(); // the first has no caption
      const video = document.querySelector("#stage video");
      video.pause(); video.onseeked = done; video.currentTime = 1;
    })"""
    with running_review(work) as served:
        draw(served.address, images / "review.jpg", at_a_second, "#stage video")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        app(["demo", "--out", f"{folder}/demo"], standalone_mode=False)
        draw_all(Path(folder, "demo"), ROOT / "docs" / "images")
