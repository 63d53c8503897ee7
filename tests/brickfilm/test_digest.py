"""Digests and keys under which answers are stored: literal values that no rename may change."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from dataclasses import is_dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

import brickfilm
from brickfilm.detectors import HoldAware
from brickfilm.digest import digest_name
from brickfilm.engine.sinks import FusedSinks
from brickfilm.engine.stage import Part, Stage
from brickfilm.records import Caption, Clip, Image, Listing, Span, Still, Video
from brickfilm.scan.wipes import WipeAnalyzer
from brickfilm.sources.base import DownloadStage, PictureStage
from brickfilm.sources.base.lock import SourcesLock
from brickfilm.sources.youtube.fetch import FetchVideo
from brickfilm.sources.youtube.refetch import RefetchVideo
from brickfilm.stages import (
    CaptionAudit,
    ClipWriter,
    FrameSampler,
    GPT4oCaptioner,
    Keep,
    SceneSplitter,
)
from brickfilm.stages.base import ClipModelStage

DEFAULT_DIGESTS = {
    "AestheticScorer": "9967a8acbe56d894",
    "ClipTextScorer": "7111df16baf36300",
    "Adaptive": "7676b6c9c8becf1f",
    "Blank": "ad1b539950f3877b",
    "Blockiness": "dec4f5bf8237ec4d",
    "Cadence": "ccaad4f364264458",
    "CameraMotion": "ab7c06c742234550",
    "CaptionAudit": "5c0b25c24df76c89",
    "CaptionVerifier": "39ced5258cb933f6",
    "ClipWriter": "4219bd10da168f0c",
    "ColorBars": "fc87ef94c5292bbc",
    "Content": "15510064e9bad47a",
    "Drawings": "dd7f35df435dcd85",
    "Exposure": "9beb5c8afcae30aa",
    "FetchFile": "00f74ae9ee0d40be",
    "FetchFilm": "8654b4a5afd95175",
    "Flicker": "3ca5baea0562198d",
    "FrameSampler": "6f2d72b18c0e7934",
    "Freeze": "9e8a099689814720",
    "GPT4oCaptioner": "c6f15152f4c27363",
    "HoldAware": "82db924b389df944",
    "Interlacing": "d4e7e6dda3aa8fc8",
    "JointDetector": "b95acb60f5f65d38",
    "Keep": "25457e482fc4529f",
    "Letterbox": "29f0ae4031d44452",
    "ListFilms": "c37c857d9717e4ea",
    "Motion": "dd952792b0a5bd3f",
    "Overlay": "482760f2cebd290c",
    "Probe": "d8a660f37dc0dde8",
    "RefetchFilm": "f7a8d65babf4fae6",
    "RefusalFilter": "71c1c3a69743a950",
    "SceneSplitter": "caa6512963ffee7b",
    "Sharpness": "c2785f89799c4a74",
    "SidecarCaptioner": "fd4258720e2fcd48",
    "StillEmbedder": "82edc2688477245c",
    "TextShare": "3c1a49f3669e9fb4",
    "Timeline": "6efa72aa8928085a",
    "TransNetV2": "8e431a9337f0d46f",
    "VmafMotion": "99950978b0661c58",
    "WipeAnalyzer": "9605aa36fab1ef5b",
}
"""Name in the ledger to digest, of every part of the product at its defaults."""

ARGUMENTS: dict[str, dict[str, Any]] = {
    "AestheticScorer": {"head": "head.pth"},
    "CaptionVerifier": {"model": "gpt-4o"},
    "GPT4oCaptioner": {"model": "gpt-4o"},
    "FetchFilm": {"max_height": 720},
    "JointDetector": {"holds": HoldAware()},
    "Keep": {"score": "motion", "at_least": 0.02},
    "RefetchFilm": {"max_height": 720, "lock": SourcesLock()},
}
"""Settings of the parts that have no default for each."""

VIDEO = Video(
    path=Path("film.mp4"),
    sha256="ab" * 32,
    source_id="film.mp4",
    fps=Fraction(24),
    time_base=Fraction(1, 24),
    width=640,
    height=360,
    duration=10.0,
)
CLIP = Clip(
    video=VIDEO,
    span=Span(start_frame=10, end_frame=34, start_pts=10, end_pts=34),
    path=Path("clips/c.mp4"),
    sha256="cd" * 32,
    width=640,
    height=360,
    scores={"motion": 0.5},
    stills=(Still(frame=12, at=0.2, path=Path("stills/a.jpg"), sha256="ef" * 32),),
    caption=Caption(text="A brick."),
)
IMAGE = Image(
    clip=CLIP,
    frame=21,
    path=Path("stills/b.jpg"),
    sha256="01" * 32,
    width=640,
    height=360,
    caption=Caption(text="A brick."),
)


BASES = {FusedSinks, DownloadStage, PictureStage, ClipModelStage}
"""Parts that have no answers under a digest of their own."""


def product_parts() -> Iterator[type[Part]]:
    """Yield every dataclass of the package that has answers of its own."""
    for module in pkgutil.walk_packages(brickfilm.__path__, "brickfilm."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    classes = [Part]
    while classes:
        cls = classes.pop()
        classes += cls.__subclasses__()
        if cls.__module__.startswith("brickfilm.") and is_dataclass(cls) and cls not in BASES:
            yield cls


def test_digests_are_those_of_the_first_release() -> None:
    digests = {
        digest_name(cls): cls(**ARGUMENTS.get(digest_name(cls), {})).digest
        for cls in product_parts()
    }
    assert digests == DEFAULT_DIGESTS


@pytest.mark.parametrize(
    ("part", "digest"),
    [
        (RefetchVideo(max_height=360, lock=SourcesLock(), allow_drift=True), "b4256d85f5349aeb"),
        (ClipWriter(crf=20, sound=True, max_height=360), "22f6687ff92fa9cf"),
        (FrameSampler(at=(0.5,), images=False), "35242e99ace3b94d"),
        (
            GPT4oCaptioner(prompt="general", model="m", base_url="http://x", detail="low"),
            "a0dfde9de87d8d76",
        ),
        (CaptionAudit(captioner=GPT4oCaptioner(), rules=("length",)), "772122143ea882ae"),
    ],
)
def test_settings_enter_digests_under_their_first_names(part: Part, digest: str) -> None:
    assert part.digest == digest


@pytest.mark.parametrize(
    ("part", "item", "key"),
    [
        (FetchVideo(max_height=720), Listing(source_id="dQw4w9WgXcQ"), "dQw4w9WgXcQ"),
        (Keep("motion", at_least=0.02), CLIP, "abababababababab-000010-000034"),
        (ClipWriter(), CLIP, "abababababababab-000010-000034"),
        (FrameSampler(), CLIP, "abababababababab-000010-000034"),
        (GPT4oCaptioner(), CLIP, "bcdfa2034f2574987d429a47f9c31ac1"),
        (GPT4oCaptioner(), IMAGE, "4982bf585dab0a13856a0de3b348016e"),
        (CaptionAudit(), CLIP, "79c2ed9a63e964c0db9defe11a5ca9f0"),
        (CaptionAudit(captioner=GPT4oCaptioner()), CLIP, "96be17c6c4f6901ab178b591683bed54"),
        (CaptionAudit(captioner=GPT4oCaptioner()), IMAGE, "05ab19e21cd1ec14b435c71ce81fb853"),
        *((part, VIDEO, "abababababababab") for part in SceneSplitter().parts()),
    ],
)
def test_keys_are_those_of_the_first_release(part: Part, item: Any, key: str) -> None:
    assert part.key(part.request(item) if isinstance(part, Stage) else item) == key


def test_a_scan_keeps_its_parts_and_their_order() -> None:
    names = ["Timeline", "Drawings", "HoldAware", "Motion", "Sharpness"]
    first = SceneSplitter(describe_cuts=False).parts()
    assert [digest_name(type(part)) for part in first] == names
    assert SceneSplitter().parts() == (*first, WipeAnalyzer())
