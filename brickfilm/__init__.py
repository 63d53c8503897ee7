"""Footage in, captioned Hugging Face dataset out.

Everything public is importable from here, and nothing heavy is imported before it is used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from brickfilm.build.build_dataset import build_dataset
    from brickfilm.build.built_dataset import BrickfilmDataset
    from brickfilm.engine.ledger import ledger_frame
    from brickfilm.sources import (
        Connection,
        FolderSource,
        HubSource,
        RateLimits,
        RemoteFolderSource,
        UrlListSource,
        WebDatasetSource,
        YouTubeSource,
    )
    from brickfilm.stages import (
        AestheticScorer,
        CaptionAudit,
        Captioner,
        CaptionVerifier,
        ClipTextScorer,
        ClipWriter,
        FrameSampler,
        GPT4oCaptioner,
        Keep,
        RefusalFilter,
        SceneSplitter,
        SidecarCaptioner,
        StillEmbedder,
    )

HOMES = {
    "AestheticScorer": "brickfilm.stages",
    "BrickfilmDataset": "brickfilm.build.built_dataset",
    "CaptionAudit": "brickfilm.stages",
    "CaptionVerifier": "brickfilm.stages",
    "Captioner": "brickfilm.stages",
    "ClipTextScorer": "brickfilm.stages",
    "ClipWriter": "brickfilm.stages",
    "Connection": "brickfilm.sources",
    "FolderSource": "brickfilm.sources",
    "FrameSampler": "brickfilm.stages",
    "GPT4oCaptioner": "brickfilm.stages",
    "HubSource": "brickfilm.sources",
    "Keep": "brickfilm.stages",
    "RateLimits": "brickfilm.sources",
    "RefusalFilter": "brickfilm.stages",
    "RemoteFolderSource": "brickfilm.sources",
    "SceneSplitter": "brickfilm.stages",
    "SidecarCaptioner": "brickfilm.stages",
    "StillEmbedder": "brickfilm.stages",
    "UrlListSource": "brickfilm.sources",
    "WebDatasetSource": "brickfilm.sources",
    "YouTubeSource": "brickfilm.sources",
    "build_dataset": "brickfilm.build.build_dataset",
    "ledger_frame": "brickfilm.engine.ledger",
}

__all__ = [
    "AestheticScorer",
    "BrickfilmDataset",
    "CaptionAudit",
    "CaptionVerifier",
    "Captioner",
    "ClipTextScorer",
    "ClipWriter",
    "Connection",
    "FolderSource",
    "FrameSampler",
    "GPT4oCaptioner",
    "HubSource",
    "Keep",
    "RateLimits",
    "RefusalFilter",
    "RemoteFolderSource",
    "SceneSplitter",
    "SidecarCaptioner",
    "StillEmbedder",
    "UrlListSource",
    "WebDatasetSource",
    "YouTubeSource",
    "build_dataset",
    "ledger_frame",
]


def __getattr__(name: str) -> object:
    if name not in HOMES:
        raise AttributeError(f"module 'brickfilm' has no attribute {name!r}")
    return getattr(import_module(HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
