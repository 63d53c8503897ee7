"""Figures of a GPU, as far as it tells them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from finetune.training.system_metrics import GpuMonitor


class Refused(Exception):
    """What a fake NVML raises."""


def refuse(_gpu: object) -> Any:
    raise Refused


def nvml(**changed: Any) -> SimpleNamespace:
    """A library of three figures, for there is no GPU here."""
    figures = {
        "nvmlDeviceGetHandleByUUID": lambda uuid: uuid,
        "nvmlDeviceGetUtilizationRates": lambda _: SimpleNamespace(gpu=97),
        "nvmlDeviceGetMemoryInfo": lambda _: SimpleNamespace(used=3 * 2**30),
        "nvmlDeviceGetPowerUsage": lambda _: 650_000,
    }
    return SimpleNamespace(NVMLError=Refused, **{**figures, **changed})


def test_a_gpu_is_found_by_what_it_is_not_by_its_number() -> None:
    asked: list[str] = []
    gpu = GpuMonitor(nvml(nvmlDeviceGetHandleByUUID=asked.append), "1f0c")
    assert asked == ["GPU-1f0c"]
    assert gpu.read() == {"gpu_percent": 97, "gpu_memory_gib": 3.0, "gpu_watts": 650.0}


def test_a_figure_that_a_gpu_does_not_tell_is_left_out() -> None:
    gpu = GpuMonitor(
        nvml(nvmlDeviceGetPowerUsage=refuse, nvmlDeviceGetUtilizationRates=refuse), "1f0c"
    )
    assert gpu.read() == {"gpu_memory_gib": 3.0}
