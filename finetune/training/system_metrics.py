"""Read the use of GPU, CPU, memory, disk and network, as far as the machine reports it."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Protocol

import torch

MIB = 2**20


class Monitor(Protocol):
    """Reads metrics of the time since the last reading."""

    def read(self) -> dict[str, float]: ...


class NoMonitor:
    """Reads nothing, where a machine reports nothing."""

    def read(self) -> dict[str, float]:
        return {}


class HostMonitor:
    """CPU use, memory, disk and network traffic, by psutil."""

    def __init__(self, psutil: Any) -> None:
        self._psutil = psutil
        self._last = self._traffic()

    def read(self) -> dict[str, float]:
        before, self._last = self._last, self._traffic()
        seconds = max(self._last[0] - before[0], 1e-9)
        names = ("disk_read", "disk_write", "net_in", "net_out")
        counters = zip(names, before[1:], self._last[1:], strict=True)
        return {
            "cpu_percent": self._psutil.cpu_percent(),
            "memory_percent": self._psutil.virtual_memory().percent,
            **{f"{name}_mib_s": (new - old) / seconds / MIB for name, old, new in counters},
        }

    def _traffic(self) -> tuple[float, ...]:
        """Return seconds, then bytes read, written, received and sent."""
        disk, net = self._psutil.disk_io_counters(), self._psutil.net_io_counters()
        disk_bytes = (disk.read_bytes, disk.write_bytes) if disk else (0, 0)
        net_bytes = (net.bytes_recv, net.bytes_sent) if net else (0, 0)
        return (time.monotonic(), *disk_bytes, *net_bytes)


class GpuMonitor:
    """Utilisation, memory and power of one GPU, by NVML; unsupported metrics are left out."""

    def __init__(self, pynvml: Any, uuid: str) -> None:
        self._nvml = pynvml
        self._gpu = pynvml.nvmlDeviceGetHandleByUUID(f"GPU-{uuid}")

    def read(self) -> dict[str, float]:
        readers: dict[str, Callable[[], float]] = {
            "gpu_percent": lambda: self._nvml.nvmlDeviceGetUtilizationRates(self._gpu).gpu,
            "gpu_memory_gib": lambda: self._nvml.nvmlDeviceGetMemoryInfo(self._gpu).used / 2**30,
            "gpu_watts": lambda: self._nvml.nvmlDeviceGetPowerUsage(self._gpu) / 1000,
        }
        metrics = {}
        for name, read in readers.items():
            with suppress(self._nvml.NVMLError):  # a MIG instance reports no power of its own
                metrics[name] = read()
        return metrics


class CompositeMonitor:
    """Several monitors as one."""

    def __init__(self, *monitors: Monitor) -> None:
        self._monitors = monitors

    def read(self) -> dict[str, float]:
        return {name: value for m in self._monitors for name, value in m.read().items()}


def make_monitor(device: torch.device) -> Monitor:
    """Return a monitor of this device and its host."""
    return CompositeMonitor(_host_monitor(), _gpu_monitor(device))


def _host_monitor() -> Monitor:
    try:
        import psutil  # type: ignore[import-untyped,unused-ignore]
    except ImportError:
        return NoMonitor()
    return HostMonitor(psutil)


def _gpu_monitor(device: torch.device) -> Monitor:
    if device.type != "cuda":
        return NoMonitor()
    try:
        import pynvml
    except ImportError:
        return NoMonitor()
    try:
        pynvml.nvmlInit()
        # not by number: NVML counts GPUs that CUDA_VISIBLE_DEVICES hides
        return GpuMonitor(pynvml, str(torch.cuda.get_device_properties(device).uuid))
    except pynvml.NVMLError:
        return NoMonitor()
