"""The floors of the house, read from the imports; a broken floor is a broken build.

docs/architecture.md draws the picture. A file that stands on no floor here is an error: say where
it belongs before it is written.
"""

from __future__ import annotations

import ast
import re
import statistics
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

import brickfilm
from tests.kit import ROOT

FACADE = "brickfilm"

FLOORS: Mapping[int, tuple[str, ...]] = {
    0: (
        "brickfilm.errors",
        "brickfilm.records",
        "finetune.config",
        "finetune.errors",
        "finetune.limits",
        "finetune.training.lr_schedule",
    ),
    1: (
        "brickfilm.files",
        "brickfilm.scan.held_frames",
        "brickfilm.engine.source_refs",
        "brickfilm.engine.ledger",
        "brickfilm.engine.ledger.stale_files",
        "brickfilm.schema.licences",
        "brickfilm.media",
        "brickfilm.scan.analyzer",
        "brickfilm.engine.workers",
        "tests.brickworld",
        "brickfilm.engine.sinks",
        "brickfilm.engine.stage",
        "brickfilm.scan.timestamps",
        "brickfilm.engine.tombstones",
        "finetune.atomic",
        "finetune.objectives",
        "finetune.sampling.gif",
        "finetune.kernels",
        "finetune.models",
        "finetune.precision",
        "finetune.models.device_transfer",
    ),
    2: (
        "brickfilm.engine.executors",
        "brickfilm.engine.batch_jobs",
        "brickfilm.engine.pipeline",
        "brickfilm.engine.progress",
        "brickfilm.engine.run",
        "brickfilm.engine.queue",
        "finetune.training.resume",
        "finetune.training.checkpoint",
        "finetune.training.noise",
        "finetune.engines.ema",
        "finetune.engines",
        "finetune.training.loss_spikes",
        "finetune.training.loggers",
        "finetune.training.system_metrics",
        "finetune.engines.distributed",
        "finetune.training.step_metrics",
    ),
    3: (
        "brickfilm.captions",
        "brickfilm.detectors",
        "brickfilm.measures",
        "brickfilm.sources",
        "brickfilm.stages",
        "finetune.engines.factory",
        "finetune.data.cache",
        "finetune.training.batch_encoder",
        "finetune.planning.cost",
        "finetune.data",
        "finetune.data.encoders",
        "finetune.sampling",
    ),
    4: (
        "brickfilm.build.build_dataset",
        "brickfilm.build.plan_file",
        "brickfilm.dataset",
        "brickfilm.export",
        "brickfilm.schema.hub_errors",
        "brickfilm.hub.materialize",
        "brickfilm.hub.publish",
        "brickfilm.hub.removal",
        "brickfilm.report",
        "finetune.demo.app",
        "finetune.release.model_card",
        "finetune.planning.plan",
        "finetune.release.release",
        "finetune.training.run",
        "finetune.sampling.sample",
        "finetune.demo.space",
        "finetune.training.loop",
        "finetune.validation",
    ),
    5: (
        "brickfilm.cli",
        "brickfilm.commands",
        "finetune.__main__",
    ),
}
"""Modules and packages by floor; a file within a package stands where the package stands."""

PLUGINS = (
    "brickfilm.detectors",
    "brickfilm.engine.executors",
    "brickfilm.export",
    "brickfilm.measures",
    "brickfilm.report.sections",
    "brickfilm.sources",
    "brickfilm.stages",
)
"""Packages whose files do not know their neighbours: only `base`, and `__init__` knows them all."""

