"""List the kernels that some work on a GPU spends its time in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

import torch
from torch.profiler import ProfilerActivity, profile

NAME_WIDTH = 110  # characters of a kernel's name


def kernel_times(work: Callable[[], None]) -> tuple[Counter[str], Counter[str]]:
    """Do some work once; return milliseconds and calls by kernel."""
    with profile(activities=[ProfilerActivity.CUDA]) as recorded:
        work()
        torch.cuda.synchronize()
    times, counts = Counter[str](), Counter[str]()
    for event in recorded.key_averages():
        times[event.key] += event.self_device_time_total / 1000
        counts[event.key] += event.count
    return times, counts


def slowest_lines(times: Counter[str], counts: Counter[str], most: int = 40) -> Iterator[str]:
    """Yield a line for each of the kernels that take the most time."""
    for name, milliseconds in times.most_common(most):
        yield f"{milliseconds:8.2f} ms {counts[name]:5d}x  {name[:NAME_WIDTH]}"
