"""Render one self-contained HTML page that shows checkpoints side by side."""

from __future__ import annotations

import base64
import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import inf, isfinite, nan
from pathlib import Path
from typing import Any

from brickfilm.digest import without_digest
from brickfilm.files import atomic_write, parse_json
from finetune.config import Recipe
from finetune.sampling.measures import METRIC_TITLES
from finetune.training.loggers import read_metrics
from finetune.validation.svg import line_chart, overlaid_histograms

log = logging.getLogger(__name__)

VALIDATION_FILE, TRAINING_METRICS_FILE, PAGE_FILE = "about.json", "training.json", "index.html"
MAX_CHECKPOINTS = 8  # on the page: the first and the newest
MAX_BUCKETS_LISTED = 4
AXIS_LIMITS = {"frozen": (0.0, 1.0)}  # default: the range of the values


@dataclass(frozen=True)
class ValidationResult:
    """The files of one validation."""

    folder: Path
    about: Mapping[str, Any]

    @property
    def title(self) -> str:
        return f"step {self.about['step']:,}"

    @property
    def loss(self) -> float:
        """Return the loss at fixed clips, noise and timesteps."""
        return float(self.about["values"]["validation/loss"])

    @property
    def samples(self) -> list[dict[str, Any]]:
        return [self._with_source(s) for s in self.about["samples"] if not s["sweep"]]

    @property
    def sweep(self) -> list[dict[str, Any]]:
        """Return the samples of the first prompt at other guidance scales."""
        swept = (s for s in self.about["samples"] if s["sweep"] and "weights" not in s)
        return [self._with_source(s) for s in swept]

    @property
    def other_weights(self) -> list[dict[str, Any]]:
        """Return the prompts' samples by the weights that are not validated, if there are any."""
        return [self._with_source(s) for s in self.about["samples"] if "weights" in s]

    @property
    def ema_start_share(self) -> float | None:
        """Return the share of the initial weights in the EMA, if the run has one."""
        share: float | None = self.about["values"].get("validation/ema_start_share")
        return share

    def _with_source(self, sample: Mapping[str, Any]) -> dict[str, Any]:
        """Add the video as a data URL."""
        media = base64.b64encode((self.folder / sample["file"]).read_bytes()).decode()
        return {**sample, "source": f"data:video/mp4;base64,{media}"}


def write_page(out: Path, recipe: Recipe, *, until: float = inf) -> Path:
    """Write and return a run's `samples/index.html`, from its validations up to a step."""
    page = out / "samples" / PAGE_FILE
    with atomic_write(page) as stream:
        stream.write(render_page(out, recipe, until=until).encode())
    return page


def validation_results(out: Path, *, until: float = inf) -> list[ValidationResult]:
    """Return the validations of a run up to a step, oldest first."""
    files = sorted((out / "samples").glob(f"step-*/{VALIDATION_FILE}"))
    results = [ValidationResult(file.parent, about) for file in files if (about := _read(file))]
    return [result for result in results if result.about["step"] <= until]


def _read(file: Path) -> dict[str, Any]:
    """Return what is written about a validation; {} and a warning if it is damaged."""
    try:
        about = without_digest(parse_json(file.read_bytes()))
        return {**about, "step": int(about["step"])}
    except (OSError, ValueError, KeyError, TypeError) as error:
        log.warning("%s is damaged (%s): that validation is left out", file, error)
        return {}


def training_metrics(samples: Path) -> list[dict[str, float]]:
    """Return the measures of a run's training clips; none and a warning if they are damaged.

    samples: the run's folder of validations.
    """
    file = samples / TRAINING_METRICS_FILE
    try:
        clips = parse_json(file.read_bytes())
        return [{name: float(clip[name]) for name in METRIC_TITLES} for clip in clips]
    except (OSError, ValueError, KeyError, TypeError) as error:
        log.warning("%s is damaged (%r): training clips are left out", file, error)
        return []


