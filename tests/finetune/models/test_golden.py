"""Every golden file of the network and its diffusion, held to the agreed tolerances."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path

import pytest
import torch
from torch import Tensor

from finetune.models.stdit2.guidance import classifier_free_guidance
from finetune.models.stdit2.network import STDiT2, STDiT2Config
from finetune.models.stdit2.weights import infer_config
from finetune.objectives import Diffusion, ancestral_sample
from finetune.training.lr_schedule import cosine_then_constant, one_cycle
from tests.kit.golden_files import FOLDER, Golden, cases, files, network_of, read

ABSOLUTE = 5e-6  # of float32 tensors
CHAIN = 1e-5  # of the guided chain, whose values reach hundreds: relative to the largest
RATE = 1e-4  # of learning rates, relative
AMPLIFIED = {"p_xstart"}
"""Answers that multiply the network's output, by up to hundreds: relative to the largest."""
SCALARS = ("num_frames", "height", "width", "ar", "fps")
LOSSES = {"loss", "mse", "vb"}
ANSWERS = {
    *LOSSES,
    *(f"masked_{name}" for name in LOSSES),
    *("x_t", "x_t_masked", "p_mean", "p_log_variance", "p_xstart", "cfg_sample"),
}
"""What a diffusion file may hold the answers to: each is compared below."""


def model_of(golden: Golden) -> STDiT2:
    model = STDiT2(STDiT2Config(**json.loads(golden.metadata["config"])))
    model.load_state_dict(golden.part("weights."), strict=True)
    return model.eval()


def largest_error(got: Tensor, wanted: Tensor) -> float:
    assert got.shape == wanted.shape
    return float((got - wanted).abs().max())


def test_golden_files_were_read(capsys: pytest.CaptureFixture[str]) -> None:
    found = {kind: len(paths) for kind, paths in files().items() if kind}
    unknown = [path.name for path in files().get(None, [])]
    with capsys.disabled():
        told = ", ".join(f"{count} of {kind}" for kind, count in found.items())
        print(f"\n{sum(found.values())} golden files read from {FOLDER.name}/: {told}")
        print("".join(f"{name} is in no golden format: not read\n" for name in unknown), end="")
    assert found, f"no golden file in {FOLDER}: nothing was checked"


@pytest.mark.parametrize("path", cases("network"))
def test_the_network_answers_as_published(path: Path) -> None:
    golden = read(path)
    with torch.no_grad():
        output = model_of(golden)(**golden.part("in."))
    assert output.dtype == torch.float32
    assert largest_error(output, golden.tensors["out"]) <= ABSOLUTE


@cache
def video(path: Path) -> tuple[STDiT2, dict[str, Tensor]]:
    """A network with the text and scalars that it was told."""
    golden = read(path)
    return model_of(golden), golden.part("in.")


class Process:
    """A diffusion file, with its network bound to its text and scalars."""

    def __init__(self, path: Path, network: Path) -> None:
        self.model, self.told = video(network)
        self.scalars = {name: self.told[name] for name in SCALARS}
        golden = read(path)
        self.tensors, self.metadata = golden
        self.given, self.out = golden.part("in."), golden.part("out.")
        self.diffusion = Diffusion.linear()

    def denoise(self, x: Tensor, timestep: Tensor, frame_mask: Tensor | None, /) -> Tensor:
        told = self.told
        with torch.no_grad():
            return self.model(x, timestep, told["y"], told["mask"], frame_mask, **self.scalars)

    def compare(self, **got: Tensor) -> None:
        for name, tensor in got.items():
            if name in self.out:
                scale = float(self.out[name].abs().max()) if name in AMPLIFIED else 1.0
                assert largest_error(tensor, self.out[name]) <= ABSOLUTE * max(1.0, scale), name


@pytest.fixture
def process(path: Path) -> Process:
    network = network_of(path)
    if network is None:
        pytest.skip(f"the network of {path.name} is not in {FOLDER.name}")
    return Process(path, network)


@pytest.mark.parametrize("path", cases("diffusion"))
def test_every_answer_in_the_file_is_compared(path: Path) -> None:
    assert set(read(path).part("out.")) <= ANSWERS


