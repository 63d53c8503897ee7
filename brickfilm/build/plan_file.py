"""What a build was asked to do, written beside its ledger: for cards, and for cutting again."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

FILENAME = "plan.json"
TOOLS = (
    "brickfilm",
    "av",
    "scenedetect-headless",
    "opencv-python-headless",
    "openai",
    "yt-dlp",
)
JsonScalar = str | int | float | bool | None


@dataclass(frozen=True)
class PlannedStage:
    """One stage as it was asked for."""

    name: str
    shown: str
    """Its settings as Python would write them."""
    settings: Mapping[str, Any]
    """Its plain settings: numbers, words and lists of them."""


@dataclass(frozen=True)
class Plan:
    """The stages of a build in order, and the versions of the tools that ran them."""

    stages: Sequence[PlannedStage]
    tools: Mapping[str, str]

    @classmethod
    def from_stages(cls, stages: Sequence[object]) -> Plan:
        return cls([_planned_stage(stage) for stage in stages], tool_versions())

    @classmethod
    def read(cls, work: Path) -> Plan | None:
        """The plan of the last build in a work folder."""
        path = work / FILENAME
        if not path.is_file():
            return None
        held = json.loads(path.read_text(encoding="utf-8"))
        return cls([PlannedStage(**stage) for stage in held["stages"]], held["tools"])

    def write(self, work: Path) -> None:
        stages = [vars(stage) for stage in self.stages]
        text = json.dumps({"stages": stages, "tools": self.tools}, indent=1, ensure_ascii=False)
        (work / FILENAME).write_text(text + "\n", encoding="utf-8")

    def settings(self, name: str) -> Mapping[str, Any] | None:
        """The settings of the first stage of this name."""
        return next((stage.settings for stage in self.stages if stage.name == name), None)


def tool_versions() -> dict[str, str]:
    """The versions of what decodes, detects and captions, as installed here."""
    return {name: version for name in TOOLS if (version := version_of(name))}


def _planned_stage(stage: object) -> PlannedStage:
    """What decides about the answers; proxies, cookies and addresses are nobody's business."""
    name = type(stage).__name__
    told = [f for f in fields(stage) if f.repr and f.compare] if is_dataclass(stage) else []
    values = {f.name: getattr(stage, f.name) for f in told}
    shown = ", ".join(f"{setting}={value!r}" for setting, value in values.items())
    plain = {setting: value for setting, value in values.items() if _is_plain(value)}
    return PlannedStage(name, f"{name}({shown})", plain)


def _is_plain(value: object) -> bool:
    if isinstance(value, tuple | list):
        return all(isinstance(one, JsonScalar) for one in value)
    return isinstance(value, JsonScalar)


def version_of(name: str) -> str | None:
    """An installed distribution's version; None for what is not installed."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
