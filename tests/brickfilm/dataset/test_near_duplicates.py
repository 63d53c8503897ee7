"""The groups are those of comparing all pairs, on random and on adversarial hashes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from brickfilm.dataset import near_duplicates
from brickfilm.dataset.near_duplicates import (
    NEAR_DUPLICATE_BITS,
    UnionFind,
    covering_masks,
    group_hashes,
    near_duplicate_groups,
)

Clip = tuple[int, ...]
BASE = 0x0F0F0F0F0F0F0F0F
HASHES = st.integers(0, 2**64 - 1)


def informative(clip: Clip) -> bool:
    return bool(clip) and all(8 <= h.bit_count() <= 56 for h in clip)


def alike(a: Clip, b: Clip) -> bool:
    if len(a) != len(b) or not informative(a) or not informative(b):
        return False
    return all((x ^ y).bit_count() <= 8 for x, y in zip(a, b, strict=True))


def reference(ids: Sequence[str], clips: Sequence[Clip]) -> list[str]:
    """Compare all pairs, and relabel until nothing changes."""
    groups = list(ids)
    changed = True
    while changed:
        changed = False
        for i in range(len(clips)):
            for j in range(i):
                joined = ids[i] == ids[j] or alike(clips[i], clips[j])
                if joined and groups[i] != groups[j]:
                    groups[i] = groups[j] = min(groups[i], groups[j])
                    changed = True
    return groups


def grouped(ids: Sequence[str], clips: Iterable[Clip]) -> list[str]:
    return near_duplicate_groups(ids, [[f"{h:016x}" for h in clip] for clip in clips])


def quadratic(hashes: near_duplicates.Hashes) -> near_duplicates.Indices:
    """Compare all pairs of rows by numpy, and return the least row of each group."""
    bits = np.bitwise_count(hashes)
    bits = np.bitwise_count(hashes)
    usable = (bits.min(axis=1) >= 8) & (bits.max(axis=1) <= 56)
    near = [
        np.flatnonzero(usable & usable[n] & (np.bitwise_count(hashes ^ row).max(axis=1) <= 8))
        for n, row in enumerate(hashes)
    ]
    labels = np.arange(len(hashes))
    while True:
        new = np.array([labels[m].min() if len(m) else n for n, m in enumerate(near)])
        if np.array_equal(new, labels):
            return labels
        labels = new


def flip(value: int, bits: Iterable[int]) -> int:
    for bit in bits:
        value ^= 1 << bit
    return value


@st.composite
def related_hashes(draw: st.DrawFn, bases: list[int]) -> int:
    """One of a few hashes, in which up to ten bits are flipped."""
    places = st.sets(st.integers(0, 63), max_size=10)
    return flip(draw(st.sampled_from(bases)), draw(places))


@st.composite
def clip_sets(draw: st.DrawFn) -> list[Clip]:
    """Clips of nought to three hashes: equal, near, at the limit, flat and unrelated."""
    bases = [BASE, 0, 2**64 - 1, 0xFF, *draw(st.lists(HASHES, max_size=2))]
    one = st.sampled_from(bases) | related_hashes(bases)
    lengths = draw(st.sampled_from([(3,), (1,), (2,), (0, 1, 2, 3)]))
    of_length = [st.tuples(*[one] * length) for length in lengths]
    clips = draw(st.lists(st.one_of(of_length), max_size=30))
    again = draw(st.lists(st.sampled_from(clips), max_size=10)) if clips else []
    return clips + again


@pytest.fixture(params=["usual", "tiny"], autouse=True)
def limits(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run everything with tiny limits too, so that a few clips reach the deepest recursion."""
    if request.param == "tiny":
        monkeypatch.setattr(near_duplicates, "SMALL_BUCKET", 2)
        monkeypatch.setattr(near_duplicates, "SAMPLED_NEIGHBOURS", 1)
        monkeypatch.setattr(near_duplicates, "SMALL_SEARCH", 1)
        monkeypatch.setattr(near_duplicates, "LARGE_SEARCH", 20)
        monkeypatch.setattr(near_duplicates, "FIRST_ROWS", 1)
        monkeypatch.setattr(near_duplicates, "MOST_ROWS", 3)
        monkeypatch.setattr(near_duplicates, "TILE", (2, 3))
        monkeypatch.setattr(near_duplicates, "TABLE_COST", -1000)


exhaustively = settings(max_examples=100, deadline=None)


@pytest.mark.slow
@exhaustively
@given(clip_sets(), st.data())
def test_groups_are_those_of_comparing_all_pairs(clips: list[Clip], data: st.DataObject) -> None:
    ids = data.draw(st.permutations([f"{n:02}" for n in range(len(clips))]))
    assert grouped(ids, clips) == reference(ids, clips)


