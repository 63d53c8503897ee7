"""The golden tests read files of any name and size, and fail for each wrong value."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from finetune.models.stdit2.guidance import classifier_free_guidance
from finetune.models.stdit2.network import STDiT2, STDiT2Config
from finetune.objectives import Diffusion, ancestral_sample
from tests.kit.networks import TINY, inputs, tiny_model

pytestmark = pytest.mark.slow
WIDE = dataclasses.replace(TINY, hidden_size=72, num_heads=3, depth=1)
STEPS = 5
Tensors = dict[str, Tensor]


def run_golden_tests(folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the golden tests on a folder."""
    modules = [str(path) for path in sorted(Path(__file__).parents[1].rglob("test_golden*.py"))]
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *modules],
        env={**os.environ, "GOLDEN_DIR": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )


@torch.no_grad()
def network_file(model: STDiT2, batch: Tensors) -> Tensors:
    """Return a golden file of a network."""
    weights = {f"weights.{name}": value for name, value in model.state_dict().items()}
    return {**weights, **{f"in.{n}": t for n, t in batch.items()}, "out": model(**batch)}


@torch.no_grad()
def diffusion_file(model: STDiT2, batch: Tensors, steps: int) -> Tensors:
    """Return a golden file of the diffusion, with a guided chain of so many steps."""
    text = {"y": batch["y"], "mask": batch["mask"]}
    scalars = {n: t for n, t in batch.items() if n not in {"x", "timestep", *text}}
    torch.manual_seed(3)
    x, noise = torch.randn_like(batch["x"]), torch.randn_like(batch["x"])
    step_noise = torch.randn(steps, 2 * len(x), *x.shape[1:])
    mask = torch.rand(x.shape[0], x.shape[2]) < 0.5
    mask[:, 0] = True
    t = torch.tensor([0, 999, 7])[: len(x)]
    process = Diffusion.linear()
    spaced = process.respaced(steps)

    def denoise(x: Tensor, timestep: Tensor, frame_mask: Tensor | None, /) -> Tensor:
        return model(x, timestep, text["y"], text["mask"], frame_mask, **scalars)

    losses = process.losses(denoise, x, t, noise)._asdict()
    masked = process.losses(denoise, x, t, noise, mask)._asdict()
    null = model.y_embedder.y_embedding
    free = classifier_free_guidance(
        model, text["y"], null, text["mask"], scale=4.0, channels=2, **scalars
    )
    return {
        "in.x_start": x,
        "in.noise": noise,
        "in.t": t,
        "in.frame_mask": mask,
        "in.cfg_step_noise": step_noise,
        **{f"out.{name}": value for name, value in losses.items()},
        **{f"out.masked_{name}": value for name, value in masked.items()},
        "out.p_mean": process.p_mean_variance(denoise(noise, t, None), noise, t).mean,
        "out.cfg_sample": ancestral_sample(spaced, free, noise, step_noise[:, : len(x)]),
        f"timesteps_{steps}": spaced.timesteps,
        f"betas_{steps}": spaced.betas.double(),
    }


def write(file: Path, tensors: Tensors, config: STDiT2Config = TINY) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    settings = dataclasses.asdict(config)
    del settings["round_scalars"]
    metadata = {"config": json.dumps(settings), "cfg_scale": "4.0", "cfg_channel": "2"}
    save_file({n: t.clone().contiguous() for n, t in tensors.items()}, file, metadata)


@pytest.fixture(scope="module")
def video() -> tuple[STDiT2, Tensors]:
    """Three clips of three frames, of an odd size, and the network that saw them."""
    return tiny_model(7).eval(), inputs(batch=3, frames=3, rows=5, columns=7, seed=9)


RATES = {"cosine_const (warmup 20, lr 3e-4)": {"19": 3e-4, "500": 3e-4}}
CASE = {"recipe": "another", "num_frames": 70, "height": 480, "width": 854, "frame_interval": 2}
FITS = {**CASE, "bucket": ["480p", 32, "0.56"], "thw": [32, 480, 854], "batch_size": 3}
SHORT = {**CASE, "num_frames": 64, "bucket": None}


def test_files_of_other_names_and_sizes_are_read(
    video: tuple[STDiT2, Tensors], tmp_path: Path
) -> None:
    write(tmp_path / "clip_seed7.safetensors", network_file(*video))
    write(tmp_path / "noise_seed7.safetensors", diffusion_file(*video, STEPS))
    wide, still = tiny_model(1, WIDE).eval(), inputs(batch=1, frames=1, rows=3, columns=2)
    write(tmp_path / "deeper" / "still.safetensors", network_file(wide, still), WIDE)
    (tmp_path / "rates.json").write_text(json.dumps(RATES))
    (tmp_path / "cases.json").write_text(json.dumps([FITS, SHORT]))
    (tmp_path / "note.json").write_text(json.dumps({"note": "of no golden format"}))
    result = run_golden_tests(tmp_path)
    assert result.returncode == 0, result.stdout
    assert "5 golden files read" in result.stdout
    assert "note.json is in no golden format: not read" in result.stdout


def test_each_answer_that_is_not_so_fails(video: tuple[STDiT2, Tensors], tmp_path: Path) -> None:
    network, process = network_file(*video), diffusion_file(*video, STEPS)
    write(tmp_path / "clip.safetensors", network)
    answers = [name for name in process if not name.startswith("in.")]
    for name in answers:
        wrong = {**process, name: process[name].clone()}
        largest = process[name].abs().max()
        wrong[name].view(-1)[-1] += 1 if name.startswith("timesteps") else 3e-5 * max(1, largest)
        write(tmp_path / f"wrong_{name}.safetensors", wrong)
    write(tmp_path / "wrong_net.safetensors", {**network, "out": network["out"] + 6e-6})
    write(tmp_path / "wrong_more.safetensors", {**process, "out.more": process["out.loss"]})
    (tmp_path / "rates.json").write_text(json.dumps({name: {"19": 2.9e-4} for name in RATES}))
    (tmp_path / "cases.json").write_text(json.dumps([FITS, {**SHORT, "num_frames": 65}]))
    result = run_golden_tests(tmp_path)
    assert f"{len(answers) + 4} failed" in result.stdout, result.stdout


def test_reading_nothing_fails(tmp_path: Path) -> None:
    result = run_golden_tests(tmp_path)
    assert result.returncode == 1
    assert "nothing was checked" in result.stdout