@pytest.mark.parametrize("path", cases("diffusion"))
def test_losses_are_the_published_ones(process: Process) -> None:
    given = process.given
    x, t, noise = given["x_start"], given["t"], given["noise"]
    plain = process.diffusion.losses(process.denoise, x, t, noise)
    process.compare(**plain._asdict(), x_t=process.diffusion.q_sample(x, t, noise))
    mask = given.get("frame_mask")
    if mask is not None:
        masked = process.diffusion.losses(process.denoise, x, t, noise, mask)
        process.compare(**{f"masked_{name}": value for name, value in masked._asdict().items()})
        process.compare(x_t_masked=process.diffusion.q_sample(x, t, noise, mask))


@pytest.mark.parametrize("path", cases("diffusion"))
def test_a_step_back_is_the_published_one(process: Process) -> None:
    x, t = process.given["noise"], process.given["t"]
    back = process.diffusion.p_mean_variance(process.denoise(x, t, None), x, t)
    process.compare(p_mean=back.mean, p_log_variance=back.log_variance, p_xstart=back.x_start)


@pytest.mark.parametrize("path", cases("diffusion"))
def test_respacing_keeps_the_published_steps(process: Process) -> None:
    for name, wanted in process.tensors.items():
        what, _, steps = name.partition("_")
        if what not in {"betas", "timesteps"}:
            continue
        spaced = process.diffusion.respaced(int(steps))
        got = spaced.betas if what == "betas" else spaced.timesteps
        assert largest_error(got.to(wanted.dtype), wanted) <= ABSOLUTE, name


@pytest.mark.parametrize("path", cases("diffusion"))
def test_the_guided_chain_ends_where_the_published_one_does(process: Process) -> None:
    if "cfg_sample" not in process.out:
        pytest.skip("this file holds no guided chain")
    noise, steps = process.given["noise"], process.given["cfg_step_noise"]
    denoise = classifier_free_guidance(
        process.model,
        process.told["y"],
        process.model.y_embedder.y_embedding,
        process.told["mask"],
        scale=float(process.metadata["cfg_scale"]),
        channels=int(process.metadata["cfg_channel"]),
        **process.scalars,
    )
    got = ancestral_sample(
        process.diffusion.respaced(len(steps)), denoise, noise, steps[:, : len(noise)]
    )
    wanted = process.out["cfg_sample"]
    assert largest_error(got, wanted) / float(wanted.abs().max()) <= CHAIN


@pytest.mark.parametrize("path", cases("rates"))
def test_rates_follow_the_recipes(path: Path) -> None:
    for name, rates in json.loads(path.read_text()).items():
        rate = rate_called(name)
        for step, wanted in rates.items():
            assert rate(int(step)) == pytest.approx(wanted, rel=RATE), f"{name}, step {step}"


def rate_called(name: str) -> Callable[[int], float]:
    """The schedule that a table's name describes: its kind, then its numbers."""
    numbers = [float(number) for number in re.findall(r"(?<= )[\d.]+(?:e-?\d+)?", name)]
    if name.startswith("cosine_const"):
        warmup, peak = numbers
        return partial(cosine_then_constant, start=1e-7, peak=peak, warmup=int(warmup))
    start, peak, up, final, down = numbers
    return partial(
        one_cycle, start=start, peak=peak, final=final, warmup=int(up), cooldown=int(down)
    )


@pytest.mark.parametrize("path", cases("state dict"))
def test_the_full_network_has_the_published_keys_on_no_memory(path: Path) -> None:
    published = json.loads(path.read_text())
    with torch.device("meta"):
        config = infer_config({key: torch.empty(shape) for key, shape in published.items()})
        model = STDiT2(config)
    shapes = {key: list(value.shape) for key, value in model.state_dict().items()}
    assert shapes == published
    assert all(value.is_meta for value in model.state_dict().values())
    if config.depth == 28:
        assert config == STDiT2Config()
        assert len(shapes) == 707
        assert sum(p.numel() for p in model.parameters() if p.requires_grad) == 767_452_064