@pytest.mark.slow
@exhaustively
@given(clip_sets(), st.data())
def test_rows_with_equal_ids_share_a_group(clips: list[Clip], data: st.DataObject) -> None:
    ids = data.draw(st.lists(st.sampled_from("abcd"), min_size=len(clips), max_size=len(clips)))
    assert grouped(ids, clips) == reference(ids, clips)


@pytest.mark.parametrize("step", [NEAR_DUPLICATE_BITS, NEAR_DUPLICATE_BITS + 1])
@pytest.mark.parametrize("frame", range(3))
def test_a_chain_joins_at_the_limit_and_not_one_over(step: int, frame: int) -> None:
    order = np.random.default_rng(step).permutation(64)
    chain = [BASE]
    for start in range(0, 64 - step, step):
        chain.append(flip(chain[-1], order[start : start + step].tolist()))
    chain = [value for value in chain if informative((value,))]
    clips = [tuple(v if f == frame else BASE for f in range(3)) for v in chain]
    ids = [f"{n:02}" for n in range(len(clips))]
    joined = step == NEAR_DUPLICATE_BITS
    assert grouped(ids, clips) == (["00"] * len(ids) if joined else ids)


@pytest.mark.parametrize(("bits", "groups"), [(8, ["a", "a"]), (9, ["a", "b"])])
def test_near_duplicates_differ_in_at_most_eight_bits(bits: int, groups: list[str]) -> None:
    other = flip(BASE, range(bits))
    assert grouped(["a", "b"], [(BASE,) * 3, (other,) * 3]) == groups


@pytest.mark.slow
@pytest.mark.parametrize("bands", range(1, NEAR_DUPLICATE_BITS + 2))
@exhaustively
@given(st.sets(st.integers(0, 63), max_size=NEAR_DUPLICATE_BITS))
def test_a_mask_hides_any_differences_within_the_limit(bands: int, places: set[int]) -> None:
    difference = np.uint64(flip(0, places))
    assert any(difference & mask == 0 for mask in covering_masks(bands))


def test_masks_keep_about_half_the_bits_of_a_band() -> None:
    kept = [int(mask).bit_count() for mask in covering_masks(2)]
    assert len(kept) == 15 + 31
    assert all(mask >= 15 for mask in kept)


def crowd(name: str, clips: int) -> near_duplicates.Hashes:
    """Return clips that crowd into few buckets."""
    rng = np.random.default_rng(7)
    hashes = rng.integers(0, 2**64, (clips, 3), dtype=np.uint64)
    if name == "one block":  # the upper 48 bits are alike
        return hashes & np.uint64(0xFFFF) | np.uint64(BASE << 16 & 2**64 - 1)
    if name == "same first frames":
        hashes[:, 0] = BASE
        hashes[: clips // 2, 1] = BASE
    if name == "dark":  # about ten bits among the lowest 24, many of them flat
        hashes[:] = 0
        for _ in range(12):
            hashes |= np.uint64(1) << rng.integers(0, 24, hashes.shape, dtype=np.uint64)
    if name == "identical":
        hashes = hashes[rng.integers(0, 3, clips)]
    for _ in range(4):  # copies of a third of them, by up to four bits apart
        copies = hashes[: clips // 3] ^ np.uint64(1) << rng.integers(0, 64, 3, dtype=np.uint64)
        hashes[-len(copies) :] = copies
    return hashes


CROWDS = ("one block", "same first frames", "dark", "identical", "random")


@pytest.mark.slow
@pytest.mark.parametrize("name", CROWDS)
def test_crowded_buckets_lose_no_pair(name: str) -> None:
    hashes = crowd(name, 3000 if near_duplicates.SMALL_BUCKET > 2 else 60)
    assert np.array_equal(group_hashes(hashes), quadratic(hashes))


def test_no_clips_and_no_hashes() -> None:
    assert grouped([], []) == []
    assert grouped(["b", "a"], [(), ()]) == ["b", "a"]
    assert grouped(["b", "a", "c"], [(BASE,), (), (BASE,)]) == ["b", "a", "b"]


def test_a_hash_that_is_no_number_is_an_error() -> None:
    with pytest.raises(ValueError, match="invalid literal"):
        near_duplicate_groups(["a"], [[""]])


@given(st.lists(st.tuples(st.integers(0, 19), st.integers(0, 19))))
def test_union_find_calls_a_set_by_its_least_member(edges: list[tuple[int, int]]) -> None:
    groups = UnionFind(20)
    pairs = np.array(edges, dtype=np.intp).reshape(-1, 2)
    groups.join(pairs[:, 0], pairs[:, 1])
    labels = list(range(20))
    for _ in range(20):
        for a, b in edges:
            labels[a] = labels[b] = min(labels[a], labels[b])
    assert groups.find(np.arange(20)).tolist() == labels


def test_a_long_chain_is_joined_at_once() -> None:
    groups = UnionFind(100_000)
    links = np.random.default_rng(0).permutation(99_999)
    groups.join(links, links + 1)
    assert not groups.find(np.arange(100_000)).any()
