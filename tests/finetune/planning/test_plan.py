"""The plan counts what the network really is, and says what fits."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch

from finetune.cli import main
from finetune.config import Adapter, Bucket, Network, load_recipe
from finetune.data.bucket_coverage import BucketCoverage
from finetune.engines.distributed import choose_device, process_group
from finetune.errors import ConfigError, EngineError
from finetune.models.adapters import add_adapter
from finetune.models.diffusers import WAN_2_1
from finetune.models.diffusers.networks import diffusers_class
from finetune.models.stdit2.config import STDiT2Config
from finetune.models.stdit2.cost import WITH_KERNELS, STDiT2Cost
from finetune.models.stdit2.network import STDiT2
from finetune.planning.cost import (
    GPUS,
    DeviceSpec,
    clip_cost,
    measure_cpu,
    memory_gib,
    seconds,
    trained_parameters,
)
from finetune.planning.links import PCIE_GB_S
from finetune.planning.plan import UsableClips, plan, step_shares
from finetune.planning.remedies import suggest_batch_sizes
from finetune.planning.variants import plan_recipe
from tests.finetune.conftest import MakeRecipe


@pytest.mark.parametrize("depth", [1, 28])
def test_parameters_are_those_of_the_network(depth: int, make_recipe: MakeRecipe) -> None:
    with torch.device("meta"):
        model = STDiT2(STDiT2Config(depth=depth))
    counted = sum(p.numel() for p in model.parameters() if p.requires_grad)
    assert STDiT2Cost().parameters(make_recipe(network=Network(depth=depth))) == counted


def test_a_clip_costs_what_was_measured(make_recipe: MakeRecipe) -> None:
    recipe = make_recipe(network=Network())
    found = clip_cost(Bucket(resolution="360p", frames=32, batch_size=8), recipe)
    assert found.tokens == 32 * 23 * 40
    assert found.tflop == pytest.approx(130.4, rel=0.02)


def test_the_plan_names_what_fits(make_recipe: MakeRecipe) -> None:
    big = make_recipe(
        dataset="not/here",
        network=Network(),
        compile=True,
        buckets=(Bucket(resolution="360p", frames=32, batch_size=8, micro_batch_size=4),),
    )
    with pytest.raises(EngineError, match="micro_batch_size = 2 fits"):
        plan(big, gpu="h200", gpus=1)
    with pytest.raises(
        EngineError, match="micro_batch_size = 1 with activation_checkpointing = 18 fits"
    ):
        plan(big, gpu="a100-40", gpus=1)
    with pytest.raises(EngineError, match="no GPU 'h1000'"):
        plan(big, gpu="h1000", gpus=1)


def test_a_network_that_cannot_be_is_refused(make_recipe: MakeRecipe) -> None:
    with pytest.raises(ConfigError, match="hidden_size 50 must be a multiple of 12"):
        plan(make_recipe(network=Network(hidden_size=50)))


@pytest.mark.parametrize("blocks", [99, -1])
def test_more_blocks_than_there_are_are_not_recomputed(
    make_recipe: MakeRecipe, blocks: int
) -> None:
    bucket = Bucket(resolution="144p", frames=4, batch_size=2, activation_checkpointing=blocks)
    with pytest.raises(ConfigError, match=f"{blocks}: choose 0 to 1, the network's blocks"):
        plan(make_recipe(buckets=(bucket,)))


def test_memory_and_speed_are_those_measured_on_an_h200(make_recipe: MakeRecipe) -> None:
    recipe = make_recipe(network=Network(), compile=True)
    for frames, peak, speed in ((32, 71.1, 3.08), (64, 126.7, 1.54)):
        bucket = Bucket(resolution="360p", frames=frames, batch_size=8)
        assert memory_gib(bucket, recipe, 1, 1) == pytest.approx(peak, rel=0.03)
        rate = GPUS["h200"].tflops * WITH_KERNELS.mfu / clip_cost(bucket, recipe).tflop
        assert rate == pytest.approx(speed, rel=0.03)
    for blocks, peak in ((17, 61.9), (True, 23.8)):
        bucket = Bucket(resolution="360p", frames=64, batch_size=4, activation_checkpointing=blocks)
        assert memory_gib(bucket, recipe, 1, 1) == pytest.approx(peak, rel=0.01)


WAN_CASES = [
    ("1.3b-lora", 81, False, 1.802, 67.1),
    ("1.3b-lora", 81, True, 1.943, 13.8),
    ("14b-lora", 49, True, 4.900, 55.5),
]
"""Seconds a step and peak GiB of one H200, LoRA of the attention alone, by cuDNN's attention."""


