"""LTX-Video against diffusers' own pipeline, tensor for tensor, with tiny random weights."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from finetune.config import Bucket, Recipe
from finetune.data.cache import build_cache
from finetune.models.adapters import DIFFUSERS_FILE, load_network
from finetune.models.diffusers import LTX_0_9
from finetune.models.family import TINY_RANDOM, ClipConditions, TextSize
from finetune.models.text_encoder import TextEncoder
from finetune.sampling.request import SampleRequest
from finetune.training.checkpoint_folders import checkpoint_folder
from finetune.training.loop import train
from tests.finetune.conftest import MakeRecipe
from tests.kit.overfit import FAULTS, Fault, overfit, relative_error
from tests.kit.pipelines import load_lora, sample
from tests.kit.ranks import train_in_ranks
from tests.kit.toy_clips import Toy, write_dataset
from tests.kit.toy_runs import train_as_if_resumed, wan_lora

CPU = torch.device("cpu")
FRAMES, HEIGHT, WIDTH, FPS = 17, 64, 96, 12.5
SIZE = TextSize(128, 32)
GUIDANCE, STEPS = 3.0, 3


@pytest.fixture
def network() -> nn.Module:
    return LTX_0_9.load_network(TINY_RANDOM).eval()


@pytest.fixture
def encoder() -> TextEncoder:
    captions = ("a red brick & a blue one", "a castle")
    return LTX_0_9.load_caption_encoder(
        TINY_RANDOM, SIZE, lambda: captions, dtype=torch.float32, device=CPU
    )


def make_pipeline(
    network: nn.Module, encoder: TextEncoder, shift_terminal: float | None = None
) -> Any:
    """The published pipeline, without its stretch to a terminal time unless one is given."""
    from diffusers import FlowMatchEulerDiscreteScheduler, LTXPipeline

    codec = LTX_0_9.load_codec(TINY_RANDOM, dtype=torch.float32, device=CPU)
    scheduler = FlowMatchEulerDiscreteScheduler(
        use_dynamic_shifting=True,
        base_shift=0.95,
        max_shift=2.05,
        base_image_seq_len=1024,
        max_image_seq_len=4096,
        shift_terminal=shift_terminal,
    )
    pipeline = LTXPipeline(
        scheduler=scheduler,
        vae=codec.network,
        text_encoder=encoder.network,
        tokenizer=encoder.tokenizer,
        transformer=network,
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def encode(encoder: TextEncoder, caption: str) -> dict[str, Tensor]:
    return LTX_0_9.collate_text([encoder.encode_captions([caption])[0].tensors], SIZE, CPU)


def test_every_network_call_is_the_pipelines(
    network: nn.Module, encoder: TextEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At its packed latents, times, frame rate and guidance; the shift is the scheduler's too."""
    pipeline = make_pipeline(network, encoder)
    steps: list[tuple[Tensor, Tensor, Tensor]] = []
    step = pipeline.scheduler.step

    def record(velocity: Tensor, time: Tensor, x: Tensor, **options: Any) -> Any:
        steps.append((time / 1000, x, velocity))
        return step(velocity, time, x, **options)

    monkeypatch.setattr(pipeline.scheduler, "step", record)
    shape = LTX_0_9.latent_shape(FRAMES, HEIGHT, WIDTH)
    start = torch.randn(1, *shape)
    pipeline(
        "a castle",
        **call_options(start, STEPS),
    )
    given = ClipConditions(
        text=encode(encoder, "a castle"),
        null_text=encode(encoder, ""),
        frames=FRAMES,
        height=HEIGHT,
        width=WIDTH,
        fps=(FPS,),
    )
    ours = LTX_0_9.guided_denoiser(network, given, GUIDANCE)
    for time, packed, theirs in steps:
        x = packed.transpose(1, 2).reshape(1, *shape)
        with torch.no_grad():
            velocity = ours(x, time.expand(1), None).flatten(2).transpose(1, 2)
        torch.testing.assert_close(velocity, theirs, rtol=1e-5, atol=1e-5)
    shift = LTX_0_9.timestep_shift(shape)
    second = float(steps[1][0])
    assert second == pytest.approx(shift * (2 / 3) / (1 + (shift - 1) * (2 / 3)), rel=1e-5)


