"""Kernels are tested on a GPU, or in Triton's interpreter where TRITON_INTERPRET=1 asks for it."""

from __future__ import annotations

import pytest

from tests.finetune.kernels.agreement import INTERPRETED, need_kernels


@pytest.fixture
def kernels() -> None:
    """What a file of kernels' tests needs."""
    need_kernels()


def _let_tensors_bound_loops() -> None:
    """Triton 3.6's interpreter makes a loop's bound with `int(array)`, which NumPy 2.4 refuses."""
    from triton.runtime import interpreter

    patch = interpreter._patch_lang_tensor

    def patch_more(tensor: type, scope: object) -> None:
        patch(tensor, scope)
        scope.set_attr(tensor, "__index__", lambda self: self.handle.data.item())

    interpreter._patch_lang_tensor = patch_more


if INTERPRETED:
    _let_tensors_bound_loops()
