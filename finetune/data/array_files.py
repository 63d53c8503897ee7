"""Map arrays in `.npy` files that may be damaged."""

from __future__ import annotations

from pathlib import Path
from tokenize import TokenError
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray


def map_array(file: Path) -> NDArray[Any]:
    """Map an array; raise ValueError if the file is damaged, OSError if it cannot be opened.

    NumPy parses the header as Python, and raises whatever its parser does.
    """
    try:
        array: NDArray[Any] = np.load(file, mmap_mode="r")
        return array
    except (EOFError, SyntaxError, TokenError, TypeError, OverflowError, BadZipFile) as error:
        raise ValueError(f"its header is damaged: {error}") from error
