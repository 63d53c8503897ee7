"""Complete a folder of denoiser weights to a model that samples by itself."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from finetune.config import Flow, Recipe
from finetune.models.family import CaptionEncoder, LatentCodec
from finetune.sampling.sources import SAMPLING_FILE


def add_encoders(
    folder: Path,
    *,
    vae: LatentCodec | str,
    text: CaptionEncoder | str,
    precision: str,
    defaults: Mapping[str, Any],
    family: str = Recipe.family,
    flow: Flow | None = None,
) -> None:
    """Write `sampling.json`, and those encoders that are not given by name.

    precision: that of training and validation. defaults: of a request's fields.
    """
    if not isinstance(vae, str):
        vae.save(folder / "vae")
    if not isinstance(text, str):
        text.save(folder / "text_encoder")
    about = {
        "family": family,
        "vae": vae if isinstance(vae, str) else "vae",
        "text_encoder": text if isinstance(text, str) else "text_encoder",
        "precision": precision,
        "defaults": dict(defaults),
    }
    if flow and flow != Flow():
        about["flow"] = dataclasses.asdict(flow)
    (folder / SAMPLING_FILE).write_text(json.dumps(about, indent=1) + "\n")
