"""The pages say what is true: links lead somewhere, snippets run, names and options exist."""

from __future__ import annotations

import ast
import inspect
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
import typer.main

import brickfilm
from brickfilm import errors
from brickfilm.cli import app
from brickfilm.dataset import config_features
from brickfilm.dataset.reader import find_dataset
from brickfilm.engine.ledger import answers_frame
from brickfilm.schema.columns import OPTIONAL_CLIP_COLUMNS
from finetune import errors as finetune_errors
from finetune.cli import app as finetune_app
from finetune.cli import main as finetune_main
from tests.brickworld import BrickFilm, Shot
from tests.kit import ROOT
from tests.kit.console import run_console
from tests.kit.pages import FENCE, PAGES, Snippet, named, snippets
from tests.kit.pipelines import write_pipeline

LINK = re.compile(r"(?<!`)!?\[[^\]]*\]\(([^)\s]+)\)")


def of_page(page: str, *, containing: str) -> str:
    (text,) = [s.text for s in snippets("python") if s.page.name == page and containing in s.text]
    return text


# -- links ---------------------------------------------------------------------------------------


def test_links_between_pages_lead_somewhere() -> None:
    broken = [
        f"{page.relative_to(ROOT)}: {target}"
        for page in PAGES
        for target in LINK.findall(without_code(page.read_text(encoding="utf-8")))
        if not target.startswith(("http://", "https://", "mailto:")) and not leads(page, target)
    ]
    assert not broken


def leads(page: Path, target: str) -> bool:
    path, _, anchor = target.partition("#")
    other = (page.parent / path).resolve() if path else page
    if not other.exists():
        return False
    return not anchor or anchor in anchors(other)


def anchors(page: Path) -> set[str]:
    heads = re.findall(r"^#+ (.+)$", without_code(page.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).strip().replace(" ", "-") for head in heads}


def without_code(text: str) -> str:
    return FENCE.sub("", text)


def test_photographs_are_small_and_described() -> None:
    pages = [ROOT / "README.md", *ROOT.glob("docs/*.md")]
    shown = "".join(page.read_text(encoding="utf-8") for page in pages)
    for picture in ROOT.glob("docs/images/*.jpg"):
        assert picture.stat().st_size < 200_000, picture
        texts = re.findall(rf"!\[([^\]]*)\]\([^)]*images/{picture.name}\)", shown)
        assert texts and all(len(text) > 20 for text in texts), picture


def test_every_page_can_be_reached_from_the_readme() -> None:
    reached, fresh = set(), {ROOT / "README.md"}
    while fresh:
        page = fresh.pop()
        reached.add(page)
        links = LINK.findall(page.read_text(encoding="utf-8")) if page.suffix == ".md" else []
        targets = {(page.parent / link.partition("#")[0]).resolve() for link in links}
        fresh |= {t for t in targets if t.suffix == ".md" and t.exists()} - reached
    docs = {page for page in PAGES if page.parent == ROOT / "docs"}
    assert not sorted(page.name for page in docs - reached)


# -- Python --------------------------------------------------------------------------------------


@pytest.mark.parametrize("snippet", snippets("python"), ids=lambda s: s.page.name)
def test_python_on_the_pages_names_what_exists(snippet: Snippet) -> None:
    """Names taken from brickfilm exist, and calls of them fit their signatures."""
    tree = ast.parse(snippet.text)
    known: dict[str, object] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("brickfilm"):
            known |= {alias.name: taken(node.module or "", alias.name) for alias in node.names}
    for call in (n for n in ast.walk(tree) if isinstance(n, ast.Call)):
        if isinstance(call.func, ast.Name) and call.func.id in known:
            check_call(known[call.func.id], call)


def taken(module: str, name: str) -> object:
    namespace: dict[str, object] = {}
    __import__(module)
    namespace = vars(sys.modules[module])
    return namespace[name] if name in namespace else getattr(sys.modules[module], name)


