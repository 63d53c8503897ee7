"""Write a model of XL/2's size with random weights, as a folder for `finetune sample`.

    python -m tests.benchmarks.random_model FOLDER
    finetune sample --model FOLDER --prompt "..." --format npy --compile

The denoiser and the VAE have their real sizes; the text encoder has two layers of the real width.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from finetune.models.stdit2.network import STDiT2
from finetune.models.text_encoder import TextEncoder
from finetune.sampling.bundle import add_encoders
from tests.benchmarks import synthetic
from tests.benchmarks.training import open_every_branch

DEFAULTS = {"frames": 32, "height": 360, "width": 640, "fps": 8.0, "steps": 100, "guidance": 7.0}


def write(folder: Path, device: torch.device) -> None:
    """Write about 3.5 GB: weights in float32, for sampling in bfloat16."""
    with device:
        model = open_every_branch(STDiT2())
    model.save_pretrained(folder)
    captions = [synthetic.caption(number) for number in range(synthetic.CAPTIONS)]
    text = TextEncoder.tiny_random(captions, 0, width=model.config.caption_channels)
    vae = synthetic.large_vae(device)
    add_encoders(folder, vae=vae, text=text, precision="bfloat16", defaults=DEFAULTS)


if __name__ == "__main__":
    write(Path(sys.argv[1]), torch.device("cuda" if torch.cuda.is_available() else "cpu"))