def render_page(out: Path, recipe: Recipe, *, until: float = inf) -> str:
    """Return the page's HTML, with the validations up to a step."""
    from jinja2 import Environment, PackageLoader

    every = validation_results(out, until=until)
    rows = every[:1] + every[1:][-(MAX_CHECKPOINTS - 1) :]
    template = Environment(
        loader=PackageLoader("finetune.validation", "templates"), autoescape=True
    ).get_template("validation.html.jinja")
    return template.render(
        name="/".join(out.parts[-2:]),
        recipe=json.dumps(recipe.as_dict(), indent=2),
        summary=recipe_summary(recipe, rows[-1].ema_start_share),
        init=recipe.init,
        weights=weights_name(recipe.validation.weights, recipe),
        rows=rows,
        hidden=len(every) - len(rows),
        prompts=rows[-1].samples,
        curves=_curves(out, every, until),
        charts=_charts(out, rows[-1]),
        sweep=rows[-1].sweep,
        other=rows[-1].other_weights,
    )


def weights_name(weights: str, recipe: Recipe) -> str:
    """Return the words for the "ema" or "raw" weights of a run."""
    return "EMA weights" if weights == "ema" and recipe.optimizer.ema else "trained weights"


def recipe_summary(recipe: Recipe, ema_start_share: float | None = None) -> dict[str, str]:
    """Return the main settings of a recipe as labelled texts.

    ema_start_share: of the initial weights in the EMA.
    """
    validation, schedule = recipe.validation, recipe.schedule
    batches = [f"{b.batch_size} x {_frames(b.frames)} at {b.resolution}" for b in recipe.buckets]
    more = len(batches) - MAX_BUCKETS_LISTED
    batches[MAX_BUCKETS_LISTED:] = [f"{more} more"] if more > 0 else []
    return {
        "Data": recipe.dataset,
        "Initial weights": "random" if recipe.init == "random" else recipe.init,
        "Steps": f"{recipe.steps:,}",
        "Batches": ", ".join(batches),
        "Learning rate": f"{schedule.kind.replace('_', ' ')}, at most {schedule.peak:g}",
        "EMA": _ema_summary(recipe, ema_start_share),
        "Sampled weights": weights_name(validation.weights, recipe),
        "Samples": f"{_frames(validation.frames)} of {validation.height}x{validation.width}, "
        f"{validation.steps} steps, guidance {validation.guidance:g}",
    }


def _ema_summary(recipe: Recipe, start: float | None) -> str:
    optimizer = recipe.optimizer
    if not optimizer.ema:
        return "none"
    warmup = " after a warm-up" if optimizer.ema_warmup else ""
    left = "" if start is None else f"; {start:.1%} of it are the initial weights"
    return f"decay {optimizer.ema:g}{warmup}{left}"


def _frames(count: int) -> str:
    return f"{count} frames" if count > 1 else "one frame"


def _curves(out: Path, every: Sequence[ValidationResult], until: float) -> list[str]:
    """Return charts of the validation loss and the training loss."""
    training = _training_loss(out / "metrics.jsonl", until=until)
    validation = _finite((float(result.about["step"]), result.loss) for result in every)
    return [
        line_chart(
            "validation loss", validation, note="fixed clips, noise and timesteps", markers=True
        ),
        line_chart("training loss", training, note="clips, noise and timesteps of each step"),
    ]


def _training_loss(file: Path, *, until: float = inf) -> list[tuple[float, float]]:
    """Read (step, loss) of all steps up to one."""
    points = _finite((float(line["step"]), line.get("loss", nan)) for line in read_metrics(file))
    return [(step, loss) for step, loss in points if step <= until]


def _finite(points: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
    """Drop points whose loss is NaN or infinite, as after a divergence."""
    return [(step, float(loss)) for step, loss in points if isfinite(loss)]


def _charts(out: Path, newest: ValidationResult) -> list[str]:
    """Return one chart per measure, of the newest samples over training clips."""
    clips = training_metrics(out / "samples")
    samples = [sample["measures"] for sample in newest.about["samples"] if not sample["sweep"]]
    return [
        overlaid_histograms(
            title, [c[name] for c in clips], [s[name] for s in samples], AXIS_LIMITS.get(name)
        )
        for name, title in METRIC_TITLES.items()
    ]
