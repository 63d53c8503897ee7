"""Judge what a preflight found: a list of checks, each with its reason and remedy."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from statistics import median
from typing import Literal, NamedTuple

from finetune.config import Recipe
from finetune.planning.cost import GIB, memory_gib
from finetune.planning.plan import checkpoint_bytes, kept_checkpoints
from finetune.preflight.cached_data import CacheView, ClipCounts
from finetune.preflight.facts import GpuFacts, RankFacts
from finetune.preflight.folders import FolderProbe
from finetune.preflight.links import LinkSpeed

MAX_SKEW_S, FAILED_SKEW_S = 1.0, 300.0
"""A second confuses logs; five minutes break logins (Kerberos) and the age of unfinished files."""
SLOW_LINK = 0.5  # share of what a link should give, or of the median of its kind
SLOW_GPU = 0.8  # share of the median of all GPUs
FREE_MEMORY = 0.9  # share of a GPU's memory that an idle one has free
MIN_SHM_GIB = 1.0  # containers have 64 MiB by default, too little for the loader's processes
MAX_NAMED = 3  # differences in one line

GpusOfRanks = Sequence[tuple[RankFacts, GpuFacts]]


class Check(NamedTuple):
    """A check and its verdict."""

    name: str
    status: Literal["ok", "warning", "failed"]
    detail: str


def failed(checks: Sequence[Check]) -> bool:
    """Tell if a check failed: the training would too, or be wrong."""
    return any(check.status == "failed" for check in checks)


# -- before anything is measured -------------------------------------------------------------------


def check_facts(facts: Sequence[RankFacts], recipe: Recipe | None, problem: str) -> list[Check]:
    """Return the checks of ranks, GPUs, versions, recipe and paths."""
    return [
        _check_ranks(facts, recipe),
        _check_recipe(facts, problem),
        *_check_gpus(facts, recipe),
        _check_equal("versions", facts, lambda fact: fact.versions, "install the same everywhere"),
        _check_equal("settings", facts, lambda fact: fact.settings, "export the same everywhere"),
        _check_paths(facts),
        *(_check_shm(facts) if recipe and recipe.workers else ()),
    ]


def _check_ranks(facts: Sequence[RankFacts], recipe: Recipe | None) -> Check:
    counts = Counter(fact.node for fact in facts)
    ranks = ", ".join(f"{n} on node {node}" for node, n in sorted(counts.items()))
    uneven = len(set(counts.values())) > 1
    detail = f"{len(facts)} on {len(counts)} node(s)" + (f": {ranks}" if uneven else "")
    if uneven and recipe and recipe.strategy == "hsdp":
        remedy = "start as many on every node, or set strategy = 'fsdp2'"
        return Check("ranks", "failed", f"{detail}; hsdp shards within a node: {remedy}")
    return Check("ranks", "warning" if uneven else "ok", detail)


def _check_recipe(facts: Sequence[RankFacts], problem: str) -> Check:
    if problems := {fact.problem: fact for fact in facts if fact.problem}:
        reasons = "; ".join(f"{_place(f)}: {text}" for text, f in problems.items())
        return Check("recipe", "failed", reasons)
    return _check_equal(
        "recipe",
        facts,
        lambda fact: {"settings": fact.recipe},
        "give every node the same recipe and overrides",
    )


def _check_equal(
    name: str,
    facts: Sequence[RankFacts],
    values: Callable[[RankFacts], Mapping[str, str]],
    remedy: str,
) -> Check:
    """Compare named values over ranks; the commonest value is the right one."""
    differences = []
    for key in sorted({key for fact in facts for key in values(fact)}):
        found = Counter(values(fact).get(key, "none") for fact in facts)
        common = found.most_common(1)[0][0]
        others = {values(f).get(key, "none"): f for f in facts}
        differences += [
            f"{_place(fact)} has {key} {value}, the others {common}"
            for value, fact in others.items()
            if value != common
        ]
    if differences:
        return Check(name, "failed", f"{_join(differences)}: {remedy}")
    shown = [f"{k} {v}" for k, v in values(facts[0]).items()]
    return Check(name, "ok", f"equal on {len(facts)} rank(s): {', '.join(shown) or 'none'}")


def _check_gpus(facts: Sequence[RankFacts], recipe: Recipe | None) -> Iterator[Check]:
    gpus = [(fact, fact.gpu) for fact in facts if fact.gpu]
    if not gpus:
        return
    yield _check_gpu_kind(facts, gpus)
    yield _check_gpu_memory(gpus, recipe, len(facts))
    usual = median(gpu.tflops for _, gpu in gpus)
    slow = [f"{_place(f)}: {g.tflops:.0f}" for f, g in gpus if g.tflops < SLOW_GPU * usual]
    detail = f"{_join(slow)}; the median is {usual:.0f} TFLOP/s: look at clocks and temperature"
    yield (
        Check("speed", "warning", detail) if slow else Check("speed", "ok", f"{usual:.0f} TFLOP/s")
    )


def _check_gpu_kind(facts: Sequence[RankFacts], gpus: GpusOfRanks) -> Check:
    uuids = Counter(gpu.uuid for _, gpu in gpus)
    shared = [_place(fact) for fact, gpu in gpus if uuids[gpu.uuid] > 1]
    if shared:
        detail = f"{_join(shared)} share a GPU: start as many ranks as a node has GPUs"
        return Check("GPUs", "failed", detail)

    def kind(fact: RankFacts) -> Mapping[str, str]:
        gpu = fact.gpu
        return {"GPU": gpu.name, "driver": gpu.driver} if gpu else {"GPU": "none"}

    return _check_equal("GPUs", facts, kind, "take equal nodes, or install the same driver")


def _check_gpu_memory(gpus: GpusOfRanks, recipe: Recipe | None, ranks: int) -> Check:
    busy = [
        f"{_place(fact)} has {gpu.free_gib:.0f} of {gpu.total_gib:.0f} GiB free"
        for fact, gpu in gpus
        if gpu.free_gib < FREE_MEMORY * gpu.total_gib
    ]
    if busy:
        return Check("memory", "failed", f"{_join(busy)}: end the other process there")
    least = min(gpu.free_gib for _, gpu in gpus)
    need = 0.0
    if recipe:
        need = max(memory_gib(b, recipe, ranks, b.clips_per_pass) for b in recipe.buckets)
    detail = f"{least:.0f} GiB free, the recipe needs {need:.0f} by estimate"
    if need > least:
        detail += ": `finetune plan` says what fits"
    return Check("memory", "warning" if need > least else "ok", detail)


def _check_paths(facts: Sequence[RankFacts]) -> Check:
    """Find paths that some nodes have: the others would ask the Hub for them."""
    everywhere = {path for fact in facts for path, here in fact.paths.items() if here}
    missing = [
        f"{_place(fact)} does not have {path}"
        for path in sorted(everywhere)
        for fact in facts
        if not fact.paths.get(path, True)
    ]
    if missing:
        return Check("paths", "failed", f"{_join(missing)}: mount it there, or copy it")
    return Check("paths", "ok", f"{len(everywhere)} of the recipe's sources are files, seen by all")


def _check_shm(facts: Sequence[RankFacts]) -> Iterator[Check]:
    small = [
        f"{_place(fact)} has {fact.shm_gib * 1024:.0f} MiB"
        for fact in facts
        if fact.shm_gib is not None and fact.shm_gib < MIN_SHM_GIB
    ]
    if small:
        detail = f"{_join(small)} free in /dev/shm: give the container more (--shm-size), or set "
        yield Check("/dev/shm", "warning", f"{detail}workers=0")


# -- what was measured -----------------------------------------------------------------------------


def check_clocks(offsets: Mapping[int, float]) -> Check:
    """Judge the nodes' clocks, in seconds ahead of node 0's."""
    node, worst = max(offsets.items(), key=lambda item: abs(item[1]))
    spread = max(offsets.values()) - min(offsets.values())
    detail = f"{spread * 1000:.0f} ms apart"
    if spread <= MAX_SKEW_S:
        return Check("clocks", "ok", detail)
    ahead = f"node {node} is {worst:+.1f} s from node 0"
    status: Literal["warning", "failed"] = "failed" if spread > FAILED_SKEW_S else "warning"
    return Check("clocks", status, f"{ahead}: start its time service (chronyd)")


def check_folders(probes: Sequence[FolderProbe], recipe: Recipe) -> Iterator[Check]:
    """Judge each shared folder: seen and written by all nodes, with room for the checkpoints."""
    for key in dict.fromkeys(probe.key for probe in probes):
        of_key = [probe for probe in probes if probe.key == key]
        yield _check_folder(key, of_key)
        if key == "out" and (seen := [probe for probe in of_key if probe.visible]):
            yield _check_room(seen, recipe)


def _check_folder(key: str, probes: Sequence[FolderProbe]) -> Check:
    problems = [f"node {p.node}: {p.problem}" for p in probes if p.problem]
    problems += [
        f"node {p.node} does not see what node 0 writes in {p.folder}"
        for p in probes
        if not p.visible and not p.problem
    ]
    if problems:
        return Check(f"folder {key}", "failed", f"{_join(problems)}: mount the same file system")
    write, read = min(p.write_mib_s for p in probes), min(p.read_mib_s for p in probes)
    detail = f"{probes[0].folder}: slowest node writes {write:.0f} and reads {read:.0f} MiB/s"
    return Check(f"folder {key}", "ok", detail)


def _check_room(probes: Sequence[FolderProbe], recipe: Recipe) -> Check:
    each = checkpoint_bytes(recipe) / GIB
    need = each * (kept_checkpoints(recipe) + 1)
    free = min(probe.free_gib for probe in probes)
    detail = f"{free:,.1f} GiB free, {need:,.1f} for {kept_checkpoints(recipe) + 1} checkpoints"
    if free < need:
        detail += ": make room, name another out, or lower checkpoints.keep_last"
    return Check("disk", "failed" if free < need else "ok", detail)


def check_data(views: Sequence[CacheView], counts: ClipCounts, cache: str) -> Iterator[Check]:
    """Judge the dataset's index and the cache: equal on all nodes, complete, not damaged."""
    if counts.problem:
        yield Check("dataset", "failed", counts.problem)
        return
    usable, left_out = f"{counts.usable:,} clips can be used", counts.not_cached
    remedy = f", {left_out:,} are not in the cache: run `finetune cache`" if left_out else ""
    yield Check("dataset", "warning" if left_out else "ok", usable + remedy)
    problems = [f"node {view.node}: {text}" for view in views for text in view.problems]
    first = views[0]
    for view in views[1:]:
        if view.fingerprint != first.fingerprint:
            problems.append(f"node {view.node} has another index of the dataset than node 0")
        for mine, theirs in ((first.digests, view.digests), (first.sizes, view.sizes)):
            other = [name for name in {*mine, *theirs} if mine.get(name) != theirs.get(name)]
            problems += [
                f"node {view.node} has another {name} than node 0" for name in sorted(other)
            ]
    if problems:
        yield Check("cache", "failed", _join(problems))
    elif first.sizes:
        size = sum(first.sizes.values()) / GIB
        yield Check("cache", "ok", f"{cache}: {len(first.sizes)} shards, {size:,.1f} GiB, equal")


def check_links(links: Sequence[LinkSpeed], expected: Mapping[str, float]) -> Iterator[Check]:
    """Judge each link beside what it should give, in GB/s, and beside the median of its kind."""
    slow = []
    for link in links:
        kind = [other.gb_s for other in links if len(other.nodes) == len(link.nodes)]
        if (should := expected.get(link.name)) and link.gb_s < SLOW_LINK * should:
            slow.append(f"{link.name}: {link.gb_s:.3g} GB/s, it should give {should:.3g}")
        elif len(kind) > 2 and link.gb_s < SLOW_LINK * median(kind):
            slow.append(f"{link.name}: {link.gb_s:.3g} GB/s, the median is {median(kind):.3g}")
    if slow:
        yield Check("links", "failed", f"{_join(slow)}: see docs/cluster.md, Slow links")
    elif links:
        yield Check("links", "ok", f"{len(links)} measured, none slow")


def _place(fact: RankFacts) -> str:
    return f"rank {fact.rank} (node {fact.node}, {fact.host})"


def _join(texts: Sequence[str]) -> str:
    more = f"; and {len(texts) - MAX_NAMED} more" if len(texts) > MAX_NAMED else ""
    return "; ".join(texts[:MAX_NAMED]) + more
