"""`brickfilm doctor`: states, exit codes, and no key in any line."""

from __future__ import annotations

import json
import shutil
from collections import namedtuple
from importlib import metadata
from pathlib import Path

import pytest
from typer.testing import CliRunner

from brickfilm.build.plan_file import Plan, PlannedStage
from brickfilm.cli import app
from brickfilm.inspection import check_machine

KEY = "sk-a-secret-of-somebody"


def test_keys_are_found_and_never_shown(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("HF_TOKEN", KEY)
    states = {check.name: check for check in check_machine(tmp_path)}
    assert (states["OPENAI_API_KEY"].state, states["HF_TOKEN"].detail) == ("ok", "set")
    assert KEY not in str(states)
    monkeypatch.setenv("OPENAI_API_KEY", "  ")
    states = {check.name: check for check in check_machine(tmp_path)}
    assert states["OPENAI_API_KEY"].state == "note"


def test_the_model_of_the_folder_is_checked_for_its_end(tmp_path: Path) -> None:
    Plan([PlannedStage("Captioner", "", {"model": "gpt-4.1-nano"})], {}).write(tmp_path)
    names = {check.name: check for check in check_machine(tmp_path)}
    assert "was retired on 2026-10-23" in names["model gpt-4.1-nano"].detail
    assert names["model gpt-4.1-nano"].remedy.startswith("set model=")


def test_a_problem_is_an_exit_code(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    ready = CliRunner().invoke(app, ["doctor", str(tmp_path), "--json"])
    assert ready.exit_code == 0, ready.output
    assert {c["name"] for c in json.loads(ready.stdout)} >= {"codecs", "disk", "GPU", "yt-dlp"}
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**12, 10**12, 10**6))
    full = CliRunner().invoke(app, ["doctor", str(tmp_path)])
    assert full.exit_code == 1
    assert "make room" in full.output


def test_a_version_outside_the_range_is_a_problem(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    needed = ["av>=1,<2", "numpy>=1", "torch<0.1; extra == 'finetune'"]
    monkeypatch.setattr(metadata, "requires", lambda _: needed)
    (problem,) = (check for check in check_machine(tmp_path) if check.state == "problem")
    assert (problem.name, problem.remedy) == ("packages", "pip install 'av<2,>=1'")
    assert problem.detail == f"av {metadata.version('av')} is installed, av<2,>=1 is needed"
