"""Save checkpoints of any engine, for any number of ranks; `checkpoint_reader` loads them.

A checkpoint is a folder `step-00000500` with `manifest.json` and, for the weights, the EMA and
Adam's two moments, a folder each of safetensors shards of full tensors; `model` and `ema` load with
`Family.load_network`. It is written under another name and renamed when the files of all ranks
are on disk, so that a kill or a full disk never leaves an incomplete checkpoint.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from safetensors import SafetensorError
from safetensors.torch import save_file

from brickfilm.digest import with_digest
from brickfilm.files import replace_folder, sync_path
from finetune.config import Checkpoints
from finetune.engines.base import Engine, ShardDict
from finetune.engines.distributed import all_gather
from finetune.errors import CheckpointError
from finetune.training.checkpoint_folders import (
    INDEX_FILE,
    MANIFEST_FILE,
    UNFINISHED_SUFFIX,
    checkpoint_folder,
    code_version,
    latest_checkpoint,
    prune,
)
from finetune.training.random_state import rng_state

FORMAT_VERSION = 1
FileRecords = dict[str, dict[str, Any]]
"""Size and digest of written files, by their paths in the checkpoint."""


class WriteErrors:
    """The write errors of this rank; raised at once they would leave other ranks waiting."""

    def __init__(self, rank: int) -> None:
        self.rank = rank
        self.messages: list[str] = []

    @contextmanager
    def capture(self) -> Iterator[None]:
        try:
            yield
        except (OSError, SafetensorError) as error:
            self.messages.append(f"rank {self.rank}: {error}")


class StateFile(NamedTuple):
    """A file of a checkpoint: tensors, or text."""

    name: str  # in the checkpoint's folder
    tensors: ShardDict = {}  # noqa: RUF012
    text: str = ""

    def copied(self) -> StateFile:
        """Return the file with copies of its tensors on the CPU, which no later step changes."""
        return self._replace(
            tensors={n: t.detach().to("cpu", copy=True) for n, t in self.tensors.items()}
        )


class Draft(NamedTuple):
    """A checkpoint that is being written, and this rank's random state of its step."""

    final: Path
    engine: Engine
    manifest: Mapping[str, Any]  # all but the files and the random states
    rng: Mapping[str, str]
    policy: Checkpoints
    errors: WriteErrors

    @property
    def unfinished(self) -> Path:
        return self.final.with_suffix(UNFINISHED_SUFFIX)


def save(
    out: Path,
    step: int,
    engine: Engine,
    about: Mapping[str, Any],
    policy: Checkpoints,
    config: Mapping[str, Any],
) -> Path:
    """Write a checkpoint of this step, and delete those that the policy does not keep.

    about: further entries of the manifest. config: the network's, as its config.json has it. Every
    rank must call. Raise CheckpointError on all ranks if one cannot write; older checkpoints
    are then untouched.
    """
    draft = new_draft(out, step, engine, about, policy)
    return write(draft, state_files(engine, config, policy))


def new_draft(
    out: Path, step: int, engine: Engine, about: Mapping[str, Any], policy: Checkpoints
) -> Draft:
    """Make the folders of an unfinished checkpoint; every rank must call."""
    manifest = {
        "format": FORMAT_VERSION,
        "updates": engine.updates,
        "loss_scale": engine.loss_scale.state(),
        "step": step,
        **about,
        "code": code_version(),
        "world": engine.world_size,
    }
    final, errors = checkpoint_folder(out, step), WriteErrors(engine.rank)
    draft = Draft(final, engine, manifest, rng_state(), policy, errors)
    if engine.rank == 0:
        with errors.capture():
            _create_folders(draft.unfinished, engine)
    all_gather(None)  # wait for rank 0's folders
    return draft


def write(draft: Draft, files: Iterable[StateFile], group: Any = None) -> Path:
    """Write this rank's files of a checkpoint, and complete it when all ranks have theirs.

    group: of the process groups, for the exchange between ranks. Every rank must call. Raise
    CheckpointError on all ranks if one cannot write.
    """
    problems = _write_all_ranks(draft, files, group)
    if draft.engine.rank == 0:
        shutil.rmtree(draft.unfinished, ignore_errors=True)
    out = draft.final.parent
    if problems:
        raise CheckpointError(
            f"checkpoint {draft.final} could not be written ({problems[0]}): make room and start "
            f"again with --resume auto; the last good one is {latest_checkpoint(out) or 'none'}"
        )
    if draft.engine.rank == 0:
        prune(out, draft.policy)
    return draft.final


