"""Samples of the averaged weights at fixed prompts and fixed noise, as videos, while training."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from finetune.data.media import write_video
from finetune.data.windows import IMAGE_FPS
from finetune.diffusion import Diffusion, guided, sample
from finetune.diffusion.sampling import drawn_noise
from finetune.encoders import load_text, load_vae
from finetune.models.text import TextStates
from finetune.models.vae import VAE

if TYPE_CHECKING:
    from finetune.run import Run


class Validate:
    """Samples every prompt of the recipe; rank 0 decodes, writes and logs.

    Every rank computes the same samples, since a sharded engine needs them all.
    """

    def __init__(self, run: Run) -> None:
        self.run, self.settings = run, run.recipe.validation
        self._texts: list[TextStates] = []
        self._vae: VAE | None = None

    def due(self, *, last: bool) -> bool:
        """Is it time, after this step?"""
        every = self.settings.every or self.run.recipe.checkpoints.every
        return last or self.run.step % every == 0

    @torch.no_grad()
    def __call__(self) -> None:
        if not self.settings.prompts:
            return
        run, engine = self.run, self.run.engine
        self._open()
        engine.module.eval()
        engine.show(engine.shards()["ema"] or engine.shards()["model"])
        try:
            videos = {
                f"sample/{number}": self._write(number, self._sampled(text))
                for number, text in enumerate(self._texts)
            }
        finally:
            engine.refresh()
            engine.module.train()
        if engine.rank == 0:
            run.log.log(run.step, {}, videos)

    def _open(self) -> None:
        """Encode the prompts once, and let the text encoder go again: it is the larger network."""
        if not self._texts:
            run = self.run
            encoder = run.encode.texts or load_text(run.recipe, run.index, run.device)
            self._texts = [encoder.encode([prompt]) for prompt in self.settings.prompts]
            self._vae = run.encode.vae or load_vae(run.recipe, run.device)

    def _sampled(self, text: TextStates) -> Tensor:
        """The latent [T, 4, h, w] of one prompt."""
        s, device = self.settings, self.run.device
        generator = torch.Generator(device).manual_seed(s.seed)
        size = VAE.latent_size(s.height, s.width)
        noise = torch.randn(1, 4, s.frames, *size, generator=generator, device=device)
        fps = IMAGE_FPS if s.frames == 1 else s.fps
        model = self.run.engine.module

        def told(value: float) -> Tensor:
            return torch.tensor([float(value)], device=device)

        denoise = guided(
            model,
            text.states[:, None],
            model.y_embedder.y_embedding,
            text.mask,
            scale=s.guidance,
            num_frames=told(s.frames),
            height=told(s.height),
            width=told(s.width),
            ar=told(s.height / s.width),
            fps=told(fps),
        )
        process = Diffusion.linear().respaced(s.steps).to(device)
        return sample(process, denoise, noise, drawn_noise(noise, generator))[0].transpose(0, 1)

    def _write(self, number: int, latent: Tensor) -> Path:
        run, folder = self.run, self.run.out / "samples" / f"step-{self.run.step:08d}"
        file = folder / f"{number:02d}.mp4"
        if run.engine.rank == 0 and self._vae is not None:
            frames = (self._vae.decode(latent) + 1) * 127.5
            folder.mkdir(parents=True, exist_ok=True)
            write_video(file, frames.round().to(torch.uint8).cpu(), self.settings.fps)
        return file
