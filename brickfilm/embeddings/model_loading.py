"""Load models of `transformers`: without its bars, and with one error for whatever it raises."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from brickfilm.errors import ServiceRefused
from brickfilm.schema.public_text import error_line

MAX_REASON = 400
"""Characters of an error's text."""


@contextmanager
def loading_model(name: str, kind: str = "") -> Iterator[None]:
    """Hide bars, and raise ServiceRefused, which names the model, for any error within.

    kind: class of model that was wanted, for the message.
    """
    try:
        with hidden_bars():
            yield
    except Exception as error:  # a model's files may be anybody's; tokenizers raises Exception
        wanted, reason = f" as {kind}" if kind else "", error_line(error, MAX_REASON)
        raise ServiceRefused(f"model={name!r} cannot be loaded{wanted}: {reason}") from error


@contextmanager
def hidden_bars() -> Iterator[None]:
    """Hide the bars of weights that are loaded, which take seconds; downloads keep theirs."""
    from transformers.utils.logging import is_progress_bar_enabled

    were_shown = is_progress_bar_enabled()
    _show_bars(False)
    try:
        yield
    finally:
        _show_bars(were_shown)


def _show_bars(shown: bool) -> None:
    """Switch the bars of `transformers`, which switches those of downloads, and these back."""
    from huggingface_hub.utils.tqdm import (
        are_progress_bars_disabled,
        disable_progress_bars,
        enable_progress_bars,
    )
    from transformers.utils.logging import disable_progress_bar, enable_progress_bar

    are_downloads_hidden = are_progress_bars_disabled()
    with warnings.catch_warnings():  # where HF_HUB_DISABLE_PROGRESS_BARS decides
        warnings.simplefilter("ignore")
        (enable_progress_bar if shown else disable_progress_bar)()
        (disable_progress_bars if are_downloads_hidden else enable_progress_bars)()
