"""Stages of the pipeline. A new one is a file here and a line in this list."""

from brickfilm.stages.aesthetic_scorer import AestheticScorer
from brickfilm.stages.caption_audit import CaptionAudit
from brickfilm.stages.caption_verifier import CaptionVerifier
from brickfilm.stages.captioner import Captioner, GPT4oCaptioner
from brickfilm.stages.clip_text_scorer import ClipTextScorer
from brickfilm.stages.clip_writer import ClipWriter
from brickfilm.stages.frame_sampler import FrameSampler
from brickfilm.stages.keep import Keep
from brickfilm.stages.refusal_filter import RefusalFilter
from brickfilm.stages.scene_splitter import SceneSplitter
from brickfilm.stages.sidecar_captioner import SidecarCaptioner
from brickfilm.stages.still_embedder import StillEmbedder

__all__ = [
    "AestheticScorer",
    "CaptionAudit",
    "CaptionVerifier",
    "Captioner",
    "ClipTextScorer",
    "ClipWriter",
    "FrameSampler",
    "GPT4oCaptioner",
    "Keep",
    "RefusalFilter",
    "SceneSplitter",
    "SidecarCaptioner",
    "StillEmbedder",
]
