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

from finetune.config import Recipe
from finetune.data.cache_layout import index_folder
from finetune.data.index import Index
from finetune.sampling.examples import PROMPTS
from finetune.sampling.measures import NAMES
from finetune.validation.page import TRAINING, Checkpoint, facts

HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
RATIOS = ("flicker", "motion", "sharpness")
FAR = 1.5  # times the training clips' number, or less than one over it: named as a fault


def card_text(
    repo_id: str,
    manifest: Mapping[str, Any],
    recipe: Recipe,
    grid: Sequence[Checkpoint],
    *,
    parameters: int,
    encoders: Mapping[str, str],
    licence: str | None,
) -> str:
    """The card. `grid` is the first and the last validation, or nothing."""
    from huggingface_hub import ModelCard

    card = ModelCard.from_template(
        card_data=_data(repo_id, recipe, licence),
        template_str=template("model.md.jinja"),
        repo_id=repo_id,
        parameters=parameters,
        facts=_facts(manifest, recipe, encoders),
        grid=grid,
        rows=_rows(repo_id, grid),
        losses=[c.about["values"]["validation/loss"] for c in grid],
        recipe=json.dumps(recipe.as_dict(), indent=2),
        numbers=[(NAMES[n], *two) for n, two in numbers(grid[-1]).items()] if grid else [],
        faults=faults(grid[-1]) if grid else [],
        swept=bool(grid) and any(s["sweep"] for s in grid[-1].about["samples"]),
    )
    return re.sub(r"\n{3,}", "\n\n", str(card))


def numbers(newest: Checkpoint) -> dict[str, tuple[float, float]]:
    """Of each measure the mean over training clips, and over the newest samples.

    Nothing if the run saw no clips, only pictures.
    """
    clips = json.loads((newest.folder.parent / TRAINING).read_text())
    samples = [s["measures"] for s in newest.about["samples"] if not s["sweep"]]
    if not clips:
        return {}
    return {n: (fmean(c[n] for c in clips), fmean(s[n] for s in samples)) for n in NAMES}


def faults(newest: Checkpoint) -> list[str]:
    """Where the newest samples are far from training clips."""
    found = numbers(newest)
    ratios = {n: found[n][1] / found[n][0] for n in RATIOS if n in found and found[n][0]}
    return [
        f"Its samples have {ratio:.2g} times the {NAMES[name]} of training clips."
        for name, ratio in ratios.items()
        if not 1 / FAR <= ratio <= FAR
    ]


def template(name: str) -> str:
    """A template of `cards/`: inside the installed package, or at the top of the clone."""
    packaged = resources.files("finetune") / "cards" / name
    if packaged.is_file():
        return packaged.read_text(encoding="utf-8")
    return (Path(__file__).parents[2] / "cards" / name).read_text(encoding="utf-8")


def _data(repo_id: str, recipe: Recipe, licence: str | None) -> Any:
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
    asked = recipe.validation
    prompts = PROMPTS if asked.prompts == "eight" or not asked.prompts else asked.prompts
    prompt = _in_one_line(prompts[0])
    return {
        "init": recipe.init,
        "told": facts(recipe),
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


def _rows(repo_id: str, grid: Sequence[Checkpoint]) -> list[dict[str, Any]]:
    """Each prompt with the addresses of its first and last video."""
    from huggingface_hub import constants

    if not grid:
        return []
    base = f"{constants.ENDPOINT}/{repo_id}/resolve/main/samples"
    return [
        {
            "prompt": _in_one_line(sample["prompt"]).replace("|", r"\|"),  # it stands in a table
            "seed": sample["seed"],
            "before": f"{base}/{grid[0].folder.name}/{sample['file']}",
            "after": f"{base}/{grid[-1].folder.name}/{sample['file']}",
        }
        for sample in grid[-1].about["samples"]
        if not sample["sweep"]
    ]
