"""Put a saved dataset on the Hub: with its media, with media as files, or as references only."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from brickfilm.dataset.parquet import SHARD_BYTES, Shard, drop_column, iter_shards
from brickfilm.dataset.reader import (
    MEDIA_COLUMN,
    MEDIA_SUFFIX,
    SavedDataset,
    SplitKey,
    find_dataset,
)
from brickfilm.dataset.required_columns import require_columns
from brickfilm.errors import UsageError
from brickfilm.hub.publish.card import RenderedCard, dataset_card
from brickfilm.schema.hub_errors import check_repo_id, hub_errors
from brickfilm.schema.licences import LicenceError, check_redistribution

if TYPE_CHECKING:
    import pyarrow as pa
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi

MediaMode = Literal["embed", "files", "none"]
FILES_PER_COMMIT = 500
PUSHED_REPOS_FILENAME = "pushed.txt"
CARD_FILENAME = "README.md"
MEDIA_FOLDER = "media"
MANAGED_PATHS = (
    "clips/",
    "images/",
    f"{MEDIA_FOLDER}/",
    "figures/",
    CARD_FILENAME,
    "brickfilm.json",
)
"""What a push replaces; anything else in the repository is left alone."""


@dataclass(frozen=True, kw_only=True)
class PushOptions:
    """What to publish, and how."""

    repo_id: str
    media: MediaMode = "embed"
    private: bool | None = None
    """None leaves an existing repository as it is."""
    gated: Literal["auto", "manual", False] | None = None
    revision: str | None = None
    shard_bytes: int = SHARD_BYTES
    i_have_the_rights: bool = False
    commit_message: str = "Publish with brickfilm"

    def __post_init__(self) -> None:
        if self.media not in ("embed", "files", "none"):
            raise UsageError(f"media={self.media!r}: choose embed, files or none")
        if self.gated not in (None, "auto", "manual", False):
            raise UsageError(f"gated={self.gated!r}: choose auto, manual or False")
        check_repo_id(self.repo_id)
        if self.shard_bytes < 1 << 20:
            raise UsageError(f"shard_bytes={self.shard_bytes}: at least 1 MB (1048576)")

    @property
    def target_revision(self) -> str:
        return self.revision or "main"


@dataclass(frozen=True)
class PlannedFile:
    """A file of a push: where it goes, and how big it is."""

    name: str
    bytes: int
    rows: int = 0


@dataclass(frozen=True)
class PushResult:
    """What a push brought to the Hub, or would bring."""

    repo_id: str
    url: str
    files: Sequence[PlannedFile]
    card: RenderedCard
    commit: str = ""
    """Empty after a dry run."""
    revision: str | None = None
    licence_error: LicenceError | None = None
    """Of a dry run: why the push itself would be refused."""

    @property
    def bytes(self) -> int:
        return sum(file.bytes for file in self.files)


def plan_push(where: str | Path | SavedDataset, push: PushOptions) -> PushResult:
    """A dry run: the files with their sizes, and the card. Writes drafts, sends nothing.

    What the push itself would not do for lack of rights is shown too, with its `licence_error`.
    """
    dataset, licence_error = _open_nonempty(where), None
    try:
        _check_licences(dataset, push)
    except LicenceError as error:
        licence_error = error
    files = [PlannedFile(s.name, s.bytes, s.rows) for s in _iter_all_shards(dataset, push)]
    if push.media == "files":
        files += [PlannedFile(name, len(content)) for name, content in iter_media_files(dataset)]
    page = dataset_card(dataset, push.repo_id, media=push.media, sizes=split_sizes(files))
    files += [PlannedFile(name, len(content)) for name, content in page.files.items()]
    return PushResult(push.repo_id, _repo_url(push), files, page, licence_error=licence_error)


def push_to_hub(where: str | Path | SavedDataset, push: PushOptions) -> PushResult:
    """Publish a saved dataset; run it again after a broken upload and only the rest is sent.

    Nothing in the repository changes before all of it is uploaded: one commit turns the page.
    Raises NotYoursToShare, HubRefused (no token, no right to write), RepoMoved (somebody else
    committed meanwhile).
    """
    from huggingface_hub import HfApi

    dataset = _open_nonempty(where)
    _check_licences(dataset, push)
    api = HfApi()
    with hub_errors(push.repo_id):
        head = _prepare_repo(api, push)
        if dataset.work is not None:
            _record_pushed_repo(dataset.work, push.repo_id)
        upload = Upload(api, push)
        if push.media == "files":
            head = _upload_media(upload, dataset, head)
        for shard in _iter_all_shards(dataset, push):
            upload.add(shard.name, shard.path, rows=shard.rows)
            upload.preupload()
        sizes = split_sizes(upload.files)
        page = dataset_card(dataset, push.repo_id, media=push.media, sizes=sizes)
        for name, content in page.files.items():
            upload.add(name, content)
        commit = upload.commit(parent=head, stale=_delete_operations(api, push, upload))
    return PushResult(push.repo_id, _repo_url(push), upload.files, page, commit, push.revision)


@dataclass
class Upload:
    """Files on their way: bytes travel ahead of the commit that names them."""

    api: HfApi
    push: PushOptions
    files: list[PlannedFile] = field(default_factory=list)
    _uploaded: list[CommitOperationAdd] = field(default_factory=list)
    _pending: list[CommitOperationAdd] = field(default_factory=list)

    def add(self, name: str, content: Path | bytes, *, rows: int = 0) -> None:
        from huggingface_hub import CommitOperationAdd

        size = len(content) if isinstance(content, bytes) else content.stat().st_size
        self._pending.append(CommitOperationAdd(name, content))
        self.files.append(PlannedFile(name, size, rows))

    @property
    def pending_bytes(self) -> int:
        return sum(operation.upload_info.size for operation in self._pending)

    def preupload(self) -> None:
        """Upload what waits (what the Hub has already is skipped) and forget its bytes."""
        self.api.preupload_lfs_files(
            self.push.repo_id,
            additions=self._pending,
            repo_type="dataset",
            revision=self.push.target_revision,
        )
        self._uploaded += self._pending
        self._pending = []

    def commit(self, *, parent: str, stale: Sequence[CommitOperationDelete] = ()) -> str:
        """Make all that was added the newest version; gives the commit."""
        operations: list[CommitOperationAdd | CommitOperationDelete] = [
            *stale,
            *self._uploaded,
            *self._pending,
        ]
        done = self.api.create_commit(
            self.push.repo_id,
            operations,
            commit_message=self.push.commit_message,
            repo_type="dataset",
            revision=self.push.target_revision,
            parent_commit=parent,
        )
        self._uploaded, self._pending = [], []
        return str(done.oid)


def media_path_in_repo(config: str, row_id: str, sha256: str) -> str:
    """Where a row's media file lies in the repository: the place and the bytes name it."""
    return f"{MEDIA_FOLDER}/{config}/{row_id}-{sha256[:8]}{MEDIA_SUFFIX[config]}"


