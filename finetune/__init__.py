"""Train text-to-video models on a dataset with brickfilm's columns: docs/finetune.md."""

from importlib.util import find_spec

if find_spec("torch") is None:
    raise ImportError(
        "finetune needs torch, which is not installed: pip install 'brickfilm[finetune]'"
    )
