"""Guard what libraries build from the files of a model, which may be damaged or anybody's."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from os import PathLike
from typing import Any

import torch

from brickfilm.errors import BrickfilmError
from brickfilm.schema.public_text import error_line
from finetune.errors import WeightsError

DEPTH = re.compile("layers|num_res_blocks|depth$")
MAX_DEPTH = 1000
MAX_NUMBER = 1 << 20
"""Of a configuration; the largest of the published ones is UMT5's vocabulary of 256,384."""
MAX_REASON = 300


@contextmanager
def library_errors(source: str | PathLike[str]) -> Iterator[None]:
    """Raise WeightsError, which names the source, for any error of the libraries that read it."""
    try:
        yield
    except (BrickfilmError, MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:  # tokenizers raises Exception itself
        reason = error_line(error, MAX_REASON) or type(error).__name__
        if isinstance(error, KeyError | AttributeError | IndexError):
            reason = f"{type(error).__name__}: {reason}"
        remedy = "install that" if isinstance(error, ImportError) else "fetch it again"
        raise WeightsError(f"{source} cannot be loaded ({reason}): {remedy}") from error


def check_sizes(config: Mapping[str, Any], source: str | PathLike[str]) -> None:
    """Raise WeightsError for numbers so large that building the network would never end."""
    for name, value in config.items():
        if isinstance(value, Mapping):
            check_sizes(value, source)
        most = MAX_DEPTH if DEPTH.search(str(name)) else MAX_NUMBER
        for number in value if isinstance(value, list | tuple) else (value,):
            if isinstance(number, int) and number > most:
                raise WeightsError(
                    f"{source}: its configuration has {name} = {number:.6g}, and at most {most:,} "
                    "is read: fetch it again, or name another"
                )
