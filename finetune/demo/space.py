"""Export the demo page as a self-contained folder: a Space on the Hub, or `python app.py`."""

from __future__ import annotations

import shutil
from importlib import resources
from pathlib import Path

from brickfilm.schema.cards import read_card_template
from finetune.errors import SamplingError
from finetune.models.hub import HUB_ID, exists_locally
from finetune.sampling.sources import SAMPLING_FILE

APP_TEMPLATE = '''"""Sample {model} on a page: pip install -r requirements.txt; python app.py"""

from pathlib import Path

from finetune.demo.app import serve
from finetune.sampling import TextToVideoPipeline

HERE = Path(__file__).parent
serve(TextToVideoPipeline.from_pretrained({name}), HERE / "samples")
'''
MODEL_FOLDER = "model"  # the copy of a local model
SHARED_MODULES = ("__init__.py", "errors.py", "files.py", "digest.py")
"""Modules of `brickfilm` that `finetune` may import, beside the folder `schema`."""
REQUIREMENTS = """\
av>=14,<19
diffusers>=0.29
gradio>=6,<7
huggingface_hub>=0.30,<3
jinja2>=3.1
numpy>=2
pillow>=10
pyarrow>=16,<25
pydantic>=2.7
rich>=13.7
safetensors>=0.4
sentencepiece>=0.2
torch>=2.5
transformers>=4.39
typer>=0.15
"""
"""The package's requirements that the page needs: none for building datasets or training."""


def export_space(folder: Path, model: str) -> None:
    """Write a Space: the page, its code and requirements, the card, and a local model's release.

    Nothing in it refers to this machine. Raise SamplingError for a folder that is not empty, or a
    local model that is not a release.
    """
    local = exists_locally(model)
    if local and not (Path(model) / SAMPLING_FILE).is_file():
        raise SamplingError(
            f"{model} is no release, and a Space cannot read it from here: build one with "
            "finetune release RUN USER/MODEL --only-here, and name that folder"
        )
    if not local and not HUB_ID.fullmatch(model):
        raise SamplingError(f"{model!r} is no folder here, nor a Hub id like 'name/model'")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise SamplingError(f"{folder} exists and is not empty: name a new folder")
    try:
        _write(folder, model, local=local)
    except OSError as error:
        raise SamplingError(f"{folder} cannot be written ({error}): name another folder") from error


def _write(folder: Path, model: str, *, local: bool) -> None:
    _copy_code(folder)
    if local:
        shutil.copytree(model, folder / MODEL_FOLDER)
    name = f"str(HERE / {MODEL_FOLDER!r})" if local else repr(model)
    shown = MODEL_FOLDER if local else model
    (folder / "app.py").write_text(APP_TEMPLATE.format(model=shown, name=name))
    (folder / "requirements.txt").write_text(REQUIREMENTS)
    (folder / "README.md").write_text(_card(shown, linked=not local), encoding="utf-8")


def _copy_code(folder: Path) -> None:
    """Copy `finetune`, and the parts of `brickfilm` that it imports."""
    finetune, brickfilm = (Path(str(resources.files(name))) for name in ("finetune", "brickfilm"))
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(finetune, folder / "finetune", ignore=ignored)
    shutil.copytree(brickfilm / "schema", folder / "brickfilm/schema", ignore=ignored)
    for name in SHARED_MODULES:
        shutil.copy(brickfilm / name, folder / "brickfilm")


def _card(model: str, *, linked: bool) -> str:
    from jinja2 import Environment

    template = read_card_template("finetune", "space.md.jinja")
    page = Environment(keep_trailing_newline=True).from_string(template)
    return page.render(model=model, linked=linked)