def iter_media_files(dataset: SavedDataset) -> Iterator[tuple[str, bytes]]:
    """All media of a dataset with the names they get in a repository."""
    for config, split in dataset.files:
        column = MEDIA_COLUMN[config]
        for table in dataset.iter_tables(config, split, ["id", "sha256", column]):
            for row in table.to_pylist():
                content = dataset.read_media(row[column])
                if content is not None:
                    yield media_path_in_repo(config, row["id"], row["sha256"]), content


def split_sizes(files: Sequence[PlannedFile]) -> Mapping[SplitKey, int]:
    """Bytes of parquet by config and split, from the names of shards."""
    sizes: Counter[SplitKey] = Counter()
    for file in files:
        config, _, name = file.name.partition("/")
        if name.endswith(".parquet"):
            sizes[config, name.rsplit("-", 1)[0]] += file.bytes
    return sizes


def _open_nonempty(where: str | Path | SavedDataset) -> SavedDataset:
    """The dataset, if there is something in it."""
    dataset = where if isinstance(where, SavedDataset) else find_dataset(where)
    require_columns(dataset)
    if "clips" not in dataset.configs or not dataset.num_rows("clips"):
        raise UsageError(f"{dataset.name!r} has no clip: there is nothing to publish")
    return dataset


def _check_licences(dataset: SavedDataset, push: PushOptions) -> None:
    """Raises NotYoursToShare for pixels that nobody may pass on, as far as we were told."""
    if push.media != "none" and not push.i_have_the_rights:
        check_redistribution(
            Counter(
                str(written or "")
                for config in dataset.configs
                for written in dataset.to_pandas(config, ["licence"])["licence"]
            )
        )


