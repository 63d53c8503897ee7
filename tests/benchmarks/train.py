"""Measure training speed: `python -m tests.benchmarks.train [--case NAME] [--engine torch]`.

One case per call, under eight minutes with its compilation; without --case all of them, each in its
own process. Each appends a row to a JSON file, from which the table is printed.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import torch
import typer

from tests.benchmarks import wan
from tests.benchmarks.cost import matmul_ceiling, training_flops
from tests.benchmarks.training import Case, network, run_case

TRAINING = {
    "cached-32": Case(),
    "online-32": Case(online=True),
    "cached-64": Case(frames=64, batch=4),
    "cached-64-80": Case(frames=64, batch=4, checkpointing=17),  # of 28 blocks: fits 80 GB
    "images": Case(frames=1, batch=256, micro=32),
    "dp2": Case(),
    "baseline": Case(online=True, fast=False, checkpointing=True, micro=8, steps=5, warmup=1),
}
OTHERS = ("sampling", "vae")
LATENT = (45, 80)  # 360 x 640
ROWS = Path("work/benchmarks/train.json")


def main(
    case: Annotated[str | None, typer.Option(help="one case; by default all")] = None,
    engine: Annotated[str, typer.Option(help="torch or colossalai")] = "torch",
    memory: Annotated[
        float | None, typer.Option(help="GiB; limits memory, as on a smaller GPU")
    ] = None,
    baseline: Annotated[
        bool, typer.Option(help="of a case of Wan: diffusers and peft as their examples run them")
    ] = False,
    profile: Annotated[bool, typer.Option(help="of a case of Wan: list its kernels too")] = False,
    ranks: Annotated[int, typer.Option(help="GPUs, of a case of Wan")] = 1,
    strategy: Annotated[str, typer.Option(help="ddp, fsdp2 or hsdp, of a case of Wan")] = "auto",
    steps: Annotated[int, typer.Option(help="to measure; 0: the case's own number")] = 0,
    checkpoint: Annotated[
        str, typer.Option(help="sync or async: of a case of Wan, save one halfway")
    ] = "",
    out: Annotated[Path, typer.Option(help="the JSON file that rows are added to")] = ROWS,
) -> None:
    """Measure, and print the table of all rows so far."""
    if memory is not None:
        wan.limit_memory(memory)
    if case is None:
        for name in (*TRAINING, *OTHERS):
            _run_case(name, engine, out, ranks=1)
        print(table(json.loads(out.read_text())))
    elif case in wan.CASES and ranks > 1 and "RANK" not in os.environ:
        options = ["--strategy", strategy, "--steps", str(steps), "--checkpoint", checkpoint]
        _run_case(case, engine, out, ranks=ranks, options=options)
    elif case in wan.CASES:
        chosen = replace(wan.CASES[case], baseline=baseline, strategy=strategy)
        chosen = replace(chosen, steps=steps or chosen.steps)
        if checkpoint:
            chosen = replace(chosen, asynchronous=checkpoint == "async")
        _report(measure_wan(case, chosen, profile=profile), out)
    elif case == "dp2" and "RANK" not in os.environ:
        _run_case(case, engine, out, ranks=2, options=["--steps", str(steps)])
    else:
        _report(measure(case, engine, steps), out)


def _report(row: dict[str, object], out: Path) -> None:
    """Add a row to the file and print the table, on rank 0."""
    if os.environ.get("RANK", "0") == "0":
        print(table(add(row, out)))


def measure(case: str, engine: str, steps: int = 0) -> dict[str, object]:
    """Measure one case, and return its row."""
    about = describe(case, engine)
    if case in OTHERS:
        from tests.benchmarks import inference

        return about | {"engine": "-"} | getattr(inference, case)()
    ceiling = matmul_ceiling()
    chosen = TRAINING[case]
    chosen = replace(chosen, steps=steps or chosen.steps)
    found = run_case(chosen, engine)
    speed = found["clips_s"] * training_flops(network(), chosen.frames, *LATENT) / 1e12
    share = speed / found["world"] / ceiling
    return about | found | {"tflops": speed, "ceiling": ceiling, "share": share}


def measure_wan(case: str, chosen: wan.WanCase, *, profile: bool) -> dict[str, object]:
    """Measure a case of Wan, and return its row."""
    engine = "diffusers + peft" if chosen.baseline else f"torch {chosen.strategy}"
    return describe(case, engine) | wan.measure(chosen, profile=profile)


def describe(case: str, engine: str) -> dict[str, object]:
    """Return the first entries of a row."""
    cuda = torch.cuda.is_available()
    return {
        "case": case,
        "engine": engine,
        "date": datetime.now(UTC).isoformat(timespec="minutes"),
        "gpu": torch.cuda.get_device_name() if cuda else "none",
        "torch": torch.__version__,
    }


def add(row: dict[str, object], out: Path) -> list[dict[str, object]]:
    """Append a row to the file, and return all rows."""
    rows = json.loads(out.read_text()) if out.exists() else []
    rows.append(row)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(rows, indent=1) + "\n")
    return rows


def table(rows: list[dict[str, object]]) -> str:
    """Return the rows as Markdown; a cell is empty if its case has no such figure."""
    columns = {
        "case": "{}",
        "engine": "{}",
        "world": "{:.0f}",
        "clips_s": "{:.3f}",
        "seconds": "{:.3f}",
        "tflops": "{:.0f}",
        "ceiling": "{:.0f}",
        "share": "{:.1%}",
        "peak_gib": "{:.1f}",
        "data_wait": "{:.2%}",
        "date": "{}",
        "gpu": "{}",
    }
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    for row in rows:
        cells = [f.format(row[name]) if name in row else "" for name, f in columns.items()]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _run_case(
    case: str, engine: str, out: Path, *, ranks: int, options: Sequence[str] = ()
) -> None:
    """Run this module for one case, in its own process, or in one process per GPU."""
    start = [sys.executable, "-m"]
    if ranks > 1:
        start += ["torch.distributed.run", f"--nproc-per-node={ranks}", "-m"]
    own = ["--case", case, "--engine", engine, "--out", str(out)]
    subprocess.run([*start, "tests.benchmarks.train", *own, *options], check=False)


if __name__ == "__main__":
    typer.run(main)
