"""Load a CLIP model of `transformers`, and embed pictures or texts with it."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from brickfilm.embeddings.model_loading import loading_model
from brickfilm.errors import Failed, ServiceRefused, UsageError
from brickfilm.schema.public_text import error_line

if TYPE_CHECKING:
    from PIL.Image import Image

DEFAULT_MODEL = "openai/clip-vit-large-patch14"
"""MIT; the model that LAION's aesthetic heads were trained on."""
PACKAGES = ("torch", "transformers")
Vectors = NDArray[np.float32]
"""Unit vectors, [n, d]."""


def check_packages() -> None:
    """Raise UsageError without the extra `scores`."""
    if missing := [name for name in PACKAGES if not importlib.util.find_spec(name)]:
        raise UsageError(f"CLIP needs {' and '.join(missing)}: pip install 'brickfilm[scores]'")


def image_encoder(name: str, device: str) -> Callable[[Sequence[Image]], Vectors]:
    """Load a model; return a function from RGB pictures to unit vectors.

    name: Hub id or folder, `id@revision` for a revision. Raise ServiceRefused if it cannot be
    loaded, or lacks weights.
    """
    model, processor, _ = _load(name, device)

    def encode(pictures: Sequence[Image]) -> Vectors:
        inputs = processor(images=list(pictures), return_tensors="pt")
        return _unit_vectors(model.device, model.vision_model, model.visual_projection, inputs)

    return encode


def text_encoder(name: str, device: str) -> Callable[[Sequence[str]], Vectors]:
    """Load a model as `image_encoder`; return a function from texts to unit vectors.

    A text ends where the model's context does (77 tokens): what is behind is not read.
    """
    model, _, tokenizer = _load(name, device)
    longest = model.config.text_config.max_position_embeddings

    def encode(texts: Sequence[str]) -> Vectors:
        settings = {"padding": True, "truncation": True, "max_length": longest}
        inputs = tokenizer(list(texts), return_tensors="pt", **settings)
        inputs.pop("token_type_ids", None)  # of tokenizers of other models
        return _unit_vectors(model.device, model.text_model, model.text_projection, inputs)

    return encode


def _unit_vectors(device: Any, tower: Any, projection: Any, inputs: Any) -> Vectors:
    import torch

    try:
        with torch.inference_mode():
            vectors = projection(tower(**inputs.to(device)).pooler_output).float().cpu().numpy()
    except RuntimeError as error:
        problem = error_line(error, 300)
        reason = "out of memory" if "memory" in problem else "model error"
        raise Failed(f"CLIP: {problem}: lower batch_size", reason=reason) from error
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


@lru_cache(maxsize=1)
def _load(name: str, device: str) -> tuple[Any, Any, Any]:
    """Return the model in float32, its image processor and its tokenizer."""
    import torch
    from transformers import AutoTokenizer, CLIPImageProcessorPil, CLIPModel

    folder, _, revision = name.partition("@")
    source = {"revision": revision} if revision else {}
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    with loading_model(name, "CLIP"):
        model, found = CLIPModel.from_pretrained(
            folder, dtype=torch.float32, output_loading_info=True, **source
        )
        processor = CLIPImageProcessorPil.from_pretrained(folder, **source)
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False, **source)
        model = model.to(device).eval()
    if lacking := sorted(map(str, [*found["missing_keys"], *found["mismatched_keys"]])):
        raise ServiceRefused(
            f"model={name!r} has no CLIP weights for {lacking[0]} and {len(lacking) - 1} others, "
            f"which would be random: give a model such as {DEFAULT_MODEL}"
        )
    return model, processor, tokenizer
