"""Read the first clip of a streamed dataset on every node."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from brickfilm.errors import BrickfilmError
from finetune.config import Recipe
from finetune.data.hub_stream import open_stream
from finetune.data.stream_items import RowMedia
from finetune.data.stream_rows import first_position, shuffled_rows
from finetune.preflight.checks import Check
from finetune.preflight.ranks import Ranks


@dataclass(frozen=True, kw_only=True)
class StreamView:
    """A dataset of the Hub as one node sees it."""

    node: int
    revision: str = ""
    shards: int = 0
    seconds: float = 0.0  # to open it and read the first clip
    problem: str = ""


def view_streams(ranks: Ranks, recipe: Recipe) -> list[StreamView]:
    """Return the view of each node; every rank must call."""
    view = _view_stream(recipe, ranks.node) if ranks.is_first_of_node else None
    return [found for found in ranks.gather("read the first clip", view) if found is not None]


def _view_stream(recipe: Recipe, node: int) -> StreamView:
    began = time.perf_counter()
    try:
        stream = open_stream(recipe)
        position = first_position(stream, 0)
        row, _ = next(shuffled_rows(stream, nodes=1, seed=0, size=1, position=position))
        RowMedia(stream, row).read()
    except BrickfilmError as error:
        return StreamView(node=node, problem=str(error))
    seconds = time.perf_counter() - began
    return StreamView(node=node, revision=stream.revision, shards=stream.shards, seconds=seconds)


def check_streams(views: Sequence[StreamView], ranks: int) -> Check:
    """Judge a streamed dataset: read by all nodes, the same commit, a shard for every rank."""
    if problems := [f"node {view.node}: {view.problem}" for view in views if view.problem]:
        return Check("dataset", "failed", "; ".join(problems))
    first = views[0]
    if other := [view for view in views if view.revision != first.revision]:
        return Check(
            "dataset",
            "failed",
            f"node {other[0].node} sees commit {other[0].revision[:12]}, node 0 "
            f"{first.revision[:12]}: set the same HF_ENDPOINT everywhere, and try again",
        )
    slowest = max(view.seconds for view in views)
    found = f"{first.shards} shard(s) at {first.revision[:12]}, first clip after {slowest:.1f} s"
    if first.shards < ranks:
        return Check("dataset", "warning", f"{found}: each of {ranks} ranks reads all of them")
    return Check("dataset", "ok", found)