def check_call(callee: object, call: ast.Call) -> None:
    places = [object() for arg in call.args if not isinstance(arg, ast.Starred)]
    names = {keyword.arg: object() for keyword in call.keywords if keyword.arg}
    inspect.signature(callee).bind_partial(*places, **names)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as the pages assume it: `films/` with a film and its captions."""
    here = tmp_path_factory.mktemp("docs")
    (here / "films").mkdir()
    shots = tuple(Shot(seconds=1.5, scene=scene) for scene in ("street", "space"))
    BrickFilm(seed=5, size=(160, 90), shots=shots).render(here / "films" / "mine.mp4")
    (sample,) = [s.text for s in snippets("json") if s.page.name == "quickstart.md"]
    (here / "films" / "mine.json").write_text(sample)
    return here


def run(place: Path, *command: str) -> str:
    done = subprocess.run(
        [sys.executable, *command], cwd=place, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def run_text(place: Path, name: str, text: str) -> str:
    (place / name).write_text(f"import sys\nsys.path.insert(0, {str(ROOT)!r})\n{text}")
    return run(place, name)


@pytest.mark.slow
def test_the_quickstart_builds_reads_and_looks(place: Path) -> None:
    printed = run_text(place, "start.py", of_page("quickstart.md", containing="SidecarCaptioner()"))
    assert "DatasetDict" in printed
    assert "report.html" in printed
    used = run_text(place, "use.py", of_page("quickstart.md", containing="row ="))
    assert re.fullmatch(r"a small figure walks along a street of brick houses \d+ mine\n", used)
    looked = run_text(place, "look.py", of_page("quickstart.md", containing="ledger_frame("))
    assert "SidecarCaptioner" in looked
    read = of_page("README.md", containing="work/mine/dataset")
    assert run_text(place, "read.py", read) == ""


@pytest.mark.slow
def test_the_recipe_of_the_quickstart_builds(place: Path) -> None:
    (place / "my-recipe.py").write_text(named("my-recipe.py"))
    printed = build(place, "my-recipe.py", "work/recipe")
    assert "clips: " in printed


@pytest.mark.slow
def test_the_stage_of_the_page_scores_and_asks_nothing_twice(place: Path) -> None:
    for name in ("brightness.py", "bright-clips.py"):
        (place / name).write_text(named(name))
    build(place, "bright-clips.py", "work/bright")
    answers = answers_frame(place / "work/bright")
    asked = dict(zip(answers.name, answers.answers, strict=True))
    assert asked["Brightness"] == asked["ClipWriter"] >= 2
    recipe = named("bright-clips.py").replace("at_least=0.1", "at_least=0.99")
    (place / "bright-clips.py").write_text(recipe)
    printed = build(place, "bright-clips.py", "work/bright")
    assert "clips: 0 train" in printed
    assert answers_frame(place / "work/bright").answers.sum() == answers.answers.sum()


@pytest.mark.slow
def test_the_measure_of_the_page_scores(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    for name in ("warmth.py", "warm-clips.py"):
        (place / name).write_text(named(name).replace("at_least=0", "at_least=-128"))
    assert not app(["build", "warm-clips.py", "--out", "work/warm"], standalone_mode=False)
    scores = find_dataset(place / "work/warm").to_pandas("clips").score_warmth
    assert len(scores) >= 2
    assert all(-128 < score < 128 for score in scores)


def build(place: Path, what: str, out: str) -> str:
    return run_console(place, "brickfilm", "build", what, "--out", out).stdout


# -- the command line ----------------------------------------------------------------------------

OUT_OF_REACH = {"you/brickfilm", "you/references", "remove", "work/demo"}
OUT_OF_REACH |= {"my.md", "recipe.py", "RECIPE.py", "my-recipe.toml"}
OUT_OF_REACH |= {"captions.csv", "captions.parquet", "film.mp4@1:23.5", "work/before", "doctor"}
"""Words of commands that need a repository, a clip or a file that the pages do not give."""


@pytest.mark.slow
def test_commands_on_the_pages_run_through_the_console_script(place: Path) -> None:
    """In a fresh folder, in the pages' order; `work/bricks` is the build of the quickstart."""
    here = place / "fresh"
    here.mkdir()
    (here / "films").symlink_to(place / "films")
    own = [(p.name, w) for p, w in commands("brickfilm") if not OUT_OF_REACH & set(w)]
    first = [w for page, w in own if page in ("README.md", "quickstart.md") or w[0] == "prompt"]
    then = [w for page, w in own if page == "publish.md" or {"export", "--dry-run"} <= set(w)]
    for words in first:
        run_console(here, "brickfilm", *words)
    (here / "work/bricks").symlink_to("mine")
    for words in then:
        run_console(here, "brickfilm", *words)
    assert len(first) >= 6 and len(then) >= 3


