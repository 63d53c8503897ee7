"""`finetune check`: a pipeline's folder, loaded strictly, trained for some steps and sampled."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from contextlib import chdir
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from finetune.engines.data_parallel import DataParallel
from finetune.errors import ConfigError, TrainingStopped, WeightsError
from finetune.models.diffusers import LTX_0_9, WAN_2_1, WAN_2_2_5B
from finetune.models.families import recognise_family
from finetune.training.check import check_lines
from tests.kit.pipelines import write_a14b, write_pipeline

QUICK = (
    "steps=3",
    "buckets.0.frames=5",
    "validation.frames=5",
    "validation.height=64",
    "validation.width=64",
    "validation.loss_batches=1",
    "validation.steps=2",
    "schedule.peak=0.01",
)


@pytest.fixture(autouse=True)
def inside(tmp_path: Path) -> Iterator[None]:
    with chdir(tmp_path):
        yield


@pytest.mark.slow
def test_a_folder_is_trained_and_sampled_and_its_losses_compared(
    toy_dataset: Path, tmp_path: Path
) -> None:
    model = write_pipeline(tmp_path / "wan", WAN_2_1)
    Path("work/check/wan").mkdir(parents=True)
    lines = list(check_lines(str(model), str(toy_dataset), QUICK))
    assert lines[0] == "family           wan2.1, WanPipeline, licence apache-2.0"
    assert "each has its place" in lines[1]
    losses = re.findall(r"[\d.]+(?= before)|[\d.]+(?= after)", lines[2])
    assert len(losses) == 2 and losses[0] != losses[1]
    for line in lines[3:]:
        assert Path(line.split()[-1]).is_file()
    assert len(list(Path("work/check/wan-2").rglob("*.mp4"))) == 2  # before and after
    assert not list(Path("work/check/wan").iterdir()), "an earlier check was touched"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("family", "adapters"),
    [("wan2.2-a14b", 2), pytest.param("wan2.2-a14b-low", 1, marks=pytest.mark.soak)],
)
def test_files_that_are_named_are_there(family: str, adapters: int, toy_dataset: Path) -> None:
    lines = list(check_lines("tiny-random", str(toy_dataset), QUICK, family=family))
    files = [line.split()[-1] for line in lines if line.startswith(("samples", "adapter"))]
    assert all(Path(file).is_file() for file in files)
    assert sum(file.endswith(".safetensors") for file in files) == adapters


@pytest.mark.slow
def test_a_check_that_is_stopped_says_so(
    toy_dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backward = DataParallel.backward

    def interrupted(self: DataParallel, loss: torch.Tensor) -> None:
        signal.raise_signal(signal.SIGTERM)
        backward(self, loss)

    monkeypatch.setattr(DataParallel, "backward", interrupted)
    with pytest.raises(TrainingStopped, match="stopped after 1 of 3 steps: run the same"):
        list(check_lines("tiny-random", str(toy_dataset), QUICK, family="wan2.1"))


@pytest.mark.parametrize("part", ["transformer", "vae", "text_encoder"])
def test_a_missing_weight_is_named(part: str, toy_dataset: Path, tmp_path: Path) -> None:
    model = write_pipeline(tmp_path / "wan", WAN_2_1)
    (file,) = (model / part).glob("*.safetensors")
    tensors = load_file(file)
    lost = sorted(name for name in tensors if name.endswith("weight"))[0]
    save_file({n: t for n, t in tensors.items() if n != lost}, file, metadata={"format": "pt"})
    with pytest.raises(WeightsError, match=rf"{part} lacks 1 weights.*{re.escape(lost)}"):
        list(check_lines(str(model), str(toy_dataset), QUICK))


def test_a_pipeline_is_recognised_by_its_index(tmp_path: Path) -> None:
    for family in (WAN_2_1, LTX_0_9):
        folder = write_pipeline(tmp_path / family.name, family)
        assert recognise_family(str(folder)) is family
    folder = write_pipeline(tmp_path / "5b", WAN_2_2_5B, expand_timesteps=True)
    assert recognise_family(str(folder)) is WAN_2_2_5B
    assert recognise_family(str(write_a14b(tmp_path / "a14b"))).name.startswith("wan2.2-a14b")
    (tmp_path / "5b" / "model_index.json").write_text('{"_class_name": "MochiPipeline"}')
    with pytest.raises(WeightsError, match="is a MochiPipeline, of no family here"):
        recognise_family(str(folder))
    with pytest.raises(WeightsError, match=r"has no model_index\.json"):
        recognise_family(str(tmp_path))


def test_tiny_random_is_of_a_named_family(toy_dataset: Path) -> None:
    with pytest.raises(ConfigError, match="name one with --family"):
        list(check_lines("tiny-random", str(toy_dataset)))
    with pytest.raises(ConfigError, match="'stdit2' is no pipeline of diffusers"):
        list(check_lines("tiny-random", str(toy_dataset), family="stdit2"))
