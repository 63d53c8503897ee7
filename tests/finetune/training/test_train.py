"""The loop: full batches and micro-batches agree, and a resumed run is the uninterrupted one."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import signal
from collections import Counter
from dataclasses import replace
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch.utils.checkpoint import checkpoint as torch_checkpoint

from brickfilm.files import replace_folder
from finetune.cli.training import summary_lines
from finetune.config import (
    Bucket,
    Checkpoints,
    LossSpikes,
    PublishedCost,
    Recipe,
    Schedule,
    Validation,
)
from finetune.data.cache import build_cache
from finetune.data.cache_layout import index_folder
from finetune.data.index import build_index
from finetune.data.loader import SampleLoader, batches
from finetune.data.sampler import Sampler, SamplerState
from finetune.engines.data_parallel import DataParallel
from finetune.errors import (
    CacheError,
    CheckpointError,
    ConfigError,
    DataError,
    LoaderKilled,
    TrainingStopped,
    exit_with_one_line,
)
from finetune.models.stdit2.network import STDiT2
from finetune.models.text_encoder import TextEncoder, TextStates
from finetune.sampling.generate import generate_latent
from finetune.sampling.sources import find_model
from finetune.training.checkpoint_folders import (
    checkpoint_folder,
    latest_checkpoint,
    list_checkpoints,
)
from finetune.training.loop import train
from finetune.training.resume import lock_run_folder
from finetune.training.run import TrainingRun
from tests.finetune.conftest import MakeRecipe
from tests.kit.networks import TINY, tiny_model
from tests.kit.toy_clips import Toy, captions, write_dataset

RATE = Schedule(kind="constant", peak=1e-3)


@pytest.fixture
def recipe(make_recipe: MakeRecipe) -> Recipe:
    """A recipe with its cache built."""
    made = make_recipe(schedule=RATE)
    build_cache(made)
    return made


def losses(recipe: Recipe) -> list[float]:
    lines = (Path(recipe.out) / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line)["loss"] for line in lines if "loss" in json.loads(line)]


def tensors(folder: Path) -> dict[str, torch.Tensor]:
    """Everything that a checkpoint holds, by kind and name."""
    return {
        f"{file.parent.name}/{name}": value
        for file in sorted(folder.rglob("*.safetensors"))
        for name, value in load_file(file).items()
    }


def final(recipe: Recipe) -> dict[str, torch.Tensor]:
    return tensors(checkpoint_folder(Path(recipe.out), recipe.steps))


def same(one: dict[str, torch.Tensor], two: dict[str, torch.Tensor]) -> bool:
    return one.keys() == two.keys() and all(torch.equal(one[n], two[n]) for n in one)


def test_a_resumed_run_is_the_uninterrupted_one_bit_for_bit(recipe: Recipe, tmp_path: Path) -> None:
    train(recipe)
    begun = replace(recipe, out=str(tmp_path / "begun"), steps=2)
    train(begun)
    train(replace(begun, steps=4), resume="auto")
    assert same(final(recipe), final(replace(begun, steps=4)))
    assert losses(recipe) == losses(begun)
    assert len(losses(recipe)) == 4


@pytest.mark.slow
def test_micro_batches_add_up_to_the_full_batch(recipe: Recipe, tmp_path: Path) -> None:
    train(recipe)
    (bucket,) = recipe.buckets
    micro = replace(recipe, out=str(tmp_path / "m"), buckets=(replace(bucket, micro_batch_size=1),))
    train(micro)
    assert losses(micro) == pytest.approx(losses(recipe), rel=1e-5)
    for name, value in final(recipe).items():
        torch.testing.assert_close(final(micro)[name], value, rtol=1e-3, atol=1e-5)


@pytest.mark.slow
def test_a_bucket_says_how_many_blocks_are_recomputed(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(recipe)
    checkpointed = list[object]()

    def counted(*arguments: Any, **options: Any) -> Any:
        checkpointed.append(arguments)
        return torch_checkpoint(*arguments, **options)

    monkeypatch.setattr("finetune.models.stdit2.blocks.checkpoint", counted)
    (bucket,) = recipe.buckets
    again = replace(
        recipe, out=str(tmp_path / "a"), buckets=(replace(bucket, activation_checkpointing=True),)
    )
    train(again)
    assert len(checkpointed) == recipe.network.depth * recipe.steps
    assert losses(again) == losses(recipe)


@pytest.mark.slow
def test_pixels_and_cache_train_the_same(recipe: Recipe, tmp_path: Path) -> None:
    train(recipe)
    online = replace(recipe, out=str(tmp_path / "online"), latents="online")
    train(online)
    assert losses(online) == pytest.approx(losses(recipe), rel=1e-4)


@pytest.mark.slow
def test_all_captions_of_a_batch_are_encoded_at_once(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(recipe)
    encode, read = TextEncoder.encode, list[int]()

    def counted(self: TextEncoder, captions: list[str]) -> TextStates:
        read.append(len(captions))
        return encode(self, captions)

    monkeypatch.setattr(TextEncoder, "encode", counted)
    (bucket,) = recipe.buckets
    one_by_one = (replace(bucket, micro_batch_size=1),)
    online = replace(recipe, out=str(tmp_path / "o"), latents="online", buckets=one_by_one)
    train(online)
    assert read == [bucket.batch_size] * recipe.steps
    assert losses(online) == pytest.approx(losses(recipe), rel=1e-4)


@pytest.mark.slow
def test_a_checkpoint_loads_as_a_model(recipe: Recipe) -> None:
    train(recipe)
    folder = checkpoint_folder(Path(recipe.out), 4)
    model, ema = (STDiT2.from_pretrained(folder / kind) for kind in ("model", "ema"))
    assert model.config.hidden_size == 48
    assert not torch.equal(model.final_layer.linear.weight, ema.final_layer.linear.weight)
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["samples"] == 8
    found = [find_model(recipe.out, weights=weights).weights for weights in (None, "ema", "raw")]
    assert found == [folder / "ema", folder / "ema", folder / "model"]
    assert manifest["recipe"]["network"]["depth"] == 1


@pytest.mark.slow
def test_a_recipe_trains_on_from_a_checkpoint(recipe: Recipe, tmp_path: Path) -> None:
    train(recipe)
    ema = checkpoint_folder(Path(recipe.out), 4) / "ema"
    second = replace(recipe, out=str(tmp_path / "second"), init=str(ema), steps=1)
    assert train(second)["steps"] == 1


@pytest.mark.slow
def test_a_resumed_run_needs_its_init_no_more(recipe: Recipe, tmp_path: Path) -> None:
    """Its null text is the checkpoint's, not that of weights that are elsewhere by now."""
    init = tmp_path / "init"
    model = tiny_model(config=replace(TINY, depth=1, caption_channels=16, model_max_length=16))
    model.save_pretrained(init)
    begun = replace(recipe, init=str(init), steps=1)
    train(begun)
    shutil.rmtree(init)
    train(replace(begun, steps=2, init="random"), resume="auto")
    trained = STDiT2.from_pretrained(checkpoint_folder(Path(recipe.out), 2) / "model")
    assert torch.equal(trained.y_embedder.y_embedding, model.y_embedder.y_embedding)


