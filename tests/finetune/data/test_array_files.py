"""A damaged header of a `.npy` file is a ValueError, whatever NumPy's parser makes of it."""

from __future__ import annotations

import random
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from finetune.data.array_files import map_array


@pytest.mark.filterwarnings("ignore")
def test_any_damaged_header_is_one_kind_of_error(tmp_path: Path) -> None:
    file, draw = tmp_path / "keys.npy", random.Random(5)
    np.save(file, np.zeros(3, dtype=[("key", "<u8"), ("shard", "S9")]))
    whole = file.read_bytes()
    for at in range(96):
        for value in (*b"(\\", draw.randrange(256)):
            file.write_bytes(whole[:at] + bytes([value]) + whole[at + 1 :])
            with suppress(ValueError):
                map_array(file)
    for size in range(len(whole)):
        file.write_bytes(whole[:size])
        with pytest.raises(ValueError, match=r"\S"):
            map_array(file)
    file.write_bytes(b"PK\x03\x04" + whole[4:])
    with pytest.raises(ValueError, match="header is damaged"):
        map_array(file)
