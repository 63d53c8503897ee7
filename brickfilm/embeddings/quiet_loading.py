"""Load models of `transformers` without its bars."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quiet_loading() -> Iterator[None]:
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
