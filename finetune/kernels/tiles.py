"""Split a head's columns into two Triton tiles, MAIN and REST.

A tile's sides are powers of two. A head dim of 72 padded to 128 would waste half of every product
on zeros, so it is split into 64 columns and 16, of which 8 hold data.
"""

from __future__ import annotations

import triton
import triton.language as tl

MIN_DOT_SIZE = 16  # smallest side that `tl.dot` takes


def tile_widths(dim: int, rest: int = MIN_DOT_SIZE) -> dict[str, int]:
    """Return a kernel's constants for a head dim, the second tile at least `rest` wide."""
    main = max(MIN_DOT_SIZE, 1 << (dim.bit_length() - 1))
    rest = max(rest, triton.next_power_of_2(max(dim - main, 1)))
    return {"d": dim, "MAIN": main, "REST": rest}


@triton.jit
def load_rows(at, valid, d: tl.constexpr, MAIN: tl.constexpr, REST: tl.constexpr):
    """Load rows at the pointers `at` [R], zeros unless `valid` [R]: [R, MAIN], [R, REST]."""
    main, rest = tl.arange(0, MAIN), MAIN + tl.arange(0, REST)
    inside = valid[:, None] & (main < d)[None, :]
    one = tl.load(at[:, None] + main[None, :], mask=inside, other=0)
    inside = valid[:, None] & (rest < d)[None, :]
    two = tl.load(at[:, None] + rest[None, :], mask=inside, other=0)
    return one, two


@triton.jit
def store_rows(at, one, two, valid, d: tl.constexpr, MAIN: tl.constexpr, REST: tl.constexpr):
    """Store two tiles as rows: the inverse of `load_rows`."""
    main, rest = tl.arange(0, MAIN), MAIN + tl.arange(0, REST)
    dtype = at.dtype.element_ty
    inside = valid[:, None] & (main < d)[None, :]
    tl.store(at[:, None] + main[None, :], one.to(dtype), mask=inside)
    inside = valid[:, None] & (rest < d)[None, :]
    tl.store(at[:, None] + rest[None, :], two.to(dtype), mask=inside)


@triton.jit
def row_dot_products(a1, a2, b1, b2):
    """Return the dot product of each row of a with each row of b, float32."""
    main = tl.dot(a1, tl.trans(b1), input_precision="ieee")
    return tl.dot(a2, tl.trans(b2), main, input_precision="ieee")


@triton.jit
def weighted_row_sums(weight, a1, a2):
    """Return the sums of a's rows by the weights [R, rows of a], float32."""
    one = tl.dot(weight, a1, input_precision="ieee")
    return one, tl.dot(weight, a2, input_precision="ieee")