DOORS: Mapping[str, tuple[str, ...]] = {
    "av": ("brickfilm.media", "tests.brickworld.encode", "finetune.data.media"),
    "colossalai": ("finetune.engines.factory",),
    "openai": ("brickfilm.captions",),
    "scenedetect": ("brickfilm.detectors",),
    "sqlite3": ("brickfilm.engine.ledger",),
    "tensorboard": ("finetune.training.loggers",),
    "trackio": ("finetune.training.loggers",),
    "wandb": ("finetune.training.loggers",),
    "yt_dlp": ("brickfilm.sources.youtube",),
}
"""Where an outside library may be imported. The demo film, being the truth for tests of
`brickfilm.media`, is not encoded by it; finetune never imports brickfilm, so it decodes for itself.
"""

PUBLIC = [
    "Access",
    "BrickfilmDataset",
    "CaptionAudit",
    "ClipWriter",
    "FolderSource",
    "FrameSampler",
    "GPT4oCaptioner",
    "Keep",
    "Politeness",
    "RefusalFilter",
    "SceneSplitter",
    "SidecarCaptioner",
    "YouTubeSource",
    "build_dataset",
    "ledger_frame",
]
"""What `from brickfilm import ...` promises; a name goes in here when it goes out to users."""

HEAVY = ("torch", "cv2", "openai", "yt_dlp", "datasets", "pandas", "av", "scenedetect")
NAMELESS = {"utils", "util", "helpers", "helper", "common", "misc"}
LONGEST_FILE = 400
LONGEST_FUNCTION = 60
LOOPS_READ_TOP_TO_BOTTOM = {"finetune.training.loop"}
"""The training loop reads like a page, and may be as long as one."""


@dataclass(frozen=True)
class Module:
    """A source file, parsed."""

    name: str
    path: Path

    @property
    def tree(self) -> ast.Module:
        return parsed(self.path)

    def imports(self) -> Iterator[str]:
        """Every module that this one imports, wherever in the file, type checking included."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                base = self.absolute(node)
                yield from (imported(base, alias.name) for alias in node.names)

    def absolute(self, node: ast.ImportFrom) -> str:
        if not node.level:
            return node.module or ""
        package = self.name.split(".")
        if self.path.name != "__init__.py":
            package = package[:-1]
        package = package[: len(package) - node.level + 1]
        return ".".join([*package, *([node.module] if node.module else [])])


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imported(base: str, name: str) -> str:
    """`from base import name`: a module of that name, where a façade's name lives, or the base."""
    if base == FACADE and name in brickfilm._HOME:
        return brickfilm._HOME[name]
    whole = f"{base}.{name}"
    return whole if whole in NAMES else base


def modules() -> Iterator[Module]:
    for package in ("brickfilm", "finetune"):
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            yield Module(".".join(p for p in parts if p != "__init__"), path)


def floor_of(name: str) -> int | None:
    """The floor of the longest entry that holds the module; the two roots stand on the roof."""
    if name in ("brickfilm", "finetune"):
        return 6
    found = [(len(e), n) for n, entries in FLOORS.items() for e in entries if within(name, e)]
    return max(found)[1] if found else None


def within(name: str, package: str) -> bool:
    return name == package or name.startswith(package + ".")


NAMES = {path_module.name for path_module in modules()}
EVERY = list(modules())


def own_imports(module: Module) -> list[str]:
    """Imports of this project's own modules."""
    return [n for n in module.imports() if n.split(".")[0] in ("brickfilm", "finetune")]


def test_every_file_stands_on_a_floor() -> None:
    assert not [m.name for m in EVERY if floor_of(m.name) is None], "place them in FLOORS"


def test_a_floor_names_only_what_exists() -> None:
    missing = sorted(e for entries in FLOORS.values() for e in entries if e not in NAMES)
    assert not missing, f"take them out of FLOORS: {', '.join(missing)}"


def test_the_page_puts_files_on_the_floors_where_they_stand() -> None:
    page = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    told = {
        f"{half}.{name}": int(floor)
        for floor, *cells in re.findall(r"^\| (\d) \| (.*) \| (.*) \|$", page, re.MULTILINE)
        for half, cell in zip(("brickfilm", "finetune"), cells, strict=True)
        for name in re.findall(r"`(\w+)`", cell)
    }
    built = {e: floor for floor, entries in FLOORS.items() for e in entries if e in NAMES}
    assert told == built


