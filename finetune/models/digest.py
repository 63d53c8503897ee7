"""A name for a network: what it holds, not where it came from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

import torch
from torch import nn

SESSION_KEYS = ("_name_or_path", "_diffusers_version", "transformers_version")


def weights_digest(network: nn.Module, config: Mapping[str, object], *extra: str) -> str:
    """sha256 over the configuration, every tensor with its name and dtype, and any extra text."""
    known = {key: value for key, value in config.items() if key not in SESSION_KEYS}
    digest = hashlib.sha256(json.dumps(known, sort_keys=True, default=str).encode())
    for name, tensor in sorted(network.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    for text in extra:
        digest.update(text.encode())
    return digest.hexdigest()
