"""While training: samples of the averaged weights at fixed noise, their numbers, and a page."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import torch
import torch.distributed as dist
from torch import Tensor

from brickfilm.files import atomic_write
from finetune.data.encoders import load_text_encoder, load_vae
from finetune.data.media import write_video
from finetune.engines.base import Engine
from finetune.engines.distributed import all_reduce_sum
from finetune.models.stdit2.text_encoder import TextStates
from finetune.models.stdit2.vae import VAE
from finetune.sampling.generate import decode_latent, generate_latent
from finetune.sampling.measures import VideoMetrics, compute_metrics
from finetune.sampling.pipeline import encode_prompt
from finetune.sampling.request import SampleRequest
from finetune.sampling.sources import default_settings
from finetune.training.loggers import LoggedVideo
from finetune.validation.fixed_loss import FixedLoss
from finetune.validation.page import TRAINING_METRICS_FILE, VALIDATION_FILE, write_page

if TYPE_CHECKING:
    from finetune.training.run import TrainingRun


class Validator:
    """Every rank samples its share of the prompts; rank 0 gathers, writes and logs.

    Ranks that share their weights (FSDP2) keep step: each samples as often as the others.
    """

    def __init__(self, run: TrainingRun) -> None:
        self.run, self.settings = run, run.recipe.validation
        self.prompts = self.settings.sampled_prompts
        self._texts: list[TextStates] = []
        self._vae: VAE | None = None
        self._loss: FixedLoss | None = None

    def is_due(self, *, last: bool) -> bool:
        """Is it time, after this step?"""
        every = self.settings.every or self.run.recipe.checkpoints.every
        return last or self.run.step % every == 0

    def is_pending(self) -> bool:
        """Was the step where the run begins not seen yet? A kill may have come before that.

        Rank 0 looks, for all of them.
        """
        run = self.run
        if run.step == 0:
            return True
        missing = run.engine.rank == 0 and not (self._folder() / VALIDATION_FILE).is_file()
        missed = float(all_reduce_sum(torch.tensor([float(missing)], dtype=torch.float64))[0]) > 0
        return missed and self.is_due(last=run.step >= run.recipe.steps)

    def __call__(self) -> None:
        """Sample, measure and show; the state of the run's random numbers is as before.

        A run that is asked to stop meanwhile shows nothing of this step.
        """
        if not self.prompts:
            return
        run = self.run
        try:
            with (
                _preserve_rng_state(run.device),
                _ema_weights(run.engine),
                _raise_on_stop_request(run),
                torch.no_grad(),
            ):
                vae, loss = self._open()
                found = {"validation/loss": loss()}
                frames = self._sampled(vae, self.requests())
        except StopRequested:
            return
        if run.engine.rank == 0:
            measured = [compute_metrics(clip) for clip in frames]
            few = measured[: len(self.prompts)]
            found |= {f"validation/{name}": _mean(few, name) for name in VideoMetrics._fields}
            videos = self._write(frames, measured, found)
            run.log.log(run.step, found, {f"sample/{n}": v for n, v in enumerate(videos)})
        if run.engine.world_size > 1:
            dist.barrier()

    def requests(self) -> list[SampleRequest]:
        """The prompts, and after the last step the first one again at each guidance."""
        asked = default_settings(self.run.recipe)
        seed = asked.pop("seed")
        found = [
            SampleRequest.from_dict({"prompt": prompt, "seed": seed + n, **asked})
            for n, prompt in enumerate(self.prompts)
        ]
        if self.run.step >= self.run.recipe.steps:
            found += [dataclasses.replace(found[0], guidance=g) for g in self.settings.sweep]
        return found

    def _open(self) -> tuple[VAE, FixedLoss]:
        """Encode the prompts once, and let the text encoder go again: it is the larger network."""
        run = self.run
        if self._vae is None or self._loss is None:
            encoder = run.batch_encoder.text_encoder or load_text_encoder(
                run.recipe, run.index, run.device
            )
            self._texts = [encode_prompt(encoder, prompt) for prompt in self.prompts]
            self._vae = run.batch_encoder.vae or load_vae(run.recipe, run.device)
            self._loss = FixedLoss(run)
            if run.engine.rank == 0:
                self._write_training(self._vae, self._loss)
        return self._vae, self._loss

    def _sampled(self, vae: VAE, requests: Sequence[SampleRequest]) -> list[Tensor]:
        """Frames [T, 3, H, W] uint8 of every request, on rank 0; a round is one for each rank."""
        run, gathered = self.run, list[Tensor]()
        rank, world_size = run.engine.rank, run.engine.world_size
        for first in range(0, len(requests), world_size):
            mine = requests[min(first + rank, len(requests) - 1)]
            text = self._texts[self.prompts.index(mine.prompt)]
            latent = generate_latent(run.engine.module, text, mine, run.device)
            gathered += _gather_frames(decode_latent(vae, latent), run.engine)
        return gathered[: len(requests)]

    def _write(
        self, frames: Sequence[Tensor], measured: Sequence[VideoMetrics], found: dict[str, float]
    ) -> list[LoggedVideo]:
        """Videos, last what they are, and the page over all checkpoints so far."""
        folder = self._folder()
        folder.mkdir(parents=True, exist_ok=True)
        (folder / VALIDATION_FILE).unlink(
            missing_ok=True
        )  # what a kill interrupts counts as not seen
        videos, shown = [], []
        for number, request in enumerate(self.requests()):
            swept = number >= len(self.prompts)
            name = f"guidance-{request.guidance:g}.mp4" if swept else f"{number:02d}.mp4"
            write_video(folder / name, frames[number], request.fps)
            videos.append(LoggedVideo(folder / name, frames[number], request.fps))
            of_it = measured[number]._asdict()
            shown.append({**request.as_dict(), "file": name, "sweep": swept, "measures": of_it})
        about = {"step": self.run.step, "values": found, "samples": shown}
        with atomic_write(folder / VALIDATION_FILE) as stream:
            stream.write(json.dumps(about, indent=1).encode())
        write_page(self.run.out, self.run.recipe, until=self.run.step)
        return videos[: len(self.prompts)]

    def _folder(self) -> Path:
        """Of this step's samples."""
        return self.run.out / "samples" / f"step-{self.run.step:08d}"

    def _write_training(self, vae: VAE, loss: FixedLoss) -> None:
        """The same numbers of training clips, seen through the same VAE."""
        found = [compute_metrics(decode_latent(vae, latent))._asdict() for latent in loss.latents()]
        file = self.run.out / "samples" / TRAINING_METRICS_FILE
        file.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(file) as stream:
            stream.write(json.dumps(found).encode())


