"""Every engine from the same weights and data gives the same losses, and resumes any other."""

from __future__ import annotations

import importlib.util
import json
import pickle
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from finetune.config import Bucket, Recipe, Schedule
from finetune.data.cache import build_cache
from finetune.models.stdit2.network import STDiT2
from finetune.training.checkpoint_folders import checkpoint_folder
from finetune.training.loop import train
from finetune.training.run import new_model
from tests.finetune.conftest import MakeRecipe
from tests.kit.ranks import train_in_ranks

pytestmark = pytest.mark.slow
needs_colossalai = pytest.mark.skipif(
    importlib.util.find_spec("colossalai") is None,
    reason="ColossalAI is not installed (docs/finetune.md has two ways)",
)
needs_newer_torch = pytest.mark.skipif(
    torch.__version__ < "2.6" and not torch.cuda.is_available(),
    reason="torch 2.5 has FSDP2 on GPUs alone",
)
ENGINES = [
    pytest.param("torch", "ddp", id="ddp"),
    pytest.param("torch", "fsdp2", id="fsdp2", marks=needs_newer_torch),
    pytest.param("colossalai", "zero1", id="zero1", marks=needs_colossalai),
    pytest.param("colossalai", "zero2", id="zero2", marks=needs_colossalai),
]
HALVES = [
    pytest.param(
        "zero1", "bfloat16", "hybrid_adam", id="zero1-bf16-hybrid", marks=pytest.mark.soak
    ),
    pytest.param("zero2", "float16", "adamw", id="zero2-fp16"),
    pytest.param("gemini", "bfloat16", "hybrid_adam", id="gemini-bf16"),
]
STEPS = 20


@pytest.fixture
def recipe(make_recipe: MakeRecipe, tmp_path: Path) -> Recipe:
    """20 steps in float32 of batches of two, from weights on disk whose every branch is open."""
    made = make_recipe(
        steps=STEPS,
        buckets=(Bucket(resolution="144p", frames=4, batch_size=2, micro_batch_size=1),),
        schedule=Schedule(kind="constant", peak=3e-4),
    )
    made = replace(made, checkpoints=replace(made.checkpoints, every=10))
    torch.manual_seed(3)
    model = new_model(made)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.02 * torch.randn_like(parameter)
    model.save_pretrained(tmp_path / "init")
    build_cache(made)
    return replace(made, init=str(tmp_path / "init"))


def figures(out: Path, name: str) -> list[float]:
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return [line[name] for line in lines if name in line]


@pytest.mark.parametrize(("engine", "strategy"), ENGINES)
def test_two_ranks_of_any_engine_lose_what_one_device_loses(
    recipe: Recipe, engine: str, strategy: str, tmp_path: Path
) -> None:
    (bucket,) = recipe.buckets
    alone = replace(recipe, out=str(tmp_path / "alone"), buckets=(replace(bucket, batch_size=4),))
    train(alone)
    again = replace(bucket, activation_checkpointing=True)  # and what is computed twice is the same
    two = replace(recipe, engine=engine, strategy=strategy, buckets=(again,))
    out = train_in_ranks(replace(two, out=str(tmp_path / strategy)))
    expected, found = (figures(Path(o), "loss") for o in (alone.out, out))
    assert len(found) == STEPS
    worst = max(abs(a - b) / a for a, b in zip(expected, found, strict=True))
    print(f"{strategy}: largest relative difference of {STEPS} losses {worst:.1e}")
    assert worst <= 1e-5
    assert figures(out, "grad_norm") == pytest.approx(figures(Path(alone.out), "grad_norm"), 1e-4)


@pytest.mark.parametrize(("engine", "strategy"), ENGINES)
def test_a_run_goes_on_with_another_engine_and_number_of_ranks(
    recipe: Recipe, engine: str, strategy: str, tmp_path: Path
) -> None:
    (bucket,) = recipe.buckets
    one = replace(recipe, buckets=(replace(bucket, batch_size=4),))
    whole = replace(one, out=str(tmp_path / "whole"), steps=8)
    train(whole)
    train(replace(one, steps=3))
    two = replace(recipe, engine=engine, strategy=strategy, steps=6)
    out = train_in_ranks(two, resume="auto")
    train(replace(one, steps=8), resume="auto")
    assert figures(out, "loss") == pytest.approx(figures(Path(whole.out), "loss"), rel=1e-5)
    ours, theirs = (
        STDiT2.from_pretrained(checkpoint_folder(o, 8) / "ema").state_dict()
        for o in (out, Path(whole.out))
    )
    for name, value in theirs.items():
        torch.testing.assert_close(ours[name], value, rtol=1e-3, atol=1e-5)