def commands(program: str) -> Iterator[tuple[Path, list[str]]]:
    """Lines of the console blocks that call a program, split into words."""
    for snippet in snippets("console", "bash", "sh"):
        for line in snippet.text.splitlines():
            words = shlex.split(line, comments=True)
            names = [Path(word).name for word in words]
            if program in names and not {"pip", "uninstall"} & set(names):
                yield snippet.page, words[names.index(program) + 1 :]


@pytest.mark.parametrize("program", ["brickfilm", "finetune"])
def test_commands_on_the_pages_exist_with_their_options(program: str) -> None:
    whole = typer.main.get_command(app if program == "brickfilm" else finetune_app)
    for page, words in commands(program):
        command, path = whole, words[:]
        while hasattr(command, "commands"):
            assert path[0] in command.commands, f"{page.name}: {program} {' '.join(words)}"
            command = command.commands[path.pop(0)]
        options = {o for p in command.params for o in (*p.opts, *p.secondary_opts)}
        asked = {word.partition("=")[0] for word in path if word.startswith("--")}
        assert asked <= options | {"--debug", "--help"}, f"{page.name}: {program} {words}"


def test_make_targets_on_the_pages_exist() -> None:
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for page, words in commands("make"):
        assert set(words) <= targets, f"{page.name}: make {' '.join(words)}"


def test_extras_on_the_pages_exist() -> None:
    extras = set(project()["optional-dependencies"])
    for page in PAGES:
        asked = re.findall(r"brickfilm\[([\w,]+)\]", page.read_text(encoding="utf-8"))
        assert {e for names in asked for e in names.split(",")} <= extras, page.name
    told = re.findall(r"^\| `(\w+)` \|", (ROOT / "docs/install.md").read_text(), re.MULTILINE)
    assert set(told) == extras


@cache
def project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


# -- the tutorial ----------------------------------------------------------------------------------

MODEL = "Wan-AI/Wan2.1-T2V-1.3B-Diffusers"
TOY_RUN = (  # of the recipe wan/1.3b-lora: toy weights, sizes and steps, on a CPU
    *(f"{part}={{model}}" for part in ("init", "vae", "text_encoder")),
    *("device=cpu", "precision=float32", "compile=false", "cache_dtype=float32", "workers=0"),
    *("network.caption_channels=32", "adapter.rank=2", "steps=2", "log.to=none"),
    *("buckets.0.resolution=144p", "buckets.0.frames=5", 'validation.prompts=["a"]'),
    *("validation.frames=5", "validation.height=64", "validation.width=64", "validation.steps=1"),
)
TOY_CHECK = ("steps=1", "buckets.0.frames=5", *TOY_RUN[-4:])
TOY_WORDS = {'"cuda"': '"cpu"', "num_frames=81": "num_frames=5, height=64, width=64"}


