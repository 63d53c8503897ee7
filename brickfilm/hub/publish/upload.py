"""Upload files to a dataset repository, and commit them in one step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from brickfilm.dataset.reader import SavedDataset
from brickfilm.hub.publish.options import MANAGED_PATHS, PlannedFile, PushOptions
from brickfilm.hub.publish.shards import iter_media_files

if TYPE_CHECKING:
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi

FILES_PER_COMMIT = 500


@dataclass
class Upload:
    """Files of a push. Their bytes are uploaded before the commit that names them."""

    api: HfApi
    options: PushOptions
    files: list[PlannedFile] = field(default_factory=list)
    _uploaded: list[CommitOperationAdd] = field(default_factory=list)
    _pending: list[CommitOperationAdd] = field(default_factory=list)

    def add(self, name: str, content: Path | bytes, *, rows: int = 0) -> None:
        from huggingface_hub import CommitOperationAdd

        size = len(content) if isinstance(content, bytes) else content.stat().st_size
        self._pending.append(CommitOperationAdd(name, content))
        self.files.append(PlannedFile(name, size, rows))

    @property
    def has_uncommitted_files(self) -> bool:
        return bool(self._uploaded or self._pending)

    @property
    def pending_bytes(self) -> int:
        return sum(operation.upload_info.size for operation in self._pending)

    def preupload(self) -> None:
        """Upload pending files and free their memory; the Hub skips bytes that it already has."""
        self.api.preupload_lfs_files(
            self.options.repo_id,
            additions=self._pending,
            repo_type="dataset",
            revision=self.options.target_revision,
        )
        self._uploaded += self._pending
        self._pending = []

    def commit(self, *, parent: str, delete: Sequence[CommitOperationDelete] = ()) -> str:
        """Commit all added files on top of `parent`, and return the commit's hash."""
        commit = self.api.create_commit(
            self.options.repo_id,
            [*delete, *self._uploaded, *self._pending],
            commit_message=self.options.commit_message,
            repo_type="dataset",
            revision=self.options.target_revision,
            parent_commit=parent,
        )
        self._uploaded, self._pending = [], []
        return str(commit.oid)


def prepare_repo(api: HfApi, options: PushOptions) -> str:
    """Create the repository and branch, set their visibility, and return the branch's head."""
    repo_id = options.repo_id
    api.create_repo(repo_id, repo_type="dataset", private=options.private, exist_ok=True)
    settings = {"private": options.private, "gated": options.gated}
    changes = {name: value for name, value in settings.items() if value is not None}
    if changes:
        api.update_repo_settings(repo_id, repo_type="dataset", **changes)  # type: ignore[arg-type]
    if options.revision:
        api.create_branch(repo_id, branch=options.revision, repo_type="dataset", exist_ok=True)
    return str(api.dataset_info(repo_id, revision=options.target_revision).sha)


def upload_media(upload: Upload, dataset: SavedDataset, head: str) -> str:
    """Commit media files in parts, before the tables that name them; return the new head."""
    for number, (name, content) in enumerate(iter_media_files(dataset), start=1):
        upload.add(name, content)
        if upload.pending_bytes >= upload.options.shard_bytes:
            upload.preupload()
        if number % FILES_PER_COMMIT == 0:
            head = upload.commit(parent=head)
    return upload.commit(parent=head) if upload.has_uncommitted_files else head


def delete_operations(upload: Upload) -> list[CommitOperationDelete]:
    """Return the deletions of files that an earlier push made and this one does not."""
    from huggingface_hub import CommitOperationDelete

    options, pushed = upload.options, {file.name for file in upload.files}
    current = upload.api.list_repo_files(
        options.repo_id, repo_type="dataset", revision=options.target_revision
    )
    return [
        CommitOperationDelete(path)
        for path in current
        if path.startswith(MANAGED_PATHS) and path not in pushed
    ]
