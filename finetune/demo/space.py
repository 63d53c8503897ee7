"""A demo page as a folder that runs by itself: a Space for the Hub, or `python app.py` here."""

from __future__ import annotations

import shutil
from importlib import resources
from pathlib import Path

from finetune.errors import SamplingError
from finetune.release.model_card import HUB_ID, read_template
from finetune.sampling.sources import SAMPLING_FILE, exists_locally

APP_TEMPLATE = '''"""A page that samples {model}: pip install -r requirements.txt; python app.py"""

from pathlib import Path

from finetune.demo.app import serve
from finetune.sampling import TextToVideoPipeline

HERE = Path(__file__).parent
serve(TextToVideoPipeline.from_pretrained({name}), HERE / "samples")
'''
MODEL_FOLDER = "model"  # where a local model is copied to
REQUIREMENTS = """\
av>=14
diffusers>=0.29
gradio>=6
huggingface_hub>=0.30
jinja2>=3.1
numpy>=2
pillow>=10
pyarrow>=16
pydantic>=2.7
rich>=13.7
safetensors>=0.4
sentencepiece>=0.2
torch>=2.5
transformers>=4.39
typer>=0.15
"""
"""Those of the package that a page needs: not what builds datasets, trains, or logs."""


def export_space(folder: Path, model: str) -> None:
    """Write a Space: the page, its code and requirements, the card, and a local model's release.

    Nothing in it refers to this machine. Raises SamplingError for a folder that has other files, or
    a local model that is no release.
    """
    local = exists_locally(model)
    if local and not (Path(model) / SAMPLING_FILE).is_file():
        raise SamplingError(
            f"{model} is no release, and a Space cannot reach it here: build one with "
            "finetune release RUN USER/MODEL --dry-run, and name that folder"
        )
    if not local and not HUB_ID.fullmatch(model):
        raise SamplingError(f"{model!r} is no folder here, nor a Hub id like 'name/model'")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise SamplingError(f"{folder} is there and not empty: name a new folder")
    try:
        _write(folder, model, local=local)
    except OSError as error:
        raise SamplingError(f"{folder} cannot be written ({error}): name another folder") from error


def _write(folder: Path, model: str, *, local: bool) -> None:
    code = Path(str(resources.files("finetune")))
    shutil.copytree(code, folder / "finetune", ignore=shutil.ignore_patterns("__pycache__"))
    if local:
        shutil.copytree(model, folder / MODEL_FOLDER)
    name = f"str(HERE / {MODEL_FOLDER!r})" if local else repr(model)
    shown = MODEL_FOLDER if local else model
    (folder / "app.py").write_text(APP_TEMPLATE.format(model=shown, name=name))
    (folder / "requirements.txt").write_text(REQUIREMENTS)
    (folder / "README.md").write_text(_card(shown, linked=not local), encoding="utf-8")


def _card(model: str, *, linked: bool) -> str:
    from jinja2 import Environment

    page = Environment(keep_trailing_newline=True).from_string(read_template("space.md.jinja"))
    return page.render(model=model, linked=linked)