@pytest.mark.slow
def test_changed_data_are_an_error_unless_said_so(recipe: Recipe, tmp_path: Path) -> None:
    train(replace(recipe, steps=2))
    folder = write_dataset(tmp_path / "other", [Toy(caption=text) for text in captions(4)])
    changed = replace(recipe, dataset=str(folder))
    build_cache(changed)
    with pytest.raises(CheckpointError, match="--new-data"):
        train(changed, resume="auto")
    train(changed, resume="auto", new_data=True)
    folder = checkpoint_folder(Path(recipe.out), 4)
    manifest = json.loads((folder / "manifest.json").read_text())
    assert (manifest["generation"], manifest["samples"]) == (1, 4)


@pytest.mark.slow
def test_a_run_is_not_begun_over_another(recipe: Recipe) -> None:
    train(replace(recipe, steps=2))
    with pytest.raises(ConfigError, match="--resume auto"):
        train(recipe)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_sigterm_and_ctrl_c_save_and_end(
    number: int, recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    log_step = TrainingRun.log_step

    def stop(self: TrainingRun, *args: Any, **named: Any) -> None:
        log_step(self, *args, **named)
        if self.step == 2:
            os.kill(os.getpid(), number)

    monkeypatch.setattr(TrainingRun, "log_step", stop)
    rare = replace(recipe, steps=50, checkpoints=replace(recipe.checkpoints, every=100))
    assert train(rare)["steps"] == 3  # requested in step 2: the third is the last
    assert latest_checkpoint(Path(recipe.out)) == checkpoint_folder(Path(recipe.out), 3)


@pytest.mark.slow
def test_sigterm_while_saving_ends_with_what_is_saved(
    recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(new: Path, target: Path) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        replace_folder(new, target)

    monkeypatch.setattr("finetune.training.checkpoint.replace_folder", stopped)
    assert train(replace(recipe, steps=50))["steps"] == 2
    assert latest_checkpoint(Path(recipe.out)) == checkpoint_folder(Path(recipe.out), 2)


@pytest.mark.slow
def test_sigterm_ends_sampling_too(recipe: Recipe, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[object] = []

    def stop(*arguments: Any) -> torch.Tensor:
        drawn.append(arguments)
        os.kill(os.getpid(), signal.SIGTERM)
        return generate_latent(*arguments)

    monkeypatch.setattr("finetune.validation.validator.generate_latent", stop)
    size = {"frames": 4, "height": 144, "width": 256}
    ask = Validation(prompts=("a boat", "a car"), steps=3, **size)
    assert train(replace(recipe, steps=50, validation=ask))["steps"] == 1
    assert len(drawn) == 1
    assert latest_checkpoint(Path(recipe.out)) == checkpoint_folder(Path(recipe.out), 1)
    assert not list(Path(recipe.out).rglob("*.mp4"))


@pytest.mark.slow
def test_a_step_of_nan_is_skipped_and_counted(
    recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    backward = DataParallel.backward
    calls = 0

    def poisoned(self: DataParallel, loss: torch.Tensor) -> None:
        nonlocal calls
        calls += 1
        backward(self, loss * float("nan") if calls == 2 else loss)

    monkeypatch.setattr(DataParallel, "backward", poisoned)
    summary = train(recipe)
    assert (summary["skipped_steps"], summary["steps"]) == (1, 4)
    assert all(value.isfinite().all() for value in final(recipe).values())


@pytest.mark.slow
def test_nan_without_end_stops_the_run(recipe: Recipe, monkeypatch: pytest.MonkeyPatch) -> None:
    backward = DataParallel.backward
    monkeypatch.setattr(DataParallel, "backward", lambda s, loss: backward(s, loss * float("nan")))
    with pytest.raises(TrainingStopped, match="3 steps in a row"):
        train(replace(recipe, steps=50, loss_spikes=LossSpikes(max_consecutive_skips=3)))


def test_bad_samples_are_left_out_told_and_counted(
    make_recipe: MakeRecipe,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    backward, trained = DataParallel.backward, list[float]()

    def noted(self: DataParallel, loss: torch.Tensor) -> None:
        trained.append(loss.item())
        backward(self, loss)

    monkeypatch.setattr(DataParallel, "backward", noted)
    clips = [Toy(), Toy(), Toy(media=b"no video")]
    dataset = write_dataset(tmp_path / "set", clips)
    recipe = make_recipe(dataset=str(dataset), latents="online", steps=3)
    assert train(recipe)["bad_samples"] == 2  # 6 samples are two epochs of three clips
    assert trained == pytest.approx(losses(recipe))  # blanks in their place count for nothing
    messages = [r.message for r in caplog.records if r.message.startswith("skipped a sample")]
    assert len(messages) == 1
    assert all(isfinite(value) for value in losses(recipe))


@pytest.mark.slow
def test_a_run_without_a_readable_sample_says_so(
    recipe: Recipe, caplog: pytest.LogCaptureFixture
) -> None:
    (shard,) = Path(recipe.cache).glob("latents-*/144x256/*.safetensors")
    shard.write_bytes(shard.read_bytes()[:-1000])
    with pytest.raises(TrainingStopped, match="none of their samples could be read"):
        train(replace(recipe, steps=50, loss_spikes=LossSpikes(max_consecutive_skips=3)))
    assert any(f"{shard} is damaged" in record.message for record in caplog.records)


def test_a_long_caption_is_refused_with_pixels_too(make_recipe: MakeRecipe) -> None:
    online = make_recipe(latents="online", long_captions="error", text_tokens=3)
    with pytest.raises(ConfigError, match=r"a caption is \d+ tokens over 3: 'a .*; shorten it"):
        train(online)


@pytest.mark.slow
def test_a_killed_loader_process_is_named_after_a_checkpoint(
    recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    log_step = TrainingRun.log_step

    def kill(self: TrainingRun, *args: Any, **named: Any) -> None:
        log_step(self, *args, **named)
        if self.step == 2:
            multiprocessing.active_children()[0].kill()

    monkeypatch.setattr(TrainingRun, "log_step", kill)
    with pytest.raises(LoaderKilled, match=r"killed.*/dev/shm: lower workers \(2\)"):
        train(replace(recipe, workers=2, steps=50, checkpoints=Checkpoints(every=100)))
    assert not multiprocessing.active_children()  # at exit one would be waited for without end
    saved = latest_checkpoint(Path(recipe.out))
    assert saved is not None and 3 <= int(saved.name[-8:]) < 50


@pytest.mark.slow
def test_an_error_in_a_loader_process_is_one_line(make_recipe: MakeRecipe, tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "set", [Toy(), Toy()])
    recipe = make_recipe(dataset=str(folder), latents="online", workers=1)
    index = build_index(recipe.dataset, index_folder(recipe))
    write_dataset(folder, [Toy(), Toy(caption="another")])
    sampler = Sampler(index, recipe, np.ones(2, dtype=bool), 0)
    load = SampleLoader(index_folder(recipe), recipe, index)
    with pytest.raises(DataError, match=r"^[^\n]*changed during the run[^\n]*$"):
        next(batches(load, sampler, SamplerState(), rank=0, world_size=1, workers=1))


@pytest.mark.slow
def test_a_cache_of_another_width_is_named(recipe: Recipe) -> None:
    network = replace(recipe.network, caption_channels=24)
    with pytest.raises(CacheError, match=r"states of width 16, network\.caption_channels is 24"):
        train(replace(recipe, network=network))


@pytest.mark.slow
def test_weights_of_another_text_encoder_are_named(recipe: Recipe, tmp_path: Path) -> None:
    train(recipe)
    init = str(checkpoint_folder(Path(recipe.out), 4) / "ema")
    network = replace(recipe.network, caption_channels=24)
    other = replace(recipe, init=init, network=network, out=str(tmp_path / "other"))
    with pytest.raises(ConfigError, match=r"width 16, network\.caption_channels is 24: set it to"):
        train(other)


@pytest.mark.slow
def test_a_folder_that_cannot_be_written_to_is_one_line(
    recipe: Recipe, capsys: pytest.CaptureFixture[str]
) -> None:
    (Path(recipe.cache) / "index-file").write_text("in the way")
    with pytest.raises(SystemExit) as left, exit_with_one_line():
        train(replace(recipe, out=f"{recipe.cache}/index-file/run"))
    assert left.value.code == 2
    stderr = capsys.readouterr().err
    assert "index-file" in stderr
    assert "name another out" in stderr


@pytest.mark.slow
def test_a_full_disk_keeps_the_last_good_checkpoint(
    recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    import resource

    train(replace(recipe, steps=2))
    good = tensors(checkpoint_folder(Path(recipe.out), 2))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, limits[1]))
    try:
        with pytest.raises(CheckpointError, match=r"last good one is .*step-00000002"):
            train(recipe, resume="auto")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert [p.name for p in Path(recipe.out).glob("step-*")] == ["step-00000002"]
    assert same(tensors(checkpoint_folder(Path(recipe.out), 2)), good)
    assert train(recipe, resume="auto")["steps"] == 4


@pytest.mark.slow
@pytest.mark.parametrize("part", ["exp_avg/*.safetensors", "model/*.index.json", "config.json"])
def test_a_damaged_checkpoint_is_refused(recipe: Recipe, part: str) -> None:
    train(replace(recipe, steps=2))
    file = next(checkpoint_folder(Path(recipe.out), 2).rglob(part))
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    with pytest.raises(CheckpointError, match="not as it was written"):
        train(recipe, resume="auto")


@pytest.mark.slow
def test_a_damaged_newest_checkpoint_is_set_aside(
    recipe: Recipe, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    whole = replace(recipe, out=str(tmp_path / "whole"), steps=6)
    train(whole)
    train(recipe)
    out = Path(recipe.out)
    file = next(checkpoint_folder(out, 4).rglob("model/*.safetensors"))
    file.write_bytes(file.read_bytes()[:-1])
    (out / "step-00000005.tmp").mkdir()
    train(replace(recipe, steps=6), resume="auto")
    assert any(f"resuming from {out}/step-00000002" in r.message for r in caplog.records)
    folders = [p.name for p in sorted(out.glob("step-*"))]
    assert folders == [f"step-0000000{name}" for name in ("2", "4", "4.damaged", "6")]
    assert same(final(replace(recipe, steps=6)), final(whole))
    assert losses(recipe) == losses(whole)


@pytest.mark.slow
def test_a_folder_is_one_runs_at_a_time(recipe: Recipe) -> None:
    with (
        lock_run_folder(Path(recipe.out)),
        pytest.raises(ConfigError, match=r"in use by .*process \d+ on"),
    ):
        train(recipe)
    assert train(recipe)["steps"] == 4


@pytest.mark.slow
def test_steps_are_not_taken_again_among_later_ones(recipe: Recipe, tmp_path: Path) -> None:
    train(recipe)
    early = str(checkpoint_folder(Path(recipe.out), 2))
    with pytest.raises(ConfigError, match=r"later checkpoints than step-00000002 \(step-00000004"):
        train(recipe, resume=early)
    other = replace(recipe, out=str(tmp_path / "other"))
    assert train(other, resume=early)["steps"] == 4
    assert same(final(other), final(recipe))


@pytest.mark.slow
def test_a_checkpoint_of_another_network_is_refused(recipe: Recipe) -> None:
    train(replace(recipe, steps=2))
    wider = replace(recipe, network=replace(recipe.network, hidden_size=96))
    with pytest.raises(
        CheckpointError, match=r"another network \(network\.hidden_size was 48, is 96\)"
    ):
        train(wider, resume="auto")


@pytest.mark.slow
def test_old_checkpoints_go_by_the_policy(recipe: Recipe) -> None:
    policy = replace(recipe.checkpoints, every=1, keep_last=2, keep_every=3)
    train(replace(recipe, steps=6, checkpoints=policy))
    kept = [p.name for p in list_checkpoints(Path(recipe.out))]
    assert kept == ["step-00000003", "step-00000005", "step-00000006"]


@pytest.mark.slow
def test_samples_are_written_before_and_after(recipe: Recipe) -> None:
    size = {"frames": 4, "height": 144, "width": 256}
    ask = Validation(prompts=("a boat",), steps=3, every=100, sweep=(0.0, 1.0), **size)
    train(replace(recipe, steps=2, validation=ask))
    found = Counter(p.parent.name for p in (Path(recipe.out) / "samples").rglob("*.mp4"))
    assert found == {"step-00000000": 1, "step-00000002": 1 + 2 + 1}  # sweep, other weights


def test_images_train_beside_videos(make_recipe: MakeRecipe, tmp_path: Path) -> None:
    clips = [Toy(), Toy(), Toy(frames=1), Toy(frames=1)]
    recipe = make_recipe(
        dataset=str(write_dataset(tmp_path / "set", clips)),
        buckets=(
            Bucket(resolution="144p", frames=4, batch_size=1),
            Bucket(resolution="144p", frames=1, batch_size=2),
        ),
    )
    build_cache(recipe)
    assert train(recipe)["steps"] == 4


@pytest.mark.slow
def test_the_summary_gives_hours_by_stage_beside_the_published_ones(
    recipe: Recipe, tmp_path: Path
) -> None:
    one = replace(recipe, steps=1, published=PublishedCost(gpu_hours=67.84, stage="one"))
    train(one)
    begin = checkpoint_folder(Path(one.out), 1) / "model"
    published = PublishedCost(gpu_hours=101.76, stage="two")
    two = replace(one, init=str(begin), out=str(tmp_path / "two"), published=published)
    train(two)
    stages = json.loads((Path(two.out) / "summary.json").read_text())["stages"]
    assert {name: hours["published"] for name, hours in stages.items()} == {
        "one": 67.84,
        "two": 101.76,
    }
    assert all(hours["gpu_hours"] >= 0 for hours in stages.values())


def test_a_summary_reads_as_figures_and_hours_by_stage() -> None:
    stages = {
        "one": {"gpu_hours": 60.5, "published": 67.84},
        "two": {"gpu_hours": 3, "published": 101.76},
    }
    summary = {"steps": 10, "gpu_hours": 3.0, "stages": stages}
    lines = [
        "steps          10",
        "gpu hours      3.0",
        "one: 60.5 GPU-hours, 67.84 published",
        "two: 3 GPU-hours, 101.76 published",
    ]
    assert list(summary_lines(summary, 10)) == lines
    stopped = "stopped after step 10 of 12: `--resume auto` continues the run"
    assert list(summary_lines(summary, 12)) == [*lines, stopped]
