"""Read what each rank has: its device, versions, recipe and paths."""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import socket
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from brickfilm.digest import digest_of
from finetune.config import Recipe, load_recipe
from finetune.engines.distributed import choose_device
from finetune.errors import EngineError, FinetuneError
from finetune.planning.cost import GIB

PACKAGES = (
    "brickfilm",
    "colossalai",
    "diffusers",
    "numpy",
    "safetensors",
    "transformers",
    "triton",
)
SETTINGS = ("NCCL_", "GLOO_", "CUDA_DEVICE_", "PYTORCH_CUDA_ALLOC")
"""Beginnings of environment variables that must be alike on every rank."""
PATH_KEYS = ("dataset", "init", "vae", "text_encoder")
MATRIX_SIDE, PRODUCTS = 8192, 20
"""bfloat16 products of a GPU's speed: 1.1 TFLOP each, so 30 ms on an H100."""


@dataclass(frozen=True, kw_only=True)
class GpuFacts:
    """A rank's GPU."""

    name: str
    uuid: str
    total_gib: float
    free_gib: float
    driver: str
    tflops: float  # of large bfloat16 products


@dataclass(frozen=True, kw_only=True)
class RankFacts:
    """A rank before anything is measured between ranks."""

    rank: int
    node: int
    host: str
    recipe: str  # digest of its settings; empty with `problem`
    problem: str = ""  # of its recipe or its device
    gpu: GpuFacts | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, str] = field(default_factory=dict)
    paths: Mapping[str, bool] = field(default_factory=dict)  # path of the recipe -> is it here
    shm_gib: float | None = None  # free in /dev/shm


def load_settings(path: str, overrides: Sequence[str]) -> tuple[Recipe | None, str]:
    """Return the recipe, or none and the reason why it cannot be used on this node."""
    try:
        recipe = load_recipe(path, overrides)
        choose_device(recipe)
    except FinetuneError as error:
        return None, str(error)
    return recipe, ""


def read_facts(rank: int, node: int, recipe: Recipe | None, problem: str) -> RankFacts:
    """Return this rank's facts; a problem of its GPU is one of them."""
    gpu = None
    if recipe is not None and (device := choose_device(recipe)).type == "cuda":
        try:
            gpu = read_gpu(device)
        except (EngineError, RuntimeError) as error:
            problem = problem or f"{device} does not work ({str(error).splitlines()[0]})"
    return RankFacts(
        rank=rank,
        node=node,
        host=socket.gethostname(),
        recipe=digest_of(recipe.as_dict()) if recipe else "",
        problem=problem,
        gpu=gpu,
        versions=installed_versions(),
        settings={n: v for n, v in os.environ.items() if n.startswith(SETTINGS)},
        paths=local_paths(recipe) if recipe else {},
        shm_gib=_free_shm(),
    )


def installed_versions() -> dict[str, str]:
    """Return the versions that must be equal on all ranks, and a digest of this package's code."""
    versions = {"python": platform.python_version(), "torch": torch.__version__}
    if torch.cuda.is_available():
        versions |= {"nccl": ".".join(map(str, torch.cuda.nccl.version()))}  # type: ignore[no-untyped-call]
    for package in PACKAGES:
        with suppress(PackageNotFoundError):
            versions[package] = version(package)
    return {**versions, "code": code_digest(Path(__file__).parent.parent)}


def code_digest(folder: Path) -> str:
    """Return the digest of a package's Python files, which a checkout may differ in."""
    digest = hashlib.sha256()
    for file in sorted(folder.rglob("*.py")):
        digest.update(file.relative_to(folder).as_posix().encode() + file.read_bytes())
    return digest.hexdigest()[:12]


def local_paths(recipe: Recipe) -> dict[str, bool]:
    """Return the paths among the recipe's sources, and if they are here; Hub ids look like some."""
    values = {str(getattr(recipe, key)) for key in PATH_KEYS}
    return {value: Path(value).exists() for value in sorted(values)}


def read_gpu(device: torch.device) -> GpuFacts:
    """Return a GPU's name, memory, driver and speed."""
    free, total = torch.cuda.mem_get_info(device)
    return GpuFacts(
        name=torch.cuda.get_device_name(device),
        uuid=str(torch.cuda.get_device_properties(device).uuid),
        total_gib=total / GIB,
        free_gib=free / GIB,
        driver=driver_version(),
        tflops=matmul_tflops(device, MATRIX_SIDE),
    )


def driver_version() -> str:
    """Return the version of NVIDIA's driver, or "unknown" without NVML."""
    try:
        import pynvml
    except ImportError:
        return "unknown"
    try:
        pynvml.nvmlInit()
        return str(pynvml.nvmlSystemGetDriverVersion())
    except pynvml.NVMLError:
        return "unknown"


def matmul_tflops(device: torch.device, side: int) -> float:
    """Return the TFLOP/s of products of two square bfloat16 matrices."""
    matrix = torch.ones(side, side, dtype=torch.bfloat16, device=device)
    seconds = 0.0
    for timed in (False, True):
        begin = time.perf_counter()
        for _ in range(PRODUCTS if timed else 1):
            matrix @ matrix
        matrix.flatten()[0].item()  # waits for the GPU
        seconds = time.perf_counter() - begin
    return 2 * side**3 * PRODUCTS / seconds / 1e12


def _free_shm() -> float | None:
    with suppress(OSError):
        return shutil.disk_usage("/dev/shm").free / GIB
    return None
