"""The captions that the command line names: models, servers, prompts, and their limits."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from brickfilm.build.caption_options import CaptionOptions
from brickfilm.build.plan_file import Plan
from brickfilm.build.recipe import load_recipe
from brickfilm.captions.backends import TransformersBackend
from brickfilm.captions.prompts import load_prompt, names_by_digest
from brickfilm.errors import UsageError
from brickfilm.stages import Captioner, GPT4oCaptioner, SidecarCaptioner
from tests.kit.captions import ClipSource, run_captions
from tests.kit.servers.openai import CaptionServer


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[CaptionServer]:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-none")
    with CaptionServer() as running:
        yield running


def captioner(work: Path | None = None, **options: Any) -> Captioner:
    stage = CaptionOptions(**options).stages(work)[0]
    assert isinstance(stage, Captioner)
    return stage


def test_any_model_of_any_server_can_be_named() -> None:
    default = captioner()
    assert (default.model, default.prompt, default.base_url) == ("gpt-4o", "general", None)
    named = captioner(
        captions="qwen3-vl:8b",
        base_url="http://localhost:11434/v1",
        prompt="bricks",
        max_cost_usd=2.5,
        json_mode="object",
        max_tokens_total=1000,
        price_per_million="0.5, 1.5",
    )
    assert (named.max_tokens_total, named.price_per_million) == (1000, (0.5, 1.5))
    assert (named.model, named.prompt, named.json_mode) == ("qwen3-vl:8b", "bricks", "object")
    assert (named.base_url, named.max_cost_usd) == ("http://localhost:11434/v1", 2.5)
    local = captioner(captions="local:models/qwen")
    assert (local.model, local.backend) == ("models/qwen", TransformersBackend())
    (sidecar, _) = CaptionOptions(captions="sidecar:a.csv").stages()
    assert isinstance(sidecar, SidecarCaptioner)
    assert CaptionOptions(captions="none").stages() == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"captions": "sidecars"}, "is not known: give a model"),
        ({"captions": "m", "price_per_million": "0.5"}, "give US dollars for input and output"),
        ({"captions": "m", "price_per_million": "a,b"}, "give US dollars for input and output"),
        ({"captions": "none", "max_tokens_total": 1}, "--max-tokens-total is for a model"),
        ({"captions": "None"}, "is not known"),
        ({"captions": "none:x"}, "is not known"),
        ({"captions": "local:"}, "is not known"),
        ({"captions": "sidecar:"}, "is not known"),
        ({"captions": ""}, "is not known"),
        ({"captions": "none", "prompt": "bricks"}, "--prompt is for a model"),
        ({"captions": "sidecar", "max_cost_usd": 0.0}, "--max-cost-usd is for a model"),
        ({"captions": "local:x", "base_url": "http://a/v1"}, "in this process: leave out"),
    ],
)
def test_what_means_nothing_is_an_error(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        CaptionOptions(**options).stages()


@pytest.mark.parametrize(
    ("stage", "prompt"),
    [
        (GPT4oCaptioner(), "bricks"),
        (Captioner(model="m", prompt="general"), "general"),
        (Captioner(model="m", prompt="my.md"), "my.md"),
    ],
)
def test_the_default_prompt_is_the_work_folders_last_one(
    tmp_path: Path, stage: Captioner, prompt: str
) -> None:
    Plan.from_stages([stage]).write(tmp_path)
    assert captioner(tmp_path).prompt == prompt
    assert captioner(tmp_path, prompt="general").prompt == "general"
    assert captioner(tmp_path / "new").prompt == "general"


def test_a_structured_build_stays_structured(tmp_path: Path) -> None:
    assert not captioner(tmp_path).structured
    Plan.from_stages([captioner(structured=True)]).write(tmp_path)
    assert captioner(tmp_path).structured  # plain requests would ask for all captions again
    assert not captioner(tmp_path, structured=False).structured
    with pytest.raises(UsageError, match="--structured is for a model"):
        CaptionOptions(captions="none", structured=True).stages()


def test_a_plan_of_before_has_the_prompt_of_its_day(tmp_path: Path) -> None:
    plan = Plan.from_stages([GPT4oCaptioner()])
    settings = {k: v for k, v in plan.stages[0].settings.items() if k != "prompt"}
    Plan([type(plan.stages[0])("GPT4oCaptioner", "", settings)], {}).write(tmp_path)
    assert captioner(tmp_path).prompt == "bricks"


def test_no_clip_of_an_old_folder_is_captioned_again(server: CaptionServer, tmp_path: Path) -> None:
    before = GPT4oCaptioner(base_url=server.url)
    run_captions(tmp_path, ClipSource(3, tmp_path), before)
    Plan.from_stages([before]).write(tmp_path)
    run_captions(tmp_path, ClipSource(3, tmp_path), captioner(tmp_path, base_url=server.url))
    assert len(server.requests) == 3


def test_a_recipe_hides_no_module_of_the_standard_library(tmp_path: Path) -> None:
    """Workers import more than the recipe; its folder is in their `sys.path` too."""
    recipe = tmp_path / "html.py"
    recipe.write_text(
        "from brickfilm import *\nsource = FolderSource('.')\nstages = (SceneSplitter(),)\n"
    )
    (tmp_path / "beside.py").write_text("x = 1\n")
    load_recipe(recipe)
    code = "import html, beside; print(html.escape('<'))"
    path = os.pathsep.join(p for p in sys.path if p)
    code = f"import sys; sys.path = {path!r}.split({os.pathsep!r}); {code}"
    command = [sys.executable, "-c", code]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "&lt;\n"


def test_a_digest_of_a_built_in_prompt_has_its_name() -> None:
    names = names_by_digest()
    assert names[load_prompt("general").digest] == "general"
    assert names[load_prompt("bricks", "images").structured().digest] == "bricks"
    assert len(names) == 12  # two prompts, for clips, videos and images, plain and structured
