"""A SpilledList reads as the list that it was made from, wherever its items are."""

from __future__ import annotations

import errno
import gc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brickfilm.engine.spilled_list import SpilledList
from brickfilm.errors import WorkdirUnusable


@given(st.lists(st.integers()), st.integers(1, 7), st.slices(20))
def test_it_equals_the_list(numbers: list[int], chunk: int, part: slice) -> None:
    spilled = SpilledList(Path("/tmp"), numbers, chunk=chunk)
    assert (len(spilled), list(spilled), spilled == numbers) == (len(numbers), numbers, True)
    assert spilled[part] == numbers[part]
    assert [spilled[n] for n in range(-len(numbers), len(numbers))] == numbers * 2
    assert list(reversed(spilled)) == numbers[::-1]


def test_items_may_be_added_while_others_are_read(tmp_path: Path) -> None:
    spilled = SpilledList(tmp_path, range(5), chunk=2)
    seen = []
    for number in spilled:
        seen.append(number)
        if number < 3:
            spilled.append(10 + number)
    assert seen[:5] == [0, 1, 2, 3, 4]
    assert list(spilled) == [0, 1, 2, 3, 4, 10, 11, 12]


def test_the_file_has_no_name_and_is_closed_with_the_list(tmp_path: Path) -> None:
    before = open_files()
    spilled = SpilledList(tmp_path, range(100), chunk=3)
    assert (list(tmp_path.iterdir()), open_files()) == ([], before + 1)
    del spilled
    gc.collect()
    assert open_files() == before


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_a_list_of_one_chunk_writes_nothing() -> None:
    assert list(SpilledList(Path("/does/not/exist"), range(5), chunk=5)) == [0, 1, 2, 3, 4]


def test_a_full_disk_is_an_error_with_a_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: object, **options: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("tempfile.TemporaryFile", full)
    with pytest.raises(WorkdirUnusable, match="make room"):
        SpilledList(tmp_path, range(5), chunk=2)


def test_an_index_outside_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(IndexError):
        SpilledList(tmp_path, range(5), chunk=2)[5]
