"""Metrics of a machine, as far as it reports them."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from finetune.training.system_metrics import GpuMonitor, make_monitor


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
    uuids: list[str] = []
    gpu = GpuMonitor(nvml(nvmlDeviceGetHandleByUUID=uuids.append), "1f0c")
    assert uuids == ["GPU-1f0c"]
    assert gpu.read() == {"gpu_percent": 97, "gpu_memory_gib": 3.0, "gpu_watts": 650.0}


def test_a_figure_that_a_gpu_does_not_tell_is_left_out() -> None:
    gpu = GpuMonitor(
        nvml(nvmlDeviceGetPowerUsage=refuse, nvmlDeviceGetUtilizationRates=refuse), "1f0c"
    )
    assert gpu.read() == {"gpu_memory_gib": 3.0}


def test_a_machine_is_read_where_it_can_be(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("psutil")
    read = make_monitor(torch.device("cpu")).read()
    assert {"cpu_percent", "disk_read_mib_s", "net_in_mib_s"} <= set(read)
    assert not [name for name in read if name.startswith("gpu")]
    monkeypatch.setitem(sys.modules, "psutil", None)
    assert make_monitor(torch.device("cpu")).read() == {}


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU that can be read")
def test_a_gpu_that_cannot_be_asked_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psutil", None)
    assert make_monitor(torch.device("cuda", 0)).read() == {}
