"""The wheel away from the clone: whatever the code reads beside itself has to travel with it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

from tests.brickworld import BrickFilm, Shot
from tests.kit import ROOT
from tests.kit.wheel import build_wheel

pytestmark = pytest.mark.slow

READ_TEMPLATE = "from brickfilm.schema.cards import read_card_template as f"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of a source distribution: what holds for it holds for both."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (source,) = folder.glob("*.tar.gz")
    return build_wheel(folder, source)


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Python of an environment with the wheel, and this one's packages behind it."""
    home = tmp_path_factory.mktemp("empty") / "env"
    subprocess.run([sys.executable, "-m", "venv", str(home)], check=True)
    pip = [str(home / "bin/python"), "-m", "pip", "install", "-q", "--no-deps", "--no-index"]
    subprocess.run([*pip, str(wheel)], check=True, capture_output=True)
    (packages,) = home.glob("lib/python*/site-packages")
    (packages / "behind.pth").write_text(sysconfig.get_path("purelib"))  # no .pth of its own runs
    return home / "bin/python"


def run(python: Path, folder: Path, *words: str) -> str:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [str(python), *words],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_wheel_holds_both_halves_their_data_and_no_tests(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    wanted = {"py.typed", "report/templates/report.html.jinja", "captions/prompts/bricks.md"}
    wanted |= {"demo/brick-film.mp4", "demo/brick-film.vtt", "schema/aspect_ratios.json"}
    assert {f"brickfilm/{name}" for name in wanted} <= names
    assert {"brickfilm/cards/dataset.md.jinja", "finetune/py.typed"} <= names
    assert {
        "finetune/cards/model.md.jinja",
        "finetune/validation/templates/validation.html.jinja",
    } <= names
    recipes = {
        f"finetune/{path.relative_to(ROOT).as_posix()}"
        for path in (ROOT / "recipes").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert recipes <= names
    assert not [name for name in names if name.startswith(("tests/", "docs/", "work/"))]


@pytest.mark.parametrize("name", ["cpu", "gpu"])
def test_an_image_copies_all_that_its_installation_needs(name: str, tmp_path: Path) -> None:
    lines = (ROOT / f"recipes/docker/{name}.Dockerfile").read_text().splitlines()
    for *sources, target in (line.split()[1:] for line in lines if line.startswith("COPY ")):
        place = tmp_path / target.strip("/")
        for source in sources:
            if (ROOT / source).is_dir():
                shutil.copytree(ROOT / source, place)
            else:
                place.mkdir(exist_ok=True)
                shutil.copy(ROOT / source, place)
    built = build_wheel(tmp_path, tmp_path / "src")
    (install,) = (line for line in lines if "pip install" in line)
    with zipfile.ZipFile(built) as wheel:
        (metadata,) = (name for name in wheel.namelist() if name.endswith("/METADATA"))
        known = set(re.findall(r"^Provides-Extra: (.+)$", wheel.read(metadata).decode(), re.M))
    assert set(install.split("[")[1].split("]")[0].split(",")) <= known


def test_the_code_comes_from_the_wheel(python: Path, tmp_path: Path) -> None:
    code = "import brickfilm, finetune; print(brickfilm.__file__, finetune.__file__)"
    assert str(ROOT) not in run(python, tmp_path, "-c", code)


def test_a_dataset_is_built_from_the_wheel_alone(python: Path, tmp_path: Path) -> None:
    film = tmp_path / "films" / "one.mp4"
    film.parent.mkdir()
    BrickFilm(seed=1, size=(160, 90), shots=(Shot(seconds=1.5),)).render(film)
    film.with_suffix(".vtt").write_text("WEBVTT\n\n00:00.000 --> 00:09.000\na street of bricks\n")
    command = str(python.parent / "brickfilm")
    build = ("build", "films", "--out", "work", "--captions", "sidecar")
    assert "clips: 1 train" in run(Path(command), tmp_path, *build)
    assert "a street of bricks" in (tmp_path / "work/report.html").read_text()
    assert "SidecarCaptioner" in run(Path(command), tmp_path, "status", "work")


def test_the_demo_is_built_from_the_wheel_alone(python: Path, tmp_path: Path) -> None:
    assert "clips: 8 train" in run(python.parent / "brickfilm", tmp_path, "demo", "--out", "work")


@pytest.mark.parametrize(
    "code",
    [
        "from brickfilm.captions.prompts import load_prompt as f; print(f('bricks', 'clips'))",
        "from brickfilm.captions.prompts import load_prompt as f; print(f('bricks', 'images'))",
        f"{READ_TEMPLATE}; print(f('brickfilm', 'dataset.md.jinja'))",
        f"{READ_TEMPLATE}; print(f('finetune', 'model.md.jinja'))",
        f"{READ_TEMPLATE}; print(f('finetune', 'space.md.jinja'))",
        "from brickfilm.schema.recipes import find_recipe; print(find_recipe('tiny/cpu'))",
        "from brickfilm import GPT4oCaptioner; print(GPT4oCaptioner().price)",
    ],
)
def test_what_lies_beside_the_code_is_found(python: Path, tmp_path: Path, code: str) -> None:
    assert len(run(python, tmp_path, "-c", code)) > 20