def test_imports_only_point_down() -> None:
    assert not [
        f"{module.name} (floor {floor_of(module.name)}) imports {name} (floor {floor_of(name)})"
        for module in EVERY
        for name in own_imports(module)
        if module.name != FACADE  # names everything, and imports it when asked
        and (floor_of(name) or 0) > (floor_of(module.name) or 0)
    ]


def test_the_two_halves_never_import_each_other() -> None:
    assert not [
        f"{module.name} imports {name}"
        for module in EVERY
        for name in own_imports(module)
        if name.split(".")[0] != module.name.split(".")[0]
    ], "they meet only at the dataset's columns"


def test_plugins_do_not_know_their_neighbours() -> None:
    assert not [
        f"{module.name} imports its neighbour {name}"
        for package in PLUGINS
        for module in EVERY
        if module.name.startswith(package + ".")
        for name in own_imports(module)
        if is_neighbour(module.name, name, package)
    ]


def is_neighbour(module: str, name: str, package: str) -> bool:
    """Whether `name` is another plugin of the package, `base` and the package itself aside."""
    depth = package.count(".") + 2
    me, other = (".".join(n.split(".")[:depth]) for n in (module, name))
    return within(name, package) and other not in {me, package, f"{package}.base"}


def test_an_outside_library_has_one_door() -> None:
    assert not [
        f"{module.name} imports {name}: only {' and '.join(doors)} may"
        for module in EVERY
        for name in module.imports()
        if (doors := DOORS.get(name.split(".")[0]))
        and not any(within(module.name, door) for door in doors)
    ]


def test_nothing_imports_in_a_circle() -> None:
    """At import time: what stands at the top of the files, type checking aside."""
    graph = {m.name: top_level_imports(m) & NAMES for m in EVERY if m.name != FACADE}
    done: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, f"a circle: {' > '.join((*path, name))}"
        if name not in done:
            for other in sorted(graph.get(name, ())):
                visit(other, (*path, name))
            done.add(name)

    for name in graph:
        visit(name, ())


def top_level_imports(module: Module) -> set[str]:
    """Own modules; of a package's `__init__` only where a name is taken from it."""
    found: set[str] = set()
    for node in module.tree.body:
        if isinstance(node, ast.ImportFrom):
            base = module.absolute(node)
            found |= {imported(base, alias.name) for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return found - {module.name}


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
    """Functions with their lines; of a GPU kernel, whose signature is half a page, its body's."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            kernel = any(ast.unparse(d).startswith("triton.") for d in node.decorator_list)
            first = node.body[0].lineno if kernel else node.lineno
            yield node.name, (node.end_lineno or first) - first + 1


def test_what_the_house_does_without() -> None:
    assert not [m.name for m in EVERY if m.path.stem in NAMELESS], "what has no home has no name"
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
        if not any(isinstance(inner, ast.Raise) for inner in ast.walk(node))
    ]


def is_broad(handler: ast.ExceptHandler) -> bool:
    return handler.type is None or ast.unparse(handler.type) in {"Exception", "BaseException"}


def test_public_names_are_one_list() -> None:
    assert sorted(brickfilm.__all__) == PUBLIC
    assert sorted(brickfilm._HOME) == PUBLIC
    assert sorted(names_for_type_checkers()) == PUBLIC
    for name in PUBLIC:
        assert getattr(brickfilm, name).__doc__, f"{name} says nothing of itself"


def names_for_type_checkers() -> Iterator[str]:
    (block,) = [node for node in parsed(ROOT / "brickfilm/__init__.py").body if is_checking(node)]
    for node in ast.walk(block):
        if isinstance(node, ast.ImportFrom):
            yield from (alias.name for alias in node.names)


def is_checking(node: ast.stmt) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


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