@pytest.mark.parametrize("steps", [1, STEPS])
def test_a_sample_is_the_pipelines(network: nn.Module, encoder: TextEncoder, steps: int) -> None:
    """With the published scheduler, whose last time before 0 is 0.1."""
    pipeline = make_pipeline(network, encoder, shift_terminal=0.1 if steps > 1 else None)
    shape = LTX_0_9.latent_shape(FRAMES, HEIGHT, WIDTH)
    noise = torch.randn(1, *shape, generator=torch.Generator().manual_seed(5))
    theirs = pipeline(
        "a castle",
        **call_options(noise, steps),
    ).frames
    ours = sample(LTX_0_9, network, encoder, request(steps))
    assert torch.equal(ours.flatten(2).transpose(1, 2), theirs)
    if steps > 1:
        assert float(pipeline.scheduler.sigmas[-2]) == pytest.approx(0.1)


def test_a_sample_from_an_image_keeps_the_images_latent(
    network: nn.Module, encoder: TextEncoder
) -> None:
    image = torch.rand(1, 3, HEIGHT, WIDTH) * 2 - 1
    codec = LTX_0_9.load_codec(TINY_RANDOM, dtype=torch.float32, device=CPU)
    first = codec.encode_window(image)["mean"][0]
    ours = sample(LTX_0_9, network, encoder, request(STEPS), {0: image})
    assert torch.equal(ours[0, :, 0], first)
    without = sample(LTX_0_9, network, encoder, request(STEPS))
    assert not torch.equal(ours[0, :, 1:], without[0, :, 1:])


def call_options(noise: Tensor, steps: int) -> dict[str, Any]:
    return {
        "height": HEIGHT,
        "width": WIDTH,
        "num_frames": FRAMES,
        "frame_rate": FPS,
        "num_inference_steps": steps,
        "guidance_scale": GUIDANCE,
        "latents": noise.flatten(2).transpose(1, 2),
        "max_sequence_length": 128,
        "output_type": "latent",
    }


def request(steps: int) -> SampleRequest:
    return SampleRequest(
        prompt="a castle",
        frames=FRAMES,
        height=HEIGHT,
        width=WIDTH,
        fps=FPS,
        steps=steps,
        guidance=GUIDANCE,
        seed=5,
    )


def test_clips_of_one_batch_keep_their_own_rate(network: nn.Module) -> None:
    shape = LTX_0_9.latent_shape(FRAMES, HEIGHT, WIDTH)
    x, text = torch.randn(1, *shape).expand(2, *shape), torch.randn(1, *SIZE).expand(2, *SIZE)

    def velocity(*fps: float) -> Tensor:
        count = len(fps)
        mask = torch.ones(count, SIZE.tokens, dtype=torch.bool)
        given = ClipConditions(
            text={"states": text[:count], "mask": mask},
            frames=FRAMES,
            height=HEIGHT,
            width=WIDTH,
            fps=fps,
        )
        with torch.no_grad():
            return LTX_0_9.denoiser(network, given)(x[:count], torch.full((count,), 0.4), None)

    both = velocity(12.0, 24.0)
    torch.testing.assert_close(both[:1], velocity(12.0))
    torch.testing.assert_close(both[1:], velocity(24.0))
    assert not torch.allclose(both[0], both[1])


