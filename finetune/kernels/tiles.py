"""Rows of a head's numbers as two tiles, for Triton.

A tile's sides are powers of two. A head dim of 72 padded to 128 would make half of every product
zeros, so it is taken as 64 columns and 16, of which 8 are there: MAIN and REST.
"""

from __future__ import annotations

import triton
import triton.language as tl

MIN_DOT_SIZE = 16  # columns that a matrix product takes


def tile_widths(dim: int, rest: int = MIN_DOT_SIZE) -> dict[str, int]:
    """The tiles of a head of `dim` numbers, the second at least `rest`, as a kernel's constants."""
    main = max(MIN_DOT_SIZE, 1 << (dim.bit_length() - 1))
    rest = max(rest, triton.next_power_of_2(max(dim - main, 1)))
    return {"d": dim, "MAIN": main, "REST": rest}


@triton.jit
def load_rows(at, there, d: tl.constexpr, MAIN: tl.constexpr, REST: tl.constexpr):
    """Rows beginning at the pointers `at` [R], zeros unless `there` [R]: [R, MAIN], [R, REST]."""
    main, rest = tl.arange(0, MAIN), MAIN + tl.arange(0, REST)
    inside = there[:, None] & (main < d)[None, :]
    one = tl.load(at[:, None] + main[None, :], mask=inside, other=0)
    inside = there[:, None] & (rest < d)[None, :]
    two = tl.load(at[:, None] + rest[None, :], mask=inside, other=0)
    return one, two


@triton.jit
def store_rows(at, one, two, there, d: tl.constexpr, MAIN: tl.constexpr, REST: tl.constexpr):
    """The inverse of `load_rows`."""
    main, rest = tl.arange(0, MAIN), MAIN + tl.arange(0, REST)
    kind = at.dtype.element_ty
    inside = there[:, None] & (main < d)[None, :]
    tl.store(at[:, None] + main[None, :], one.to(kind), mask=inside)
    inside = there[:, None] & (rest < d)[None, :]
    tl.store(at[:, None] + rest[None, :], two.to(kind), mask=inside)


@triton.jit
def row_dot_products(a1, a2, b1, b2):
    """Of each row of a with each row of b, float32."""
    main = tl.dot(a1, tl.trans(b1), input_precision="ieee")
    return tl.dot(a2, tl.trans(b2), main, input_precision="ieee")


@triton.jit
def weighted_row_sums(weight, a1, a2):
    """Sums of a's rows by the weights [R, rows of a], float32."""
    one = tl.dot(weight, a1, input_precision="ieee")
    return one, tl.dot(weight, a2, input_precision="ieee")