@pytest.mark.parametrize(("name", "frames", "checkpointing", "step", "peak"), WAN_CASES)
def test_memory_and_speed_of_lora_are_those_measured_on_an_h200(
    name: str, frames: int, checkpointing: bool, step: float, peak: float
) -> None:
    bucket = Bucket(
        resolution="480p", frames=frames, batch_size=1, activation_checkpointing=checkpointing
    )
    attention = Adapter(rank=32, targets=("to_q", "to_k", "to_v", "to_out.0"))
    recipe = replace(load_recipe(f"wan/{name}"), buckets=(bucket,), adapter=attention)
    wider = 848 / 832  # a bucket of 480p at 16:9, and the size that was measured
    assert memory_gib(bucket, recipe, 1, 1) == pytest.approx(peak, rel=0.04)
    found = seconds(clip_cost(bucket, recipe), GPUS["h200"])
    assert step * 0.97 < found < step * wider**2 * 1.05


def test_an_adapter_is_counted_as_peft_makes_it() -> None:
    pytest.importorskip("peft")
    recipe = replace(load_recipe("wan/1.3b-lora"), network=Network(depth=1, hidden_size=1536))
    sizes = {"num_layers": 1, "num_attention_heads": 12, "attention_head_dim": 128}
    with torch.device("meta"):
        network = diffusers_class("WanTransformer3DModel")(**sizes, ffn_dim=8960)
        whole = sum(p.numel() for p in network.parameters())
        adapted = add_adapter(network, WAN_2_1, recipe)
    trained = sum(p.numel() for p in adapted.parameters() if p.requires_grad)
    assert trained_parameters(recipe) == trained
    assert WAN_2_1.cost.parameters(recipe) == pytest.approx(whole, rel=0.002)


def test_a_frozen_base_takes_two_bytes_and_no_state() -> None:
    recipe = load_recipe("wan/14b-lora")
    (bucket,) = recipe.buckets
    full = replace(recipe, adapter=None, optimizer=replace(recipe.optimizer, ema=0.9))
    parameters, adapter = WAN_2_1.cost.parameters(recipe), trained_parameters(recipe)
    both = memory_gib(bucket, full, 1, 1), memory_gib(bucket, recipe, 1, 1)
    assert (both[0] - both[1]) * 2**30 == pytest.approx(20 * parameters - 18 * adapter)
    sharded = replace(full, strategy="fsdp2")
    saved = both[0] - memory_gib(bucket, sharded, 8, 1)
    assert saved * 2**30 == pytest.approx(16 * parameters * 7 / 8)


def test_a_gpu_that_is_too_small_names_those_that_are_not() -> None:
    with pytest.raises(
        EngineError, match=r"no batch.*frames = 41 fit.*h200, h100, a100-80"
    ) as told:
        plan(load_recipe("wan/14b-lora"), gpu="3090", memory=16)
    assert "RTX 3090 with 16 GiB has 16:" in str(told.value)
    fewer = ["buckets.0.frames=41", "offload_blocks=40", "keep_attention=false"]
    assert "of 16 GiB" in plan(load_recipe("wan/14b-lora", fewer), gpu="3090", memory=16)
    text = plan(load_recipe("wan/1.3b-lora"), gpu="4090", memory=16)
    assert "1 x RTX 4090 with 16 GiB, at" in text
    assert "TFLOP/s, estimated\n" in text
    assert "estimated" not in plan(load_recipe("wan/1.3b-lora"), gpu="h200")
    assert "TFLOP/s, estimated\n" in plan(load_recipe("wan/1.3b-full"), gpu="h200")
    assert "parameters, frozen, and" in text