def test_latents_are_normalised_as_the_pipeline_decodes_them() -> None:
    codec = LTX_0_9.load_codec(TINY_RANDOM, dtype=torch.float32, device=CPU)
    with torch.no_grad():
        codec.network.latents_mean += 0.3
        codec.network.latents_std *= 1.7
    pixels = torch.rand(FRAMES, 3, HEIGHT, WIDTH) * 2 - 1
    mean = codec.encode_window(pixels)["mean"]
    assert mean.transpose(0, 1).shape == LTX_0_9.latent_shape(FRAMES, HEIGHT, WIDTH)
    from diffusers import LTXPipeline

    vae = codec.network
    plain = LTXPipeline._denormalize_latents(
        mean.transpose(0, 1)[None], vae.latents_mean, vae.latents_std, vae.config.scaling_factor
    )
    with torch.no_grad():
        encoded = vae.encode(pixels.transpose(0, 1)[None]).latent_dist.mean
        decoded = vae.decode(plain, return_dict=False)[0][0].transpose(0, 1).clamp(-1, 1)
    torch.testing.assert_close(plain, encoded, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(codec.decode(mean), decoded)


def test_a_given_frame_has_time_zero(network: nn.Module) -> None:
    times = []
    network.register_forward_pre_hook(
        lambda _module, _args, given: times.append(given["timestep"]), with_kwargs=True
    )
    shape = LTX_0_9.latent_shape(FRAMES, HEIGHT, WIDTH)
    text = encode_nothing()
    given = ClipConditions(text=text, frames=FRAMES, height=HEIGHT, width=WIDTH, fps=(FPS,))
    mask = torch.tensor([[False, True, True]])
    with torch.no_grad():
        LTX_0_9.denoiser(network, given)(torch.randn(1, *shape), torch.tensor([0.5]), mask)
    assert times[0].tolist() == [[0.0] * 6 + [500.0] * 12]


@pytest.fixture
def recipe(make_recipe: MakeRecipe, tmp_path: Path) -> Recipe:
    """A LoRA of the tiny LTX-Video on two clips of 9 frames."""
    return wan_lora(
        make_recipe,
        family=LTX_0_9.name,
        dataset=str(write_dataset(tmp_path / "films", [Toy(frames=10) for _ in range(2)])),
        text_tokens=SIZE.tokens,
        buckets=(Bucket(resolution="144p", frames=9, batch_size=2, micro_batch_size=1),),
    )


@pytest.mark.slow
def test_an_adapter_is_trained_resumed_and_loaded_by_diffusers(
    recipe: Recipe, tmp_path: Path
) -> None:
    build_cache(recipe)
    train_as_if_resumed(recipe, tmp_path / "begun")

    trained = load_network(LTX_0_9, checkpoint_folder(Path(recipe.out), 4) / "model")
    base, wanted = velocity_of(LTX_0_9.load_network(TINY_RANDOM)), velocity_of(trained)
    assert (wanted - base).norm() > 1e-4 * base.norm()
    for merge in (False, True):
        loaded = load_lora(LTX_0_9, Path(recipe.out) / "lora" / DIFFUSERS_FILE, merge=merge)
        torch.testing.assert_close(velocity_of(loaded), wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.slow
def test_two_ranks_lose_what_one_device_loses(recipe: Recipe, tmp_path: Path) -> None:
    build_cache(recipe)
    train(replace(recipe, steps=3))
    (bucket,) = recipe.buckets
    shared = replace(bucket, batch_size=1)
    both = replace(recipe, steps=3, buckets=(shared,), strategy="ddp", out=str(tmp_path / "both"))
    alone, ours = losses(Path(recipe.out)), losses(train_in_ranks(both))
    assert len(ours) == 3
    assert ours == pytest.approx(alone, rel=1e-5)


def losses(out: Path) -> list[float]:
    lines = map(json.loads, (out / "metrics.jsonl").open())
    return [line["loss"] for line in lines if "loss" in line]


def velocity_of(network: nn.Module) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    given = ClipConditions(
        text={
            "states": torch.randn(1, *SIZE, generator=generator),
            "mask": torch.ones(1, SIZE.tokens, dtype=torch.bool),
        },
        frames=FRAMES,
        height=HEIGHT,
        width=WIDTH,
        fps=(FPS,),
    )
    x = torch.randn(1, *LTX_0_9.latent_shape(FRAMES, HEIGHT, WIDTH), generator=generator)
    with torch.no_grad():
        return LTX_0_9.denoiser(network, given)(x, torch.tensor([0.4]), None)


def encode_nothing() -> dict[str, Tensor]:
    return LTX_0_9.collate_text([None], SIZE, CPU)


def test_the_shift_grows_with_the_tokens() -> None:
    assert LTX_0_9.timestep_shift((128, 1, 32, 32)) == pytest.approx(math.exp(0.95))
    assert LTX_0_9.timestep_shift((128, 4, 32, 32)) == pytest.approx(math.exp(2.05))


@pytest.mark.parametrize("shape", [(128, 13, 16, 24), (128, 2, 4, 6), (128, 20, 22, 40)])
def test_the_shift_is_the_pipelines_for_any_size(shape: tuple[int, int, int, int]) -> None:
    from diffusers.pipelines.ltx.pipeline_ltx import calculate_shift

    theirs = calculate_shift(math.prod(shape[1:]), 1024, 4096, 0.95, 2.05)
    assert LTX_0_9.timestep_shift(shape) == pytest.approx(math.exp(theirs))


def test_a_dropped_caption_is_the_null_text(network: nn.Module) -> None:
    shape = LTX_0_9.latent_shape(FRAMES, HEIGHT, WIDTH)
    x, time = torch.randn(2, *shape), torch.tensor([0.3, 0.7])
    states = torch.randn(3, *SIZE)
    mask = torch.arange(SIZE.tokens)[None] < torch.tensor([[9], [7], [1]])
    given = ClipConditions(
        text={"states": states[:2], "mask": mask[:2]},
        null_text={"states": states[2:], "mask": mask[2:]},
        frames=FRAMES,
        height=HEIGHT,
        width=WIDTH,
        fps=(FPS, FPS),
    )

    def velocity(conditions: ClipConditions, drop: Tensor | None = None) -> Tensor:
        with torch.no_grad():
            return LTX_0_9.denoiser(network, conditions, drop=drop)(x, time, None)

    dropped = velocity(given, torch.tensor([True, False]))
    assert torch.equal(dropped[0], velocity(given.without_text)[0])
    assert torch.equal(dropped[1], velocity(given)[1])
    assert not torch.equal(dropped[0], velocity(given)[0])


STEPS_TO_OVERFIT = 300
SHAPE = (2, 2, 2)  # latent frames, rows, columns


def wide_network() -> nn.Module:
    from diffusers import LTXVideoTransformer3DModel

    torch.manual_seed(0)
    network: nn.Module = LTXVideoTransformer3DModel(
        num_attention_heads=8,  # wider than a token's 128 numbers
        attention_head_dim=32,
        cross_attention_dim=256,
        num_layers=2,
        caption_channels=SIZE.width,
    )
    return network


@pytest.mark.slow
@pytest.mark.parametrize("fault", [None, *FAULTS])
def test_diffusers_own_pipeline_finds_an_overfitted_latent_unless_training_is_wrong(
    encoder: TextEncoder, fault: Fault | None
) -> None:
    """Relative errors seen: 0.09; sign 2.6, time scale 0.64, shift 0.92."""
    latent = torch.randn(1, 128, *SHAPE, generator=torch.Generator().manual_seed(3))
    text = {"states": torch.zeros(1, 8, SIZE.width), "mask": torch.ones(1, 8, dtype=torch.bool)}
    given = ClipConditions(text=text, frames=9, height=64, width=64, fps=(FPS,))
    network = wide_network()
    overfit(LTX_0_9, network, latent, given, steps=STEPS_TO_OVERFIT, fault=fault)
    found = make_pipeline(network, encoder, shift_terminal=0.1)(
        prompt_embeds=text["states"],
        prompt_attention_mask=text["mask"],
        height=64,
        width=64,
        num_frames=9,
        frame_rate=FPS,
        num_inference_steps=40,
        guidance_scale=1.0,
        latents=torch.randn(latent.shape, generator=torch.Generator().manual_seed(7))
        .flatten(2)
        .transpose(1, 2),
        output_type="latent",
    ).frames
    error = relative_error(found, latent.flatten(2).transpose(1, 2))
    assert error > 0.2 if fault else error <= 0.1
