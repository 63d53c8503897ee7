"""Write the encoders and defaults beside a denoiser's weights: a self-contained model folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from finetune.models.stdit2.text_encoder import TextEncoder
from finetune.models.stdit2.vae import VAE
from finetune.sampling.sources import SAMPLING_FILE


def add_encoders(
    folder: Path,
    *,
    vae: VAE | str,
    text: TextEncoder | str,
    precision: str,
    defaults: Mapping[str, Any],
) -> None:
    """Write `sampling.json`, and the encoders that are not given by name.

    precision: of the training and validation. defaults: of the fields of a `SampleRequest`.
    """
    if isinstance(vae, VAE):
        vae.network.save_pretrained(folder / "vae")
    if isinstance(text, TextEncoder):
        text.network.save_pretrained(folder / "text_encoder")
        text.tokenizer.save_pretrained(folder / "text_encoder")
    about = {
        "vae": vae if isinstance(vae, str) else "vae",
        "text_encoder": text if isinstance(text, str) else "text_encoder",
        "precision": precision,
        "defaults": dict(defaults),
    }
    (folder / SAMPLING_FILE).write_text(json.dumps(about, indent=1) + "\n")