def test_buckets_take_turns_by_their_clips() -> None:
    video = Bucket(resolution="360p", frames=32, batch_size=8)
    image = Bucket(resolution="360p", frames=1, batch_size=256)
    coverage = BucketCoverage({"360p x 32": 800, "360p x 1": 25_600}, {}, np.ones(1, dtype=bool))
    assert step_shares((video, image), UsableClips(coverage, 0)) == {video: 0.5, image: 0.5}
    assert step_shares((video, image), None)[video] == pytest.approx(32 / 33)


def test_a_dataset_that_is_here_is_counted(make_recipe: MakeRecipe) -> None:
    text = plan(make_recipe(), gpu="h100", gpus=1)
    assert "samples          8 = 1.3 epochs over 6 usable clips" in text
    latents, states = 8 * 6 * 20 * (144 * 256 // 64), 6 * 16 * 16
    assert f"up to {4 * (latents + states) / 2**20:.1f} MiB for the 6 usable clips" in text
    assert "144p x 4" in text.splitlines()[-1]


def test_a_recipe_for_the_cpu_is_planned_for_this_one() -> None:
    tiny = load_recipe("tiny/cpu", ["dataset=not/here"])
    text = plan(tiny)
    assert "1 x CPU with 2 threads" in text
    assert "at the CPU's present load" in text
    assert "GPU" not in text
    assert "1 x H100 SXM" in plan(tiny, gpu="h100")
    assert measure_cpu(1).tflops > 0


def test_samples_are_planned_as_they_are_drawn() -> None:
    """Before the first step, and at each of six checkpoints; then by the other weights too, and
    one prompt at four guidances."""
    stage = load_recipe("text2bricks/32f-stage1", ["dataset=not/here"])
    assert f"validation       {7 * 8 + 8 + 4} rounds" in plan(stage)
    assert "validation       9 rounds" in plan(stage, gpus=8)


def test_want_of_memory_says_which_batch_fits(
    make_recipe: MakeRecipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket = Bucket(resolution="360p", frames=32, batch_size=8, micro_batch_size=4)
    recipe = make_recipe(network=Network(), compile=True, buckets=(bucket,))
    cuda, cpu = torch.device("cuda"), torch.device("cpu")
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (0, 140 * 2**30))
    with (
        pytest.raises(EngineError, match=r"360p x 32: micro_batch_size = 1 fits .*\(tried 9 GiB\)"),
        process_group(recipe, cpu, partial(suggest_batch_sizes, recipe, cuda)),
    ):
        raise torch.OutOfMemoryError("tried 9 GiB")
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (0, 40 * 2**30))
    assert "micro_batch_size = 1 with activation_checkpointing = 20 fits" in suggest_batch_sizes(
        recipe, cuda
    )
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (0, 8 * 2**30))
    assert "take a larger GPU" in suggest_batch_sizes(recipe, cuda)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_no_gpu_is_an_error_that_says_so(make_recipe: MakeRecipe) -> None:
    with pytest.raises(EngineError, match="no GPU that torch can use"):
        choose_device(make_recipe(device="cuda"))
    assert choose_device(make_recipe(device="auto")).type == "cpu"


