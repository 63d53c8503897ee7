"""The formats of trainers: one file for each, and one line here."""

from __future__ import annotations

from collections.abc import Mapping

from brickfilm.export.formats.ai_toolkit import AiToolkit
from brickfilm.export.formats.cosmos_predict import CosmosPredict
from brickfilm.export.formats.diffsynth import DiffSynth
from brickfilm.export.formats.diffusion_pipe import DiffusionPipe
from brickfilm.export.formats.fastvideo import FastVideo
from brickfilm.export.formats.finetrainers import FineTrainers
from brickfilm.export.formats.folder import Folder
from brickfilm.export.formats.ltx_trainer import LtxTrainer
from brickfilm.export.formats.musubi_tuner import MusubiTuner
from brickfilm.export.formats.nemo import Nemo
from brickfilm.export.formats.opensora import OpenSora
from brickfilm.export.formats.opensora2 import OpenSora2
from brickfilm.export.formats.simpletuner import SimpleTuner
from brickfilm.export.formats.videox_fun import VideoXFun
from brickfilm.export.formats.webdataset import WebDataset
from brickfilm.export.trainer_format import TrainerFormat

_FORMATS: tuple[type[TrainerFormat], ...] = (
    DiffusionPipe,
    MusubiTuner,
    AiToolkit,
    SimpleTuner,
    DiffSynth,
    LtxTrainer,
    FastVideo,
    OpenSora2,
    VideoXFun,
    CosmosPredict,
    FineTrainers,
    Nemo,
    Folder,
    WebDataset,
    OpenSora,
)
FORMATS: Mapping[str, type[TrainerFormat]] = {made.name: made for made in _FORMATS}
"""Classes of exporters by the value of `brickfilm export --to`; each takes a `Target`."""

__all__ = ["FORMATS"]
