"""Render the model card from a checkpoint's manifest and the run's validations."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from brickfilm.schema.cards import read_card_template
from brickfilm.schema.licences import hub_licence_id
from finetune.config import DEFAULT_PROMPTS, Recipe
from finetune.data.cache_layout import index_folder
from finetune.data.index import Index
from finetune.models.hub import is_hub_id
from finetune.sampling.measures import METRIC_TITLES
from finetune.validation.page import ValidationResult, recipe_summary, training_metrics

COMPARED_MEASURES = ("flicker", "motion", "sharpness")
DEVIATION_FACTOR = 1.5  # ratio to the training clips' mean, either way, that the card reports


def render_card(
    repo_id: str,
    manifest: Mapping[str, Any],
    recipe: Recipe,
    validations: Sequence[ValidationResult],
    *,
    parameters: int,
    encoders: Mapping[str, str],
    weights: str,
    licence: str | None,
) -> str:
    """Render the card; `validations` are the first and the last validation, or none.

    weights: a phrase that names the released ones.
    """
    from huggingface_hub import ModelCard

    card = ModelCard.from_template(
        card_data=_card_metadata(repo_id, recipe, licence),
        template_str=read_card_template("finetune", "model.md.jinja"),
        repo_id=repo_id,
        parameters=parameters,
        facts={**_facts(manifest, recipe, encoders), "weights": weights},
        validations=validations,
        rows=_sample_rows(repo_id, validations),
        losses=[result.loss for result in validations],
        recipe=json.dumps(recipe.as_dict(), indent=2),
        measures=[
            (METRIC_TITLES[name], *means)
            for result in validations[-1:]
            for name, means in measure_means(result).items()
        ],
        deviations=[line for result in validations[-1:] for line in find_deviations(result)],
        swept=bool(validations) and bool(validations[-1].sweep),
    )
    return re.sub(r"\n{3,}", "\n\n", str(card))


def measure_means(newest: ValidationResult) -> dict[str, tuple[float, float]]:
    """Return each measure's mean over training clips, and over the newest samples.

    Return nothing for a run on images only.
    """
    clips = training_metrics(newest.folder.parent)
    samples = [s["measures"] for s in newest.about["samples"] if not s["sweep"]]
    if not clips:
        return {}
    return {n: (fmean(c[n] for c in clips), fmean(s[n] for s in samples)) for n in METRIC_TITLES}


def find_deviations(newest: ValidationResult) -> list[str]:
    """Describe the measures of the newest samples that deviate from the training clips."""
    means = measure_means(newest)
    ratios = {n: means[n][1] / means[n][0] for n in COMPARED_MEASURES if n in means and means[n][0]}
    return [
        f"Its samples have {ratio:.2g} times the {METRIC_TITLES[name]} of training clips."
        for name, ratio in ratios.items()
        if not 1 / DEVIATION_FACTOR <= ratio <= DEVIATION_FACTOR
    ]


def _card_metadata(repo_id: str, recipe: Recipe, licence: str | None) -> Any:
    """Return the YAML metadata that the Hub reads."""
    from huggingface_hub import ModelCardData

    return ModelCardData(
        license=licence and (hub_licence_id(licence) or licence),
        language="en",
        library_name="brickfilm",
        pipeline_tag="text-to-video",
        tags=["video", "text-to-video", recipe.family],
        datasets=[recipe.dataset] if is_hub_id(recipe.dataset) else None,
        base_model=recipe.init if is_hub_id(recipe.init) else None,
        model_name=repo_id.split("/")[1],
    )


def _facts(
    manifest: Mapping[str, Any], recipe: Recipe, encoders: Mapping[str, str]
) -> dict[str, Any]:
    prompt = _in_one_line((recipe.validation.sampled_prompts or DEFAULT_PROMPTS)[0])
    return {
        "init": recipe.init,
        "family": recipe.family,
        "summary": recipe_summary(recipe),
        "step": manifest["step"],
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
    """Return the number of rows with a caption, or 0 if the run's index is gone or of few rows."""
    folder = index_folder(recipe)
    is_whole = (folder / "index.json").is_file() and not recipe.streaming
    return len(Index.open(folder)) if is_whole else 0


def _sample_rows(repo_id: str, validations: Sequence[ValidationResult]) -> list[dict[str, Any]]:
    """Return each prompt with the addresses of its first and last video."""
    from huggingface_hub import constants

    if not validations:
        return []
    base = f"{constants.ENDPOINT}/{repo_id}/resolve/main/samples"
    return [
        {
            "prompt": _in_one_line(sample["prompt"]).replace("|", r"\|"),  # of a table cell
            "seed": sample["seed"],
            "before": f"{base}/{validations[0].folder.name}/{sample['file']}",
            "after": f"{base}/{validations[-1].folder.name}/{sample['file']}",
        }
        for sample in validations[-1].about["samples"]
        if not sample["sweep"]
    ]
