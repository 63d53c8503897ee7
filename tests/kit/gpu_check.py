"""Train XL/2 for twenty real steps on one GPU with both engines: `python -m tests.kit.gpu_check`.

`--engines torch,gemini` (or `zero1`, `hybrid`) compares another engine with PyTorch's, and
`float32,float16` float16 with float32. `--set network.depth=4` makes the check quick, `--no-resume`
quicker. 360p x 32 frames in bfloat16, random weights without zeros, a random cache; through
`finetune train` itself. The engines' losses must agree to 1e-2 and their gradient norms to 2e-2
relative, all weights must change, and each engine must save and resume. Needs torch, safetensors,
numpy, pydantic, typer and rich; ColossalAI for its engines; no dataset, no encoder.
"""

from __future__ import annotations

import csv
import hashlib
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated

import torch
import typer
from safetensors.torch import load_file

from finetune.config import load_recipe
from finetune.data.cache_layout import caption_key, latent_folder, text_folder
from finetune.data.shards import ShardWriter, write_key_index
from finetune.training.run import new_model

CLIPS, FRAMES = 12, 140
RECIPE = """
dataset = "{work}/set.csv"
out = "{work}/run"
cache = "{work}/cache"
init = "{work}/init"
steps = 20
frame_interval = 4
vae = "random"
text_encoder = "random"
precision = "bfloat16"
compile = {compile}
log = {{ to = "none" }}
checkpoints = {{ every = 20, keep_last = 1 }}
schedule = {{ kind = "constant", peak = 1e-5 }}
[[buckets]]
resolution = "360p"
frames = 32
batch_size = {batch}
micro_batch_size = 1
activation_checkpointing = {checkpointing}
"""
COLOSSAL = "engine=colossalai"
HYBRID = "optimizer.kind=hybrid_adam"
ENGINES = {
    "torch": ["engine=torch"],
    "float32": ["engine=torch", "precision=float32"],
    "colossalai": [COLOSSAL, "strategy=zero2"],
    "zero1": [COLOSSAL, "strategy=zero1"],
    "hybrid": [COLOSSAL, "strategy=zero2", HYBRID],
    "float16": [COLOSSAL, "strategy=zero2", "precision=float16"],
    "gemini": [COLOSSAL, "strategy=gemini", HYBRID, "compile=false"],
    "gemini-float16": [COLOSSAL, "strategy=gemini", HYBRID, "compile=false", "precision=float16"],
}

TOLERANCES = {"loss": 1e-2, "grad_norm": 2e-2}
"""Largest relative differences from the first engine; bfloat16 itself is 1.8e-2 from float32."""


def make_cache(work: Path) -> None:
    """Write random latents and text states for a dataset without media."""
    work.mkdir(parents=True, exist_ok=True)
    random = torch.Generator().manual_seed(0)
    shards, texts = latent_folder_of(work), text_folder_of(work)
    latents, states = ShardWriter(shards, "000"), ShardWriter(texts, "000")
    with (work / "set.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["path", "text", "num_frames", "height", "width", "fps"])
        for number in range(CLIPS):
            media = work / f"{number}.mp4"
            media.write_bytes(f"stands in for a clip {number}".encode())
            rows.writerow([media.name, f"caption {number}", FRAMES, 720, 1280, 30])
            key = hashlib.sha256(media.read_bytes()).hexdigest()
            shape = (FRAMES, 4, 45, 80)
            mean = torch.randn(shape, generator=random).half()
            std = (torch.rand(shape, generator=random) * 0.1).half()
            latents.add(key, {"mean": mean, "std": std})
            tokens = int(torch.randint(20, 200, (), generator=random))
            text = torch.randn(1, tokens, 4096, generator=random).half() * 0.2
            states.add(caption_key(f"caption {number}"), {"states": text})
    latents.close()
    states.close()
    for folder in (shards, texts):
        write_key_index(folder, {"encoder": "random", "digest": "0" * 64})


def latent_folder_of(work: Path) -> Path:
    return latent_folder(load_recipe(work / "recipe.toml"), "0" * 64, (360, 640))


def text_folder_of(work: Path) -> Path:
    return text_folder(load_recipe(work / "recipe.toml"), "0" * 64)


def make_weights(work: Path, more: list[str]) -> None:
    """Write an XL/2 without zero weights, so that every parameter has a gradient."""
    torch.manual_seed(0)
    model = new_model(load_recipe(work / "recipe.toml", ["init=random", *more]))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.01)
    model.save_pretrained(work / "init")


