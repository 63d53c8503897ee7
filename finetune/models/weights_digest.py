"""Digest a network's contents, independent of where it was loaded from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

import torch
from torch import nn

# and every key that begins with "_"
IGNORED_CONFIG_KEYS = ("transformers_version", "torch_dtype", "dtype", "architectures")


def weights_digest(network: nn.Module, config: Mapping[str, object], *extra: str) -> str:
    """Return sha256 over the configuration, every tensor with name and dtype, and `extra` texts."""
    relevant = {
        k: v for k, v in config.items() if k not in IGNORED_CONFIG_KEYS and not k.startswith("_")
    }
    digest = hashlib.sha256(json.dumps(relevant, sort_keys=True, default=str).encode())
    for name, tensor in sorted(network.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    for text in extra:
        digest.update(text.encode())
    return digest.hexdigest()