def _write_all_ranks(draft: Draft, files: Iterable[StateFile], group: Any) -> list[str]:
    """Write every rank's files, then the manifest and the folder; return all ranks' errors."""
    errors, records = draft.errors, FileRecords()
    for file in files:  # to the end even after an error: gathering needs every rank
        if not errors.messages:
            with errors.capture():
                records[file.name] = _write_file(draft.unfinished, file)
    ranks: list[Any] = all_gather((records, draft.rng, errors.messages), group)
    problems = [message for _, _, messages in ranks for message in messages]
    if problems:
        return problems
    if draft.engine.rank == 0:
        with errors.capture():
            manifest = json.dumps(with_digest(_manifest(draft.manifest, ranks)), indent=1)
            (draft.unfinished / MANIFEST_FILE).write_text(manifest)
            replace_folder(draft.unfinished, draft.final)
    rank_0: Any = all_gather(errors.messages, group)[0]
    return list(rank_0)


def _manifest(about: Mapping[str, Any], ranks: list[Any]) -> dict[str, Any]:
    """Return `about`, and of every rank its files' sizes and digests and its random state."""
    return {
        **about,
        "rng": [rng for _, rng, _ in ranks],
        "files": {name: file for records, _, _ in ranks for name, file in records.items()},
    }


def _create_folders(unfinished: Path, engine: Engine) -> None:
    shutil.rmtree(unfinished, ignore_errors=True)
    for kind, shards in engine.shards().items():
        if shards:
            (unfinished / kind).mkdir(parents=True)


def state_files(
    engine: Engine, config: Mapping[str, Any], policy: Checkpoints
) -> Iterator[StateFile]:
    """Yield this rank's share of the files of every kind of tensor; every rank must exhaust it."""
    for kind, shards in engine.shards().items():
        groups = list(_group_by_size(shards, engine, policy.shard_mib * 2**20)) if shards else []
        frozen = engine.frozen if kind in ("model", "ema") else {}
        for number, names in enumerate(groups):
            tensors = {name: engine.gather(name, shards[name]) for name in names}
            if number % engine.world_size == engine.rank:
                name = f"{kind}/{_shard_name(number, len(groups))}"
                yield StateFile(name, {**tensors, **frozen} if number == 0 else tensors)
        if engine.rank == 0 and groups:
            yield from _index_and_config(kind, groups, frozen, config)


def _group_by_size(shards: ShardDict, engine: Engine, limit: int) -> Iterator[list[str]]:
    """Yield names in order, in groups of up to `limit` bytes of full float32 tensors."""
    sizes = {name: 4 * p.numel() for name, p in engine.module.named_parameters()}
    names: list[str] = []
    group_bytes = 0
    for name in shards:
        if names and group_bytes + sizes[name] > limit:
            yield names
            names, group_bytes = [], 0
        names.append(name)
        group_bytes += sizes[name]
    yield names


def _shard_name(number: int, count: int) -> str:
    return f"model-{number + 1:05d}-of-{count:05d}.safetensors"


def _write_file(folder: Path, file: StateFile) -> dict[str, Any]:
    path = folder / file.name
    if file.text:
        path.write_text(file.text)
    else:
        save_file({n: t.detach().cpu().contiguous() for n, t in file.tensors.items()}, path)
    return _sync_and_hash(path)


def _sync_and_hash(file: Path) -> dict[str, Any]:
    """Flush a file to disk, and return its size and digest."""
    sync_path(file)
    with file.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return {"bytes": file.stat().st_size, "sha256": digest}


def _index_and_config(
    kind: str, groups: list[list[str]], frozen: ShardDict, config: Mapping[str, Any]
) -> Iterator[StateFile]:
    """Yield the index and config that make the folder a loadable network."""
    files = {n: _shard_name(i, len(groups)) for i, names in enumerate(groups) for n in names}
    files |= dict.fromkeys(frozen, _shard_name(0, len(groups)))
    index = json.dumps({"metadata": {}, "weight_map": files}, indent=1)
    yield StateFile(f"{kind}/{INDEX_FILE}", text=index)
    yield StateFile(f"{kind}/config.json", text=json.dumps(config, indent=2) + "\n")
