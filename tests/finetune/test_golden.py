"""Every golden file of the network and its diffusion, held to the agreed tolerances.

GOLDEN_DIR names the folder (a copy lies beside this file). Files are found by what they hold, not
by a list: other sizes and seeds of the same format are read as well.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from safetensors import safe_open
from torch import Tensor

from finetune.diffusion import Diffusion, guided, sample
from finetune.models.stdit2 import STDiT2, STDiT2Config
from finetune.schedule import cosine_then_constant, one_cycle

FOLDER = Path(os.environ.get("GOLDEN_DIR") or Path(__file__).with_name("golden"))
ABSOLUTE = 5e-6  # of float32 tensors
CHAIN = 1e-5  # of the guided chain, whose values reach hundreds: relative to the largest
RATE = 1e-4  # of learning rates, relative
SCALARS = ("num_frames", "height", "width", "ar", "fps")


class Golden(NamedTuple):
    """A golden file: its tensors, and the network's config where it holds one."""

    tensors: Mapping[str, Tensor]
    metadata: Mapping[str, str]

    def part(self, prefix: str) -> dict[str, Tensor]:
        return {k.removeprefix(prefix): v for k, v in self.tensors.items() if k.startswith(prefix)}


def read(path: Path) -> Golden:
    with safe_open(path, "pt") as file:
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        return Golden(tensors, file.metadata() or {})


def holding(*keys: str) -> list[Path]:
    """Files of tensors that hold all these keys."""
    found = []
    for path in sorted(FOLDER.glob("*.safetensors")):
        with safe_open(path, "pt") as file:
            if set(keys) <= set(file.keys()):
                found.append(path)
    return found


def tables(pattern: str) -> list[Path]:
    return sorted(FOLDER.glob(pattern))


def cases(paths: list[Path], what: str) -> list[object]:
    """One test a file; a test that is skipped with its reason where there is none."""
    if paths:
        return [pytest.param(path, id=path.stem) for path in paths]
    reason = f"no golden file of {what} in {FOLDER.name}"
    return [pytest.param(None, id="none", marks=pytest.mark.skip(reason=reason))]


NETWORKS = holding("in.x", "out", "weights.final_layer.linear.weight")
PROCESSES = holding("in.x_start", "in.noise", "in.t", "out.loss")
SCHEDULES = tables("lr_schedules*.json")
STATE_DICTS = tables("*state_dict*.json")


def model_of(golden: Golden) -> STDiT2:
    model = STDiT2(STDiT2Config(**json.loads(golden.metadata["config"])))
    model.load_state_dict(golden.part("weights."), strict=True)
    return model.eval()


def largest_error(got: Tensor, wanted: Tensor) -> float:
    assert got.shape == wanted.shape
    return float((got - wanted).abs().max())


def test_golden_files_were_read(capsys: pytest.CaptureFixture[str]) -> None:
    read_here = [*NETWORKS, *PROCESSES, *SCHEDULES, *STATE_DICTS]
    with capsys.disabled():
        print(f"\n{len(read_here)} golden files read from {FOLDER.name}/ for the network")
    assert read_here, f"no golden file in {FOLDER}: nothing was checked"


@pytest.mark.parametrize("path", cases(NETWORKS, "the network"))
def test_the_network_answers_as_published(path: Path) -> None:
    golden = read(path)
    with torch.no_grad():
        output = model_of(golden)(**golden.part("in."))
    assert output.dtype == torch.float32
    assert largest_error(output, golden.tensors["out"]) <= ABSOLUTE


@pytest.fixture(scope="module")
def video() -> tuple[STDiT2, dict[str, Tensor]]:
    """The diffusion files' network, text and scalars."""
    path = FOLDER / "stdit2_video.safetensors"
    if not path.is_file():
        pytest.skip(f"{path.name}, the diffusion files' network, is not in {FOLDER.name}")
    golden = read(path)
    return model_of(golden), golden.part("in.")


class Process:
    """A diffusion file, with the network bound to its text and scalars."""

    def __init__(self, path: Path, video: tuple[STDiT2, dict[str, Tensor]]) -> None:
        self.model, self.told = video
        self.scalars = {name: self.told[name] for name in SCALARS}
        golden = read(path)
        self.metadata, self.given, self.out = (
            golden.metadata,
            golden.part("in."),
            golden.part("out."),
        )
        self.tensors = golden.tensors
        self.diffusion = Diffusion.linear()

    def denoise(self, x: Tensor, timestep: Tensor, frame_mask: Tensor | None, /) -> Tensor:
        told = self.told
        with torch.no_grad():
            return self.model(x, timestep, told["y"], told["mask"], frame_mask, **self.scalars)

    def compare(self, **got: Tensor) -> None:
        for name, tensor in got.items():
            if name in self.out:
                assert largest_error(tensor, self.out[name]) <= ABSOLUTE, name


@pytest.fixture
def process(path: Path, video: tuple[STDiT2, dict[str, Tensor]]) -> Process:
    return Process(path, video)


@pytest.mark.parametrize("path", cases(PROCESSES, "the diffusion"))
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


@pytest.mark.parametrize("path", cases(PROCESSES, "the diffusion"))
def test_a_step_back_is_the_published_one(process: Process) -> None:
    x, t = process.given["noise"], process.given["t"]
    back = process.diffusion.step_back(process.denoise(x, t, None), x, t)
    process.compare(p_mean=back.mean, p_log_variance=back.log_variance, p_xstart=back.x_start)


@pytest.mark.parametrize("path", cases(PROCESSES, "the diffusion"))
def test_respacing_keeps_the_published_steps(process: Process) -> None:
    for name, wanted in process.tensors.items():
        what, _, steps = name.partition("_")
        if what not in {"betas", "timesteps"}:
            continue
        spaced = process.diffusion.respaced(int(steps))
        got = spaced.betas if what == "betas" else spaced.timesteps
        assert largest_error(got.to(wanted.dtype), wanted) <= ABSOLUTE, name


@pytest.mark.parametrize("path", cases(PROCESSES, "the diffusion"))
def test_the_guided_chain_ends_where_the_published_one_does(process: Process) -> None:
    if "cfg_sample" not in process.out:
        pytest.skip("this file holds no guided chain")
    noise, steps = process.given["noise"], process.given["cfg_step_noise"]
    denoise = guided(
        process.model,
        process.told["y"],
        process.model.y_embedder.y_embedding,
        process.told["mask"],
        scale=float(process.metadata["cfg_scale"]),
        channels=int(process.metadata["cfg_channel"]),
        **process.scalars,
    )
    got = sample(process.diffusion.respaced(len(steps)), denoise, noise, steps[:, : len(noise)])
    wanted = process.out["cfg_sample"]
    assert largest_error(got, wanted) / float(wanted.abs().max()) <= CHAIN


@pytest.mark.parametrize("path", cases(SCHEDULES, "learning rates"))
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


@pytest.mark.parametrize("path", cases(STATE_DICTS, "the full network's keys"))
def test_the_full_network_has_the_published_keys_on_no_memory(path: Path) -> None:
    with torch.device("meta"):
        model = STDiT2()
    shapes = {key: list(value.shape) for key, value in model.state_dict().items()}
    assert shapes == json.loads(path.read_text())
    assert all(value.is_meta for value in model.state_dict().values())
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    assert trained == 767_452_064
