"""While training: samples of the averaged weights at fixed noise, their numbers, and a page."""

from __future__ import annotations

from finetune.validation.validator import (
    Validator,
)

__all__ = ["Validator"]
