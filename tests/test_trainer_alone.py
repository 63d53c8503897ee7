"""The trainer alone: the wheel without its dependencies, and the packages of docs/install.md.

There is no PyAV, OpenCV, OpenAI client or datasets; latents were cached elsewhere.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from finetune.config import Recipe
from finetune.data.cache import build_cache
from tests.finetune.conftest import MakeRecipe, make_recipe, toy_dataset  # noqa: F401 (fixtures)
from tests.kit import ROOT
from tests.kit.wheel import build_wheel, link_packages, make_environment

pytestmark = pytest.mark.slow
ABSENT = ("av", "cv2", "openai", "datasets", "yt_dlp", "scenedetect", "pandas")


def trainer_packages() -> list[str]:
    """The list of docs/install.md, section 'The trainer alone'."""
    page = (ROOT / "docs/install.md").read_text(encoding="utf-8")
    section = page.split("## The trainer alone")[1].split("\n## ")[0]
    (command,) = re.findall(r"pip install ((?!--no-deps).*)", section)
    return command.replace("'", "").split()


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Python of an environment with the wheel and the trainer's list."""
    home = tmp_path_factory.mktemp("alone") / "env"
    found = make_environment(home, build_wheel(tmp_path_factory.mktemp("wheel")))
    link_packages(home, trainer_packages())
    return found


def run(python: Path, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run(
        [str(python), *words],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("module", ABSENT)
def test_the_data_half_is_not_there(python: Path, tmp_path: Path, module: str) -> None:
    assert "ModuleNotFoundError" in run(python, tmp_path, "-c", f"import {module}").stderr


def test_it_plans_trains_and_resumes_on_cached_latents(
    python: Path,
    tmp_path: Path,
    make_recipe: MakeRecipe,  # noqa: F811
) -> None:
    recipe = make_recipe()
    build_cache(recipe)
    (tmp_path / "recipe.toml").write_text(as_toml(recipe))
    for words, shown in (
        (["plan", "recipe.toml"], "144p x 4"),
        (["train", "recipe.toml", "steps=2"], "steps          2"),
        (["train", "recipe.toml", "--resume", "auto"], "steps          4"),
    ):
        ended = run(python, tmp_path, "-m", "finetune", *words)
        assert ended.returncode == 0, ended.stderr
        assert shown in ended.stdout


def as_toml(recipe: Recipe) -> str:
    """A recipe's settings, one a line with dotted keys."""
    settings = replace(recipe).as_dict()
    lines = []
    for name, value in settings.items():
        nested = value.items() if isinstance(value, dict) else [(None, value)]
        for key, inner in nested:
            if inner is not None:
                lines.append(f"{name if key is None else f'{name}.{key}'} = {toml_value(inner)}")
    return "\n".join(lines) + "\n"


def toml_value(value: object) -> str:
    if isinstance(value, list | tuple):
        return f"[{', '.join(toml_value(v) for v in value)}]"
    if isinstance(value, dict):
        inside = ", ".join(f"{name} = {toml_value(v)}" for name, v in value.items())
        return f"{{ {inside} }}"
    return json.dumps(value)
