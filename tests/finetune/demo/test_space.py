"""A Space holds what it needs, and refers to nothing outside."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from finetune.demo.space import REQUIREMENTS, export_space
from finetune.errors import SamplingError
from tests.kit import ROOT
from tests.kit.toy_model import PROMPT


def card_of(space: Path) -> dict[str, object]:
    card: dict[str, object] = yaml.safe_load((space / "README.md").read_text().split("---")[1])
    return card


def test_a_model_of_the_hub_is_named(tmp_path: Path) -> None:
    export_space(tmp_path / "space", "maker/bricks")
    names = {path.name for path in (tmp_path / "space").iterdir()}
    assert names == {"app.py", "requirements.txt", "README.md", "finetune", "brickfilm"}
    assert "from_pretrained('maker/bricks')" in (tmp_path / "space" / "app.py").read_text()
    card = card_of(tmp_path / "space")
    assert (card["sdk"], card["app_file"]) == ("gradio", "app.py")
    assert card["models"] == ["maker/bricks"]


def test_a_model_of_this_machine_travels_along(toy_model: Path, tmp_path: Path) -> None:
    export_space(tmp_path / "space", str(toy_model))
    copied = tmp_path / "space" / "model"
    theirs = {path.relative_to(toy_model) for path in toy_model.rglob("*")}
    assert {path.relative_to(copied) for path in copied.rglob("*")} == theirs
    written = [p for p in (tmp_path / "space").rglob("*") if p.suffix in (".py", ".md", ".txt")]
    assert not [p for p in written if str(toy_model) in p.read_text()]
    assert "models" not in card_of(tmp_path / "space")


def test_a_space_has_every_module_of_brickfilm_that_it_imports(tmp_path: Path) -> None:
    """Lazy imports included; the root's `__init__` imports its names only when they are used."""
    space = tmp_path / "space"
    export_space(space, "maker/bricks")
    files = [f for f in space.rglob("*.py") if f != space / "brickfilm" / "__init__.py"]
    names = {name for file in files for name in imported_modules(file)}
    names = {name for name in names if name.split(".")[0] == "brickfilm"}
    assert {"brickfilm.errors", "brickfilm.files", "brickfilm.schema.buckets"} <= names
    assert not [n for n in names if not (space / f"{n.replace('.', '/')}.py").is_file()]


def imported_modules(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""


@pytest.mark.slow
def test_a_space_samples_without_the_rest_of_the_project(toy_model: Path, tmp_path: Path) -> None:
    export_space(tmp_path / "space", str(toy_model))
    code = (
        "import brickfilm, finetune.demo.app; from finetune.sampling import TextToVideoPipeline; "
        "pipeline = TextToVideoPipeline.from_pretrained('model', device='cpu'); "
        f"print(pipeline.sample(pipeline.request(prompt={PROMPT!r})).shape[0], brickfilm.__file__)"
    )
    alone = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path / "space",
        env=alone,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["4", str(tmp_path / "space" / "brickfilm" / "__init__.py")]


def test_what_a_space_needs_is_what_the_package_states() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    stated = {*project["dependencies"], *extras["finetune"], *extras["demo"]}
    assert set(REQUIREMENTS.split()) <= stated


def test_what_cannot_be_exported(toy_model: Path, tmp_path: Path) -> None:
    (tmp_path / "run" / "step-00000010").mkdir(parents=True)
    with pytest.raises(SamplingError, match=r"is no release, .*--only-here, and name that folder"):
        export_space(tmp_path / "space", str(tmp_path / "run"))
    with pytest.raises(SamplingError, match="nor a Hub id"):
        export_space(tmp_path / "space", "bricks")
    with pytest.raises(SamplingError, match="not empty: name a new folder"):
        export_space(tmp_path, "maker/bricks")
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(SamplingError, match="cannot be written"):
        export_space(tmp_path / "file" / "deeper", "maker/bricks")