@pytest.mark.slow
def test_the_tutorial_goes_from_films_to_a_lora_in_diffusers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of its commands, with a pipeline of the same layout and tiny random weights."""
    from finetune.models.diffusers import WAN_2_1

    monkeypatch.chdir(tmp_path)
    (tmp_path / "films").mkdir()
    shots = tuple(Shot(seconds=1.5, scene=scene) for scene in ("street", "space"))
    BrickFilm(seed=5, size=(256, 144), shots=shots).render(tmp_path / "films" / "mine.mp4")
    (sample,) = [s.text for s in snippets("json") if s.page.name == "quickstart.md"]
    (tmp_path / "films" / "mine.json").write_text(sample)
    model = str(write_pipeline(tmp_path / "model", WAN_2_1))
    for program in ("brickfilm", "finetune"):
        for words in [words for page, words in commands(program) if page.name == "tutorial.md"]:
            more = {"check": TOY_CHECK, "sample": ("--device", "cpu", "--steps", "1")}
            toy = more.get(words[0], TOY_RUN if "wan/1.3b-lora" in words else ())
            told = [w.replace(MODEL, model) for w in words]
            run_here(program, *told, *(w.format(model=model) for w in toy))
    text = named("use-lora.py").replace(MODEL, model).replace("bfloat16", "float32")
    for told, toy_word in TOY_WORDS.items():
        assert told in text
        text = text.replace(told, toy_word)
    exec(compile(text, "use-lora.py", "exec"), {})
    for made in ("castle.mp4", "work/samples", "work/wan-1.3b-lora/run/samples/index.html"):
        assert (tmp_path / made).exists(), made


def run_here(program: str, *words: str) -> None:
    """Run a command in this process, which has imported torch; a build starts workers."""
    if program == "brickfilm":
        run_console(Path.cwd(), program, *words)
        return
    with pytest.raises(SystemExit) as left:
        finetune_main(list(words))
    assert not left.value.code, words


# -- facts that stand in two places ----------------------------------------------------------------


def table(config: str) -> dict[str, str]:
    """Column to type, from the schema's page."""
    page = (ROOT / "docs/dataset-schema.md").read_text(encoding="utf-8")
    section = page.split(f"## `{config}`")[1].split("\n## ")[0]
    return dict(re.findall(r"^\| `(\w+)` \| ([\w ]+) \|", section, re.MULTILINE))


@pytest.mark.parametrize("config", ["clips", "images"])
def test_the_schema_page_has_every_column_in_order(config: str) -> None:
    told = {name: kind for name, kind in table(config).items() if not name.startswith("score_")}
    features = config_features(config, [dict.fromkeys(OPTIONAL_CLIP_COLUMNS)])
    assert list(told) == list(features)
    assert told == {name: kind_of(feature) for name, feature in features.items()}


def kind_of(feature: object) -> str:
    kind = type(feature).__name__.lower()
    if kind == "list":
        return f"list of {feature.feature.dtype}"  # type: ignore[attr-defined]
    return kind if kind in ("video", "image") else feature.dtype  # type: ignore[attr-defined]


def test_the_schema_page_has_the_default_scores() -> None:
    page = (ROOT / "docs/dataset-schema.md").read_text(encoding="utf-8")
    told = re.findall(r"^\| `score_(\w+)` \|", page, re.MULTILINE)
    scores = set(brickfilm.SceneSplitter(measures="all").provides)
    assert scores | {"caption_repeats"} <= set(told)


def test_the_errors_page_has_a_section_for_each_class() -> None:
    text = (ROOT / "docs/errors.md").read_text(encoding="utf-8")
    ours = [
        name
        for module in (errors, finetune_errors)
        for name, found in vars(module).items()
        if isinstance(found, type) and found.__module__ == module.__name__
    ]
    missing = {*ours} - {"BrickfilmError"} - {*re.findall(r"^### (\w+)$", text, re.MULTILINE)}
    assert not missing, "say in docs/errors.md what it means and what to do"


def test_the_errors_page_draws_the_tree_of_the_code() -> None:
    drawn = re.findall(r"(\w+) {2,}\w", (ROOT / "docs/errors.md").read_text(encoding="utf-8"))
    told = [n for n in drawn if isinstance(getattr(errors, n, None), type)]
    ours = [n for n, e in vars(errors).items() if is_error(e) and n not in OFF_THE_TREE]
    assert sorted(told) == sorted(ours)


OFF_THE_TREE = {"BrickfilmError", "Interrupted"}


def is_error(value: object) -> bool:
    return isinstance(value, type) and issubclass(value, BaseException)


def test_where_the_next_thing_goes_is_a_place_and_an_instance_that_a_test_uses() -> None:
    table = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").split("## Where the next")[1]
    named_files = set(re.findall(r"`([\w/]+(?:\.py|/))`", table.split("\n## ")[0]))
    folders = ("brickfilm", "finetune", "tests")
    known = [str(path) for folder in folders for path in (ROOT / folder).rglob("*")]
    missing = [n for n in named_files if not any(k.endswith(f"/{n.rstrip('/')}") for k in known)]
    assert missing == []
    tests = [path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py")]
    for instance in (Path(name).stem for name in named_files if name.startswith("tests/kit/")):
        assert any(f"from tests.kit.{instance} import" in text for text in tests), instance
