"""Open the report and the review page of many clips in headless Chromium, and print what it takes.

    python -m tests.benchmarks.report_page --clips 5000

The work folder is made by the real loop, ledger and final pass; clips share one real file, stills
are 300 drawn JPEGs of 640 x 360.
"""

from __future__ import annotations

import hashlib
import json
import random
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import typer
from PIL import Image as Picture

from brickfilm import Keep
from brickfilm.build.build_dataset import build
from brickfilm.engine.ledger import Ledger
from brickfilm.engine.stage import Answer, Stage
from brickfilm.records import Clip, Still
from brickfilm.report.titles import SCORE_MEANINGS
from tests.kit.browser import open_page
from tests.kit.footage import shots_bytes
from tests.kit.inline_executor import InlineExecutor
from tests.kit.review_server import running_review
from tests.kit.toy_stages import Cut, Names, Say

CLIPS_PER_VIDEO = 10
STILLS = 300
PATIENCE_MS = 300_000
WORDS = "a small figure of bricks walks over a grey plate " * 6
MEDIA = shots_bytes(24, width=320, height=180, block=6)
LONG_TASKS = """new PerformanceObserver((list) => {
  window.longest = Math.max(window.longest || 0, ...list.getEntries().map((e) => e.duration));
}).observe({ type: "longtask", buffered: true })"""


@dataclass(frozen=True)
class Dress(Stage[Clip, Clip]):
    """Give a clip a file, three stills, hashes and every score of the default stages."""

    input_types = (Clip,)
    provides = ("path", "stills", *SCORE_MEANINGS)

    def apply(self, item: Clip, answer: Answer) -> Iterable[Clip]:
        digest = hashlib.sha256(item.id.encode()).hexdigest()
        draw = random.Random(digest)
        numbers = [draw.randrange(STILLS) for _ in range(3)]
        yield replace(
            item,
            path=Path("clips/clip.mp4"),
            sha256=hashlib.sha256(MEDIA).hexdigest(),
            width=640,
            height=360,
            stills=tuple(
                Still(frame=n, at=n / 24, path=Path(f"stills/{number}.jpg"), sha256=digest)
                for n, number in enumerate(numbers)
            ),
            frame_hashes=(digest[:16], digest[16:32], digest[32:48]),
            scores={name: draw.random() for name in SCORE_MEANINGS},
        )


def make_folder(work: Path, clips: int) -> None:
    """Build a work folder of so many clips, a twelfth of them rejected."""
    with Ledger(work):  # marks the folder as one of ours
        pass
    for name in ("clips", "stills"):
        (work / name).mkdir(parents=True)
    (work / "clips" / "clip.mp4").write_bytes(MEDIA)
    for n in range(STILLS):
        noise = Picture.effect_noise((640, 360), 20 + n % 60)
        noise.save(work / "stills" / f"{n}.jpg", quality=85)
    source = Names([f"video {n:07}" for n in range(clips // CLIPS_PER_VIDEO)])
    stages = (Cut(pieces=CLIPS_PER_VIDEO), Dress(), Keep("motion", at_least=1 / 12), Say(WORDS))
    build(source, stages, workdir=work, executor=InlineExecutor())


@contextmanager
def measured_page(address: str, ready: str) -> Iterator[tuple[Any, dict[str, float]]]:
    """Open a page, wait until it shows `ready` and its thread is idle; yield it and the figures."""
    with open_page("about:blank", height=800) as (page, _):
        page.add_init_script(LONG_TASKS)
        started = time.monotonic()
        page.goto(address)
        page.locator(ready).first.wait_for(timeout=PATIENCE_MS)
        page.evaluate("new Promise((done) => requestIdleCallback(done))")
        yield page, {"interactive_s": time.monotonic() - started}


def figures_of(page: Any) -> dict[str, float]:
    """Return the longest task so far, the memory of the page, and its number of nodes."""
    client = page.context.new_cdp_session(page)
    client.send("Performance.enable")
    metrics = {m["name"]: m["value"] for m in client.send("Performance.getMetrics")["metrics"]}
    browser = page.context.browser.new_browser_cdp_session()
    processes = browser.send("SystemInfo.getProcessInfo")["processInfo"]
    renderers = [p["id"] for p in processes if p["type"] == "renderer"]
    return {
        "longest_task_s": page.evaluate("(window.longest || 0) / 1000"),
        "heap_mb": metrics["JSHeapUsedSize"] / 2**20,
        "renderer_mb": max(map(resident_megabytes, renderers)),
        "nodes": metrics["Nodes"],
    }


def resident_megabytes(process: int) -> float:
    status = Path(f"/proc/{process}/status").read_text().splitlines()
    (line,) = (line for line in status if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


def timed(page: Any, script: str) -> float:
    """Return the seconds of a script and of drawing what it changed."""
    started = time.monotonic()
    drawn = "await new Promise((done) => requestAnimationFrame(() => setTimeout(done)))"
    page.evaluate(f"(async () => {{ {script}; {drawn} }})()")
    return time.monotonic() - started


def report_figures(work: Path) -> dict[str, float]:
    with measured_page(f"file://{work}/report.html", "article img") as (page, figures):
        first = figures | figures_of(page)
        search = "form.words.value = 'video 0000042'; filter()"
        first["search_s"] = timed(page, search)
        first["sort_s"] = timed(
            page, "form.words.value = ''; form.sort.value = 'motion/-1'; filter()"
        )
        first["show_all_s"] = timed(page, "all.click()")
        first["jump_to_end_s"] = timed(page, "scrollTo(0, document.body.scrollHeight)")
        cards = page.locator("article").count()
        return first | {"cards": cards} | {f"all_{k}": v for k, v in figures_of(page).items()}


def review_figures(work: Path) -> dict[str, float]:
    with (
        running_review(work) as served,
        measured_page(served.address, "#stage video") as (page, figures),
    ):
        return figures | figures_of(page) | {"next_s": timed(page, "go(1)")}


def main(
    clips: Annotated[int, typer.Option(min=CLIPS_PER_VIDEO)] = 5000,
    work: Annotated[Path | None, typer.Option(help="a folder made by an earlier run")] = None,
) -> None:
    """Print the figures of both pages as JSON."""
    with tempfile.TemporaryDirectory() as folder:
        place = work or Path(folder, "w")
        if not place.exists():
            make_folder(place, clips)
        size = (place / "report.html").stat().st_size / 2**20
        print(json.dumps({"clips": clips, "report_mb": round(size, 1)}))
        for name, measure in (("report", report_figures), ("review", review_figures)):
            rounded = {key: round(value, 2) for key, value in measure(place).items()}
            print(json.dumps({name: rounded}), flush=True)


if __name__ == "__main__":
    typer.run(main)
