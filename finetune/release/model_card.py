"""The model card: what a checkpoint and its run say of themselves, as Markdown."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from statistics import fmean
from typing import Any

from finetune.config import DEFAULT_PROMPTS, Recipe
from finetune.data.cache_layout import index_folder
from finetune.data.index import Index
from finetune.sampling.measures import METRIC_TITLES
from finetune.validation.page import TRAINING_METRICS_FILE, ValidationResult, recipe_summary

HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
COMPARED_MEASURES = ("flicker", "motion", "sharpness")
DEVIATION_FACTOR = (
    1.5  # times the training clips' number, or less than one over it: named as a fault
)


def render_card(
    repo_id: str,
    manifest: Mapping[str, Any],
    recipe: Recipe,
    validations: Sequence[ValidationResult],
    *,
    parameters: int,
    encoders: Mapping[str, str],
    licence: str | None,
) -> str:
    """The card. `validations` is the first and the last validation, or nothing."""
    from huggingface_hub import ModelCard

    card = ModelCard.from_template(
        card_data=_card_metadata(repo_id, recipe, licence),
        template_str=read_template("model.md.jinja"),
        repo_id=repo_id,
        parameters=parameters,
        facts=_facts(manifest, recipe, encoders),
        validations=validations,
        rows=_sample_rows(repo_id, validations),
        losses=[c.about["values"]["validation/loss"] for c in validations],
        recipe=json.dumps(recipe.as_dict(), indent=2),
        numbers=[(METRIC_TITLES[n], *two) for n, two in measure_means(validations[-1]).items()]
        if validations
        else [],
        faults=find_deviations(validations[-1]) if validations else [],
        swept=bool(validations) and any(s["sweep"] for s in validations[-1].about["samples"]),
    )
    return re.sub(r"\n{3,}", "\n\n", str(card))


def measure_means(newest: ValidationResult) -> dict[str, tuple[float, float]]:
    """Of each measure the mean over training clips, and over the newest samples.

    Nothing if the run saw no clips, only pictures.
    """
    clips = json.loads((newest.folder.parent / TRAINING_METRICS_FILE).read_text())
    samples = [s["measures"] for s in newest.about["samples"] if not s["sweep"]]
    if not clips:
        return {}
    return {n: (fmean(c[n] for c in clips), fmean(s[n] for s in samples)) for n in METRIC_TITLES}


def find_deviations(newest: ValidationResult) -> list[str]:
    """Where the newest samples are far from training clips."""
    found = measure_means(newest)
    ratios = {n: found[n][1] / found[n][0] for n in COMPARED_MEASURES if n in found and found[n][0]}
    return [
        f"Its samples have {ratio:.2g} times the {METRIC_TITLES[name]} of training clips."
        for name, ratio in ratios.items()
        if not 1 / DEVIATION_FACTOR <= ratio <= DEVIATION_FACTOR
    ]


def read_template(name: str) -> str:
    """A template of `cards/`: inside the installed package, or at the top of the clone."""
    packaged = resources.files("finetune") / "cards" / name
    if packaged.is_file():
        return packaged.read_text(encoding="utf-8")
    return (Path(__file__).parents[2] / "cards" / name).read_text(encoding="utf-8")


def _card_metadata(repo_id: str, recipe: Recipe, licence: str | None) -> Any:
    """The YAML on top: what the Hub reads."""
    from huggingface_hub import ModelCardData

    return ModelCardData(
        license=licence,
        language="en",
        library_name="brickfilm",
        pipeline_tag="text-to-video",
        tags=["video", "text-to-video", "stdit2"],
        datasets=[recipe.dataset] if HUB_ID.fullmatch(recipe.dataset) else None,
        base_model=recipe.init if HUB_ID.fullmatch(recipe.init) else None,
        model_name=repo_id.split("/")[1],
    )


def _facts(
    manifest: Mapping[str, Any], recipe: Recipe, encoders: Mapping[str, str]
) -> dict[str, Any]:
    prompt = _in_one_line((recipe.validation.sampled_prompts or DEFAULT_PROMPTS)[0])
    return {
        "init": recipe.init,
        "told": recipe_summary(recipe),
        "step": manifest["step"],
        "ema": recipe.optimizer.ema,
        "prompt": {"shell": shlex.quote(prompt), "python": json.dumps(prompt, ensure_ascii=False)},
        **encoders,
        "dataset": recipe.dataset,
        "clips": _clips(recipe),
        "fingerprint": manifest["dataset"],
        "samples": manifest["samples"],
        "epochs": manifest["epoch"],
        "gpu_hours": manifest["gpu_hours"],
        "hardware": f"{manifest['world']} x {manifest.get('hardware', 'device not recorded')}",
        "precision": recipe.precision,
        "code": manifest["code"],
    }


def _in_one_line(text: str) -> str:
    return " ".join(text.split())


def _clips(recipe: Recipe) -> int:
    """Rows with a caption, where the run's index is still there."""
    folder = index_folder(recipe)
    return len(Index.open(folder)) if (folder / "index.json").is_file() else 0


def _sample_rows(repo_id: str, validations: Sequence[ValidationResult]) -> list[dict[str, Any]]:
    """Each prompt with the addresses of its first and last video."""
    from huggingface_hub import constants

    if not validations:
        return []
    base = f"{constants.ENDPOINT}/{repo_id}/resolve/main/samples"
    return [
        {
            "prompt": _in_one_line(sample["prompt"]).replace("|", r"\|"),  # it stands in a table
            "seed": sample["seed"],
            "before": f"{base}/{validations[0].folder.name}/{sample['file']}",
            "after": f"{base}/{validations[-1].folder.name}/{sample['file']}",
        }
        for sample in validations[-1].about["samples"]
        if not sample["sweep"]
    ]
