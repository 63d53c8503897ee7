"""State the speed of links between GPUs, by published tables."""

from __future__ import annotations

NVLINK_GB_S = {"b200": 900.0, "h200": 450.0, "h100": 450.0, "a100": 300.0}
"""GB/s of a GPU's NVLink in one direction: half of 1,800, 900, 900 and 600, totals of
https://acecloud.ai/blog/nvidia-b200-vs-h200-h100-a100 (read 2026-11-30); not measured by us."""
PCIE_GB_S = 31.5
"""GB/s of PCIe 4.0 with 16 lanes in one direction, by its specification."""


def node_link_gb_s(gpu: str) -> float:
    """Return the GB/s between GPUs of a node, by a GPU's name or its key in `GPUS`."""
    name = gpu.lower()
    if "pcie" in name:
        return PCIE_GB_S
    return next((rate for key, rate in NVLINK_GB_S.items() if key in name), PCIE_GB_S)
