"""Compare Wan in bfloat16, and on int8 and fp8 bases, with float32: `python -m ...wan_precision`.

Two blocks of 1.3B's width on a clip of noise: losses, and gradients of the adapter. With --dataset,
also the losses of a thousand steps of a small network in both precisions, on cached clips.
"""

from __future__ import annotations

import json
import statistics
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from torch import Tensor

from finetune.config import Adapter, Checkpoints, Log, Network, Recipe, Schedule, load_recipe
from finetune.models.adapters import add_adapter
from finetune.models.diffusers import WAN_2_1
from finetune.models.family import ClipConditions
from finetune.training.loop import train
from tests.benchmarks.wan import ATTENTION, CASES, FRAMES, HEIGHT, WIDTH, recipe_of

BASES = ("full", "int8", "fp8")
TIMES = (0.1, 0.5, 0.9)


def main(
    dataset: Annotated[str, typer.Option(help="cached by `finetune cache tiny/wan-cpu`")] = "",
    steps: int = 1000,
    depth: Annotated[int, typer.Option(help="blocks of the comparison; 0: none")] = 2,
    frames: int = FRAMES,
    width: int = 1536,
) -> None:
    """Print the errors, and the means of each hundred losses, as JSON."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    found: dict[str, Any] = {}
    if depth:
        found["errors"] = dict(errors(depth, width, frames, device))
    if dataset:
        found["curves"] = {base: curve(base, dataset, steps) for base in ("full", "fp8")}
    print(json.dumps(found))


def errors(
    depth: int, width: int, frames: int, device: torch.device
) -> Iterator[tuple[str, dict[str, float]]]:
    """Yield the relative errors of losses and gradients by base, against float32."""
    truth = losses_and_gradients("float32", "full", (depth, width, frames), device)
    for base in BASES:
        found = losses_and_gradients("bfloat16", base, (depth, width, frames), device)
        pairs = list(zip(found, truth, strict=True))
        yield (
            base,
            {
                "loss": max(abs(a[0] / b[0] - 1) for a, b in pairs),
                "gradient": max(float((a[1] - b[1]).norm() / b[1].norm()) for a, b in pairs),
            },
        )


def losses_and_gradients(
    precision: str, base: str, size: tuple[int, int, int], device: torch.device
) -> list[tuple[float, Tensor]]:
    """Return the loss and the adapter's gradient at each of `TIMES`, at the same weights."""
    depth, width, frames = size
    recipe = replace(
        recipe_of(CASES["wan-1.3b-lora"], Path("none")),
        precision=precision,
        adapter=Adapter(rank=32, targets=ATTENTION, base=base),
    )
    torch.manual_seed(0)
    network = add_adapter(WAN_2_1.cast_inputs(_network(depth, width, device)), WAN_2_1, recipe).to(
        device
    )
    _randomize_adapter(network)
    WAN_2_1.use_kernels(
        network, device, torch.bfloat16 if precision != "float32" else torch.float32
    )
    objective = WAN_2_1.objective(recipe.flow)
    text = {"states": torch.randn(1, 512, 4096, device=device)}
    conditions = ClipConditions(text=text, frames=frames, height=HEIGHT, width=WIDTH, fps=(16.0,))
    shape = WAN_2_1.latent_shape(frames, HEIGHT, WIDTH)
    latents, noise = (torch.randn(1, *shape, device=device) for _ in range(2))
    denoise = WAN_2_1.denoiser(network, conditions)
    trained = [p for p in network.parameters() if p.requires_grad]
    found = []
    for time in TIMES:
        given = torch.full((1,), time, device=device)
        loss = objective.losses(denoise, latents, given, noise, None).loss.mean()
        gradients = torch.autograd.grad(loss, trained)
        found.append((float(loss), torch.cat([g.float().flatten() for g in gradients])))
    return found


def _network(depth: int, width: int, device: torch.device) -> torch.nn.Module:
    """Return blocks whose weights are rounded to bfloat16, so that only arithmetic differs."""
    from diffusers import WanTransformer3DModel

    with device:
        network: torch.nn.Module = WanTransformer3DModel(
            num_layers=depth,
            num_attention_heads=width // 128,
            attention_head_dim=128,
            ffn_dim=8960 * width // 1536,
        )
    return network.bfloat16().float()


def _randomize_adapter(network: torch.nn.Module) -> None:
    """Give the adapter weights that change its outputs: they begin at zero."""
    for name, parameter in network.named_parameters():
        if ".lora_B." in name:
            torch.nn.init.normal_(parameter, std=0.02)


def curve(base: str, dataset: str, steps: int) -> list[float]:
    """Train a small network of random weights; return the mean loss of each hundred steps."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        torch.manual_seed(0)
        network: Any = small_network()
        network.save_pretrained(folder / "base" / "transformer")
        train(small_recipe(base, dataset, steps, folder))
        lines = (folder / "run" / "metrics.jsonl").read_text().splitlines()
    losses = [line["loss"] for line in map(json.loads, lines) if "loss" in line]
    size = max(1, steps // 10)
    return [round(statistics.mean(losses[n : n + size]), 5) for n in range(0, steps, size)]


def small_network() -> torch.nn.Module:
    from diffusers import WanTransformer3DModel

    return WanTransformer3DModel(
        num_layers=4, num_attention_heads=2, attention_head_dim=128, ffn_dim=1024, text_dim=32
    )


def small_recipe(base: str, dataset: str, steps: int, folder: Path) -> Recipe:
    """Return the tiny recipe of Wan with a network whose layers fp8 takes."""
    recipe = load_recipe("tiny/wan-cpu")
    return replace(
        recipe,
        dataset=dataset,
        init=str(folder / "base"),
        out=str(folder / "run"),
        device="auto",
        precision="bfloat16",
        steps=steps,
        network=Network(depth=4, hidden_size=256, num_heads=2, caption_channels=32),
        adapter=Adapter(rank=32, base=base),
        schedule=Schedule(kind="constant", peak=1e-3),
        checkpoints=Checkpoints(every=steps),
        log=Log(to="none"),
        validation=replace(recipe.validation, prompts=()),
    )


if __name__ == "__main__":
    typer.run(main)
