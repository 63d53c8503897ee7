"""Sample the EMA weights at fixed noise during training, and show checkpoints side by side."""

from finetune.validation.validator import Validator

__all__ = ["Validator"]