@contextmanager
def _ema_weights(engine: Engine) -> Iterator[None]:
    """The averaged weights in place, where the run keeps any."""
    engine.module.eval()
    with torch.no_grad():
        engine.swap_in(engine.shards()["ema"] or engine.shards()["model"])
    try:
        yield
    finally:
        engine.sync_compute_weights()
        engine.module.train()


class StopRequested(Exception):
    """In the middle of sampling, which takes minutes; a job that is told to end has one."""


@contextmanager
def _raise_on_stop_request(run: TrainingRun) -> Iterator[None]:
    """Raise AskedToStop at the network's next pass once any rank is; all make equally many."""

    def raise_if_stopped(*_: object) -> None:
        if run.any_rank_stop_requested():
            raise StopRequested

    hook = run.engine.module.register_forward_pre_hook(
        raise_if_stopped, prepend=True
    )  # before FSDP2's own
    try:
        yield
    finally:
        hook.remove()


@contextmanager
def _preserve_rng_state(device: torch.device) -> Iterator[None]:
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        yield


def _gather_frames(frames: Tensor, engine: Engine) -> list[Tensor]:
    """Every rank's, in order, at rank 0; nothing elsewhere."""
    if engine.world_size == 1:
        return [frames]
    theirs: list[Tensor] | None = [frames] * engine.world_size if engine.rank == 0 else None
    dist.gather_object(frames, theirs)
    return theirs or []


def _mean(measured: Sequence[VideoMetrics], name: str) -> float:
    return sum(float(getattr(m, name)) for m in measured) / len(measured)
