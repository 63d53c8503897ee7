"""TEST ONLY: ColossalAI's ZeRO on CPU processes.

LowLevelZeroOptimizer refuses its CPU accelerator by an assertion, and asks it for streams. Here the
CPU poses as a device whose streams are always in step. Nothing under `finetune/` uses this.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

from colossalai.accelerator import api
from colossalai.accelerator.cpu_accelerator import CpuAccelerator
from colossalai.zero.low_level.low_level_optim import LowLevelZeroOptimizer


class Stream:
    """Work on it is done by the time it is asked for."""

    def wait_stream(self, *_: Any) -> None: ...

    def wait_event(self, *_: Any) -> None: ...

    def synchronize(self) -> None: ...


class Accelerator(CpuAccelerator):  # type: ignore[misc]
    """One CPU 'device' that is never busy."""

    def synchronize(self, device: Any = None) -> None: ...

    def empty_cache(self) -> None: ...

    def current_device(self) -> int:
        return 0

    def device_count(self) -> int:
        return 1

    def Stream(self, *_: Any, **__: Any) -> Stream:  # noqa: N802
        return Stream()

    def current_stream(self, *_: Any, **__: Any) -> Stream:
        return Stream()

    def stream(self, _: Any) -> AbstractContextManager[None]:
        return nullcontext()

    def max_memory_allocated(self, device: Any = None) -> int:
        return 0

    def memory_allocated(self, device: Any = None) -> int:
        return 0


def install() -> None:
    """Make ZeRO accept this process's CPU."""
    api.set_accelerator(Accelerator())
    LowLevelZeroOptimizer._sanity_checks = lambda _self: None
