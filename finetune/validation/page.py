"""The page that lays checkpoints side by side: one HTML file with everything inside."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import inf, isfinite, nan
from pathlib import Path
from typing import Any

from brickfilm.files import atomic_write
from finetune.config import Recipe
from finetune.sampling.measures import METRIC_TITLES
from finetune.training.loggers import read_metrics
from finetune.validation.svg import line_chart, overlaid_histograms

VALIDATION_FILE, TRAINING_METRICS_FILE, PAGE_FILE = "about.json", "training.json", "index.html"
MAX_CHECKPOINTS = 8  # checkpoints on the page: the first and the newest
MAX_BUCKETS_LISTED = 4  # of batches, named one by one
AXIS_LIMITS = {"frozen": (0.0, 1.0)}  # the ends of a chart's axis, where not those of the values


@dataclass(frozen=True)
class ValidationResult:
    """What one validation left behind."""

    folder: Path
    about: Mapping[str, Any]

    @property
    def title(self) -> str:
        return f"step {self.about['step']:,}"

    @property
    def loss(self) -> float:
        """At fixed clips, noise and timesteps."""
        return float(self.about["values"]["validation/loss"])

    @property
    def samples(self) -> list[dict[str, Any]]:
        return [self._shown(s) for s in self.about["samples"] if not s["sweep"]]

    @property
    def sweep(self) -> list[dict[str, Any]]:
        return [self._shown(s) for s in self.about["samples"] if s["sweep"]]

    def _shown(self, sample: Mapping[str, Any]) -> dict[str, Any]:
        media = base64.b64encode((self.folder / sample["file"]).read_bytes()).decode()
        return {**sample, "source": f"data:video/mp4;base64,{media}"}


def write_page(out: Path, recipe: Recipe, *, until: float = inf) -> Path:
    """Write `samples/index.html` of a run from what its validations left; gives it."""
    page = out / "samples" / PAGE_FILE
    with atomic_write(page) as stream:
        stream.write(render_page(out, recipe, until=until).encode())
    return page


def validation_results(out: Path, *, until: float = inf) -> list[ValidationResult]:
    """The validations of a run up to a step, oldest first."""
    files = sorted((out / "samples").glob(f"step-*/{VALIDATION_FILE}"))
    found = [ValidationResult(file.parent, json.loads(file.read_text())) for file in files]
    return [c for c in found if c.about["step"] <= until]


def render_page(out: Path, recipe: Recipe, *, until: float = inf) -> str:
    """The page as text, of what was seen up to a step."""
    from jinja2 import Environment, PackageLoader

    every = validation_results(out, until=until)
    rows = every[:1] + every[1:][-(MAX_CHECKPOINTS - 1) :]
    template = Environment(
        loader=PackageLoader("finetune.validation", "templates"), autoescape=True
    ).get_template("validation.html.jinja")
    return template.render(
        name="/".join(out.parts[-2:]),
        recipe=json.dumps(recipe.as_dict(), indent=2),
        facts=recipe_summary(recipe),
        init=recipe.init,
        averaged=bool(recipe.optimizer.ema),
        rows=rows,
        hidden=len(every) - len(rows),
        prompts=rows[-1].samples,
        curves=_curves(out, every, until),
        charts=_charts(out, rows[-1]),
        sweep=rows[-1].sweep,
    )


def recipe_summary(recipe: Recipe) -> dict[str, str]:
    """What a reader asks of a recipe first."""
    asked, schedule, average = recipe.validation, recipe.schedule, recipe.optimizer.ema
    batches = [f"{b.batch_size} x {_frames(b.frames)} at {b.resolution}" for b in recipe.buckets]
    batches[MAX_BUCKETS_LISTED:] = (
        [f"{len(batches[MAX_BUCKETS_LISTED:])} kinds more"] if batches[MAX_BUCKETS_LISTED:] else []
    )
    return {
        "Data": recipe.dataset,
        "Starts from": "random weights" if recipe.init == "random" else recipe.init,
        "Steps": f"{recipe.steps:,}",
        "Batches": ", ".join(batches),
        "Learning rate": f"{schedule.kind.replace('_', ' ')}, at most {schedule.peak:g}",
        "Weights shown": f"averaged, decay {average:g}" if average else "as they are",
        "Samples": f"{_frames(asked.frames)} of {asked.height}x{asked.width}, "
        f"{asked.steps} steps, guidance {asked.guidance:g}",
    }


def _frames(count: int) -> str:
    return f"{count} frames" if count > 1 else "one frame"


def _curves(out: Path, every: Sequence[ValidationResult], until: float) -> list[str]:
    """The validation loss, and the training loss beside it."""
    trained = _training_loss(out / "metrics.jsonl", until=until)
    validated = _finite((float(c.about["step"]), c.loss) for c in every)
    return [
        line_chart(
            "validation loss", validated, note="fixed clips, noise and timesteps", markers=True
        ),
        line_chart("training loss", trained, note="clips, noise and timesteps of each step"),
    ]


def _training_loss(file: Path, *, until: float = inf) -> list[tuple[float, float]]:
    """(step, loss) of every step up to one."""
    points = _finite((float(line["step"]), line.get("loss", nan)) for line in read_metrics(file))
    return [(step, loss) for step, loss in points if step <= until]


def _finite(points: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
    """Without those that no chart can show: a network that diverged has a loss of NaN."""
    return [(step, float(loss)) for step, loss in points if isfinite(loss)]


def _charts(out: Path, newest: ValidationResult) -> list[str]:
    """Each number of the newest samples over that of training clips."""
    clips = json.loads((out / "samples" / TRAINING_METRICS_FILE).read_text())
    ours = [sample["measures"] for sample in newest.about["samples"] if not sample["sweep"]]
    return [
        overlaid_histograms(
            title, [c[name] for c in clips], [s[name] for s in ours], AXIS_LIMITS.get(name)
        )
        for name, title in METRIC_TITLES.items()
    ]