def train(work: Path, engine: str, more: list[str]) -> dict[str, list[float]]:
    """Run the command, and return its metrics by name."""
    out = work / engine
    choice = [f"out={out}", *more, *ENGINES[engine]]
    command = [sys.executable, "-m", "finetune", "train", str(work / "recipe.toml"), *choice]
    started = time.perf_counter()
    subprocess.run(command, check=True)
    print(f"{' '.join(command[2:])}: {time.perf_counter() - started:.0f} s", flush=True)
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    names = ("loss", "grad_norm", "clips_s", "data_wait", "memory_gib")
    return {name: [line[name] for line in lines if name in line] for name in names}


def changed_share(work: Path, engine: str) -> float:
    """Return the share of trained tensors that differ from the start."""
    start = load_file(work / "init" / "model.safetensors")
    shards = sorted((work / engine / "step-00000020" / "model").glob("*.safetensors"))
    now = {name: value for file in shards for name, value in load_file(file).items()}
    frozen = {"rope.freqs", "y_embedder.y_embedding"}
    changed = [not torch.equal(now[n], start[n]) for n in start if n not in frozen]
    return sum(changed) / len(changed)


def worst(one: list[float], two: list[float]) -> float:
    return max(abs(a - b) / abs(a) for a, b in zip(one, two, strict=True))


def main(
    work: Annotated[Path, typer.Option(help="a folder with 40 GB free")] = Path("/tmp/check"),
    batch: int = 4,
    checkpointing: Annotated[bool, typer.Option(help="less memory, a third slower")] = True,
    compile_: Annotated[bool, typer.Option("--compile")] = False,
    engines: Annotated[str, typer.Option(help=", ".join(ENGINES))] = "torch,colossalai",
    resume: Annotated[bool, typer.Option(help="two steps more from the checkpoint")] = True,
    setting: Annotated[list[str] | None, typer.Option("--set", help="key=value, for all")] = None,
    result: Annotated[Path | None, typer.Option(help="a JSON file for the figures")] = None,
) -> None:
    """Make data and weights, train with each engine, and compare."""
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    more, settings = list(setting or ()), {"work": work, "batch": batch}
    flags = {"checkpointing": str(checkpointing).lower(), "compile": str(compile_).lower()}
    (work / "recipe.toml").write_text(RECIPE.format(**settings, **flags))
    make_cache(work)
    make_weights(work, more)
    found: dict[str, dict[str, object]] = {}
    runs = {}
    for engine in engines.split(","):
        runs[engine] = train(work, engine, more)
        found[engine] = {"changed": changed_share(work, engine), **runs[engine]}
        _write(result, found)  # in case the call is interrupted
        if resume:
            resumed = train(work, engine, [*more, "steps=22", "--resume", "auto"])
            found[engine]["resumed_losses"] = resumed["loss"][20:]
        shutil.rmtree(work / engine)
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "none"
    report: dict[str, object] = {"gpu": gpu, "torch": torch.__version__, "engines": found}
    ok = all(about["changed"] == 1.0 for about in found.values())
    first, *others = runs
    report["off"] = off = {
        other: {name: worst(runs[first][name], runs[other][name]) for name in TOLERANCES}
        for other in others
    }
    pairs = [(one[name], most) for one in off.values() for name, most in TOLERANCES.items()]
    ok = ok and all(difference <= most for difference, most in pairs)
    report["ok"] = ok
    print(json.dumps(report, indent=1))
    _write(result, report)
    raise typer.Exit(0 if ok else 1)


def _write(result: Path | None, figures: object) -> None:
    if result:
        result.write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    typer.run(main)