def test_the_command_prints_a_plan_and_one_line_for_an_error(
    tmp_path: object, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        main(["plan", "nowhere.toml"])
    assert left.value.code == 2
    assert capsys.readouterr().err.startswith("error: no recipe 'nowhere.toml'")


def test_the_help_names_every_gpu_that_is_known(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["plan", "--help"])
    text = capsys.readouterr().out
    assert not [name for name in GPUS if name not in text]


def test_encoders_in_the_step_count_in_memory(make_recipe: MakeRecipe) -> None:
    bucket = Bucket(resolution="360p", frames=32, batch_size=8)
    recipe = make_recipe(network=Network(), compile=True, latents="online", text_encoder="t5")
    assert memory_gib(bucket, recipe, 1, 1) == pytest.approx(80.5, rel=0.03)


@pytest.mark.parametrize(
    ("recipe", "memory", "setting"),
    [
        ("wan/14b-lora", 47, "offload_blocks = 40 and activation_checkpointing = 40 fits: 2"),
        ("wan/14b-lora", 23.5, "offload_blocks = 40 and keep_attention = false and activation"),
        ("wan/1.3b-full", 36, "optimizer.kind = 'adamw_8bit' and activation_checkpointing = 30"),
    ],
)
def test_a_small_card_is_told_what_takes_less(recipe: str, memory: float, setting: str) -> None:
    with pytest.raises(EngineError, match=setting):
        plan(load_recipe(recipe, ["dataset=not/here"]), gpu="h200", memory=memory)


@pytest.mark.parametrize(
    ("recipe", "gpu", "memory", "fit"),
    [
        ("wan/14b-lora", "4090", None, "wan/14b-lora-16g, wan/14b-lora-24g$"),
        ("wan/14b-lora", "4090", 16, "wan/14b-lora-16g$"),
        ("wan/5b-lora", "a6000", 16, "wan/5b-lora-16g$"),
        ("wan/1.3b-full", "4090", 8, "^((?!packaged).)*$"),
    ],
)
def test_packaged_recipes_for_a_small_card_are_named(
    recipe: str, gpu: str, memory: float | None, fit: str
) -> None:
    with pytest.raises(EngineError, match=fit):
        plan_recipe(recipe, ["dataset=not/here"], gpu=gpu, memory=memory)


@pytest.mark.parametrize(
    ("name", "memory"),
    [
        ("1.3b-lora", 16),
        ("5b-lora", 24),
        ("5b-lora-16g", 16),
        ("14b-lora-24g", 24),
        ("14b-lora-16g", 16),
    ],
)
def test_recipes_for_small_cards_fit_them(name: str, memory: int) -> None:
    assert plan_recipe(f"wan/{name}", ["dataset=not/here"], gpu="3090", memory=memory - 0.5)


def test_an_int8_base_takes_a_byte_a_weight_of_its_blocks() -> None:
    full, int8 = (
        load_recipe("wan/14b-lora", ["dataset=not/here", f"adapter.base={base}"])
        for base in ("full", "int8")
    )
    (bucket,) = full.buckets
    network = WAN_2_1.load_network("tiny-random")
    counted = sum(
        module.weight.numel()
        for block in WAN_2_1.blocks(network)
        for module in block.modules()
        if isinstance(module, torch.nn.Linear)
    )
    tiny = replace(full, network=Network(depth=2, hidden_size=24, num_heads=2))
    assert WAN_2_1.cost.block_weights(tiny) == counted + 2 * 2 * 24 * 24 * 2  # ffn of 48, not 96
    saved = memory_gib(bucket, full, 1, 1) - memory_gib(bucket, int8, 1, 1)
    assert saved == pytest.approx(WAN_2_1.cost.block_weights(full) / 2**30, rel=1e-6)


def test_offloaded_blocks_leave_two_of_them_on_the_gpu() -> None:
    """Measured: 14B at 49 frames of 480 x 832, attention's layers adapted, peaked at 16.8 GiB."""
    targets = 'adapter.targets=["to_q", "to_k", "to_v", "to_out.0"]'
    options = ["dataset=not/here", targets, "offload_blocks=40", "keep_attention=false"]
    recipe = load_recipe("wan/14b-lora", options)
    (bucket,) = recipe.buckets
    assert memory_gib(bucket, recipe, 1, 1) == pytest.approx(16.8, rel=0.05)
    clip, plain = (clip_cost(bucket, replace(recipe, offload_blocks=n)) for n in (40, 0))
    assert clip.copied_gb == pytest.approx(2 * 2 * WAN_2_1.cost.block_weights(recipe) / 1e9)
    assert (plain.copied_gb, plain.tflop) == (0, clip.tflop)
    slow = DeviceSpec("a GPU faster than its link", 80, 1e6)
    assert seconds(clip, slow) == pytest.approx(clip.copied_gb / PCIE_GB_S)


def test_hybrid_sharding_takes_the_memory_of_one_node(make_recipe: MakeRecipe) -> None:
    bucket = Bucket(resolution="144p", frames=4, batch_size=1)
    hybrid, whole = (make_recipe(strategy=s, network=Network()) for s in ("hsdp", "fsdp2"))
    assert memory_gib(bucket, hybrid, 32, 1) == memory_gib(bucket, whole, 8, 1)
    assert memory_gib(bucket, hybrid, 4, 1) == memory_gib(bucket, whole, 4, 1)
    assert memory_gib(bucket, hybrid, 32, 1) > memory_gib(bucket, whole, 32, 1)