def _prepare_repo(api: HfApi, push: PushOptions) -> str:
    """The repository and branch with the asked visibility, before any byte; gives its head."""
    api.create_repo(push.repo_id, repo_type="dataset", private=push.private, exist_ok=True)
    wanted = {"private": push.private, "gated": push.gated}
    changes = {name: value for name, value in wanted.items() if value is not None}
    if changes:
        api.update_repo_settings(push.repo_id, repo_type="dataset", **changes)  # type: ignore[arg-type]
    if push.revision:
        api.create_branch(push.repo_id, branch=push.revision, repo_type="dataset", exist_ok=True)
    return str(api.dataset_info(push.repo_id, revision=push.target_revision).sha)


def _upload_media(upload: Upload, dataset: SavedDataset, head: str) -> str:
    """Commit media files in parts, before the tables that name them; gives the new head."""
    count = 0
    for name, content in iter_media_files(dataset):
        upload.add(name, content)
        count += 1
        if upload.pending_bytes >= upload.push.shard_bytes:
            upload.preupload()
        if count % FILES_PER_COMMIT == 0:
            upload.preupload()
            head = upload.commit(parent=head)
    if count % FILES_PER_COMMIT:
        upload.preupload()
        head = upload.commit(parent=head)
    return head


def _record_pushed_repo(work: Path, repo_id: str) -> None:
    """Write down where a build is published, before any byte: a removal must reach it there."""
    (work / PUSHED_REPOS_FILENAME).write_text(
        "\n".join(sorted({*pushed_repos(work), repo_id})) + "\n"
    )


def pushed_repos(work: Path) -> list[str]:
    """The repositories that a work folder was published to."""
    path = work / PUSHED_REPOS_FILENAME
    return path.read_text().split() if path.is_file() else []


def _delete_operations(
    api: HfApi, push: PushOptions, upload: Upload
) -> list[CommitOperationDelete]:
    """Files of an earlier push that this one does not bring again."""
    from huggingface_hub import CommitOperationDelete

    brought = {file.name for file in upload.files}
    held = api.list_repo_files(push.repo_id, repo_type="dataset", revision=push.target_revision)
    return [
        CommitOperationDelete(f) for f in held if f.startswith(MANAGED_PATHS) and f not in brought
    ]


def _iter_all_shards(dataset: SavedDataset, push: PushOptions) -> Iterator[Shard]:
    for config, split in dataset.files:
        shape = _table_transform(push, config, dataset)
        tables = (shape(table) for table in dataset.iter_tables(config, split))
        yield from iter_shards(tables, config, split, shard_bytes=push.shard_bytes)


def _table_transform(
    push: PushOptions, config: str, dataset: SavedDataset
) -> Callable[[pa.Table], pa.Table]:
    """What a push does to a table: embed its media, name their files, or leave them out."""
    column = MEDIA_COLUMN[config]
    if push.media == "none":
        return lambda table: drop_column(table, column)
    if push.media == "embed":
        return lambda table: with_embedded_media(table, config, dataset)
    version = f"@{push.revision}" if push.revision else ""
    prefix = f"hf://datasets/{push.repo_id}{version}/"
    return lambda table: with_media_paths(table, config, prefix)


def with_media_paths(table: pa.Table, config: str, prefix: str) -> pa.Table:
    """The table with its media by path in the repository, and no bytes."""
    rows = table.select(["id", "sha256"]).to_pylist()
    names = [media_path_in_repo(config, row["id"], row["sha256"]) for row in rows]
    return _replace_media_column(
        table, config, [{"bytes": None, "path": prefix + n} for n in names]
    )


def with_embedded_media(table: pa.Table, config: str, dataset: SavedDataset) -> pa.Table:
    """The table with its media inside, read from the files that it names where it names them."""
    cells = table[MEDIA_COLUMN[config]].combine_chunks()
    if cells.field("bytes").null_count == 0:
        return table
    held = [{**cell, "bytes": dataset.read_media(cell)} for cell in cells.to_pylist()]
    return _replace_media_column(table, config, held)


def _replace_media_column(
    table: pa.Table, config: str, cells: Sequence[Mapping[str, Any]]
) -> pa.Table:
    import pyarrow as pa

    place = table.schema.get_field_index(MEDIA_COLUMN[config])
    field = table.schema.field(place)
    return table.set_column(place, field, pa.array(cells, field.type))


def _repo_url(push: PushOptions) -> str:
    from huggingface_hub import constants

    return f"{constants.ENDPOINT}/datasets/{push.repo_id}"