@needs_colossalai
@pytest.mark.parametrize(("strategy", "precision", "kind"), HALVES)
def test_half_precisions_lose_what_torch_loses(
    recipe: Recipe, strategy: str, precision: str, kind: str, tmp_path: Path
) -> None:
    """From torch's checkpoint of step 2 to 4, then torch goes on to 6."""
    (bucket,) = recipe.buckets
    one = replace(
        recipe,
        precision="bfloat16",
        buckets=(replace(bucket, batch_size=4),),
        checkpoints=replace(recipe.checkpoints, every=2, keep_last=0),
    )
    whole = replace(one, out=str(tmp_path / "whole"), steps=6)
    train(whole)
    train(replace(one, steps=2))
    other = replace(
        recipe,
        engine="colossalai",
        strategy=strategy,
        precision=precision,
        optimizer=replace(recipe.optimizer, kind=kind),
        steps=4,
    )
    out = train_in_ranks(other, resume="auto", allow=["precision"])
    train(replace(one, steps=6), resume="auto", allow=["precision"])
    for name, close in (("loss", 1e-3), ("grad_norm", 1e-2)):
        assert figures(out, name) == pytest.approx(figures(Path(whole.out), name), rel=close)
    ours, theirs = (kinds(checkpoint_folder(o, 4)) for o in (out, Path(whole.out)))
    assert ours.keys() == theirs.keys()
    for name, value in theirs.items():
        torch.testing.assert_close(ours[name], value, rtol=2e-2, atol=5e-4)


def kinds(folder: Path) -> dict[str, torch.Tensor]:
    """Weights, averages and moments of a checkpoint, by kind and name."""
    files = sorted(folder.rglob("*.safetensors"))
    return {f"{f.parent.name}/{name}": value for f in files for name, value in load_file(f).items()}


@needs_colossalai
@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU compiles it")
def test_a_hybrid_adam_that_cannot_be_compiled_says_what_it_wants(recipe: Recipe) -> None:
    """In a process of its own: no stand-in for the kernel there."""
    script = (
        "import pickle, sys; "
        "from finetune.training.loop import train; recipe = pickle.load(sys.stdin.buffer); "
        "from finetune.errors import exit_with_one_line\nwith exit_with_one_line(): train(recipe)"
    )
    hybrid = replace(
        recipe, engine="colossalai", optimizer=replace(recipe.optimizer, kind="hybrid_adam")
    )
    ended = subprocess.run(
        [sys.executable, "-c", script], input=pickle.dumps(hybrid), capture_output=True, check=False
    )
    stderr = ended.stderr.decode()
    assert ended.returncode == 1
    assert "error: optimizer.kind 'hybrid_adam' could not be compiled" in stderr
    assert "Traceback" not in stderr


@needs_colossalai
@pytest.mark.parametrize(
    ("strategy", "kind"), [("zero2", "adamw"), ("gemini", "hybrid_adam")], ids=["zero2", "gemini"]
)
def test_an_overflow_in_float16_skips_steps_until_the_scale_fits_and_stays_fitting(
    recipe: Recipe, strategy: str, kind: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from tests.kit import cpushim

    cpushim.install()
    monkeypatch.setattr("finetune.engines.colossalai.booster.INITIAL_LOSS_SCALE", 2.0**22)
    scaled = replace(
        recipe,
        engine="colossalai",
        strategy=strategy,
        precision="float16",
        optimizer=replace(recipe.optimizer, kind=kind),
        steps=12,
    )
    skipped = train(scaled)["skipped_steps"]
    assert isinstance(skipped, int)
    assert 1 <= skipped < 10
    norms = figures(Path(scaled.out), "grad_norm")
    assert norms[:skipped] == [float("inf")] * skipped
    assert max(norms[skipped:]) < 2
    assert max(figures(Path(scaled.out), "loss")) < 2
    begun = replace(scaled, out=str(tmp_path / "begun"))
    train(replace(begun, steps=10))
    assert train(begun, resume="auto")["skipped_steps"] == skipped
    assert figures(Path(begun.out), "loss") == figures(Path(scaled.out), "loss")
    manifest = json.loads((checkpoint_folder(Path(begun.out), 12) / "manifest.json").read_text())
    taken = 12 - skipped
    assert manifest["loss_scale"] == {
        "scale": 2.0**22 / 2 ** (skipped - 1),
        "growth_step": taken,
        "hysteresis_step": skipped,
    }
