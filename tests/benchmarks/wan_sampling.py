"""Time a sample of Wan 2.1 1.3B, beside diffusers' own pipeline: `python -m ...wan_sampling`.

Random weights of true size, text states of noise, both in bfloat16 on one GPU.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Annotated, Any

import torch
import typer
from torch import Tensor

from finetune.config import Flow
from finetune.models.compile_blocks import compile_blocks
from finetune.models.diffusers import WAN_2_1
from finetune.models.diffusers.networks import diffusers_class
from finetune.models.diffusers.video_vae import VideoVAE
from finetune.models.family import ClipConditions, LatentRequest
from tests.benchmarks.wan import FRAMES, HEIGHT, SIZES, WIDTH, random_network

GUIDANCE = 5.0


def main(
    size: Annotated[str, typer.Option(help=f"one of {', '.join(SIZES)}")] = "1.3b",
    frames: int = FRAMES,
    steps: int = 30,
    compile: bool = True,
) -> None:
    """Print the seconds of ours and of diffusers', and of decoding, as JSON."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.manual_seed(0)
    network = random_network(size, device).eval().requires_grad_(False)
    codec = make_codec(size, device)
    wanted = latent_request(frames, steps, device)
    plain = diffusers_pipeline(network, codec)
    found = {
        "size": size,
        "frames": frames,
        "steps": steps,
        "diffusers_s": timed(lambda: call(plain, wanted, steps), call(plain, wanted, 1)),
    }
    WAN_2_1.use_kernels(network, device, torch.bfloat16)
    if compile:
        compile_blocks(WAN_2_1.blocks(network))
    begin = time.monotonic()
    sample(network, codec, latent_request(frames, 1, device))
    found["compiling_s"] = time.monotonic() - begin
    latents: list[Tensor] = []
    found["ours_s"] = timed(lambda: latents.append(sample(network, codec, wanted)))
    clip = latents[0][0].transpose(0, 1)
    found["decoding_s"] = timed(lambda: codec.decode(clip))
    print(json.dumps(found))


def make_codec(size: str, device: torch.device) -> VideoVAE:
    """Return the VAE with random weights: of true size, or a tiny one for a CPU."""
    if size == "tiny":
        return WAN_2_1.load_codec("tiny-random", dtype=torch.float32, device=device)
    with device:
        return VideoVAE(diffusers_class("AutoencoderKLWan")().to(torch.bfloat16))


def latent_request(frames: int, steps: int, device: torch.device) -> LatentRequest:
    shape = WAN_2_1.latent_shape(frames, HEIGHT, WIDTH)
    text, null = (
        {"states": torch.randn(1, 512, 4096, device=device, dtype=torch.bfloat16)} for _ in range(2)
    )
    conditions = ClipConditions(
        text=text, null_text=null, frames=frames, height=HEIGHT, width=WIDTH, fps=(16.0,)
    )
    noise = torch.randn(1, *shape, device=device)
    return LatentRequest(conditions=conditions, noise=noise, steps=steps, guidance=GUIDANCE)


@torch.no_grad()
def sample(network: torch.nn.Module, codec: VideoVAE, request: LatentRequest) -> Tensor:
    """Sample by the function of `finetune sample` and of validation."""
    return WAN_2_1.sample_latent(network, codec, WAN_2_1.objective(Flow()), request)


def diffusers_pipeline(network: torch.nn.Module, codec: VideoVAE) -> Any:
    """Return `WanPipeline` as its documentation makes it, without a text encoder."""
    pipeline = diffusers_class("WanPipeline")(
        tokenizer=None,
        text_encoder=None,
        vae=codec.network,
        transformer=network,
        scheduler=WAN_2_1.scheduler(3.0),
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def call(pipeline: Any, request: LatentRequest, steps: int) -> Any:
    conditions = request.conditions
    return pipeline(
        height=HEIGHT,
        width=WIDTH,
        num_frames=conditions.frames,
        num_inference_steps=steps,
        guidance_scale=GUIDANCE,
        output_type="latent",
        latents=request.noise,
        prompt_embeds=conditions.text["states"],
        negative_prompt_embeds=conditions.null_text["states"],
    )


def timed(work: Callable[[], object], _warmup: object = None) -> float:
    """Return the seconds of a call, after a shorter one to warm up."""
    synchronize()
    begin = time.monotonic()
    work()
    synchronize()
    return round(time.monotonic() - begin, 3)


def synchronize() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


if __name__ == "__main__":
    typer.run(main)
