"""A branch of a dataset repository, as it was when it was read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from brickfilm.dataset.data_files import DatasetNotFoundError
from brickfilm.dataset.parquet import hf_features
from brickfilm.dataset.reader import SavedDataset, find_hub_dataset
from brickfilm.dataset.required_columns import require_columns
from brickfilm.engine.tombstones import Tombstone
from brickfilm.hub.publish import MEDIA_FOLDER, MediaMode
from brickfilm.schema.columns import MEDIA_COLUMN

if TYPE_CHECKING:
    import pandas as pd
    from huggingface_hub import HfApi
    from huggingface_hub.hf_api import RepoFile


@dataclass(frozen=True)
class Branch:
    """A branch with its head commit and its dataset."""

    api: HfApi
    repo_id: str
    name: str
    head: str
    dataset: SavedDataset

    @classmethod
    def read(cls, api: HfApi, repo_id: str, name: str) -> Branch:
        head = str(api.dataset_info(repo_id, revision=name).sha)
        return cls(api, repo_id, name, head, dataset_at(repo_id, head))

    @cached_property
    def frames(self) -> Mapping[str, pd.DataFrame]:
        """Return the rows of every config, without media."""
        return self.dataset.to_pandas_by_config()

    @cached_property
    def files_by_path(self) -> Mapping[str, RepoFile]:
        """Return every file of the branch, by path."""
        from huggingface_hub.hf_api import RepoFile

        tree = self.api.list_repo_tree(
            self.repo_id, recursive=True, revision=self.head, repo_type="dataset"
        )
        return {entry.path: entry for entry in tree if isinstance(entry, RepoFile)}

    def download(self, name: str, folder: Path) -> Path:
        path = self.api.hf_hub_download(
            self.repo_id, name, revision=self.head, repo_type="dataset", local_dir=folder
        )
        return Path(path)

    def commit(self, delete: Sequence[str], add: Mapping[str, Path | bytes], message: str) -> None:
        """Commit on top of the head; raise CommitConflictError if the branch has changed."""
        from huggingface_hub import CommitOperationAdd, CommitOperationDelete

        self.api.create_commit(
            self.repo_id,
            [
                *(CommitOperationDelete(name) for name in delete),
                *(CommitOperationAdd(name, content) for name, content in add.items()),
            ],
            commit_message=message,
            repo_type="dataset",
            revision=self.name,
            parent_commit=self.head,
        )

    def media_files_of(self, tombstone: Tombstone) -> list[str]:
        """Return the media files that a tombstone covers, those of a broken push included."""
        media = (path for path in self.files_by_path if path.startswith(f"{MEDIA_FOLDER}/"))
        return [path for path in media if tombstone.covers_id(path.rsplit("/", 1)[1])]

    @property
    def media_mode(self) -> MediaMode:
        """Return the media mode that the rows were pushed with."""
        column = MEDIA_COLUMN["clips"]
        if column not in self.dataset.columns("clips"):
            return "none"
        split = self.dataset.splits("clips")[0]
        first = next(self.dataset.iter_tables("clips", split, [column]))[column][0].as_py()
        return "files" if first["bytes"] is None else "embed"

    def features(self, config: str) -> dict[str, Any]:
        """Return the features of a config as `datasets` writes them."""
        first = self.dataset.files[config, self.dataset.splits(config)[0]][0]
        with self.dataset.open_parquet(first) as file:
            return hf_features(file.schema_arrow)


def dataset_at(repo_id: str, revision: str) -> SavedDataset:
    """Return the dataset of a revision; without files if it has no dataset of brickfilm."""
    from huggingface_hub import HfFileSystem

    try:
        dataset = find_hub_dataset(repo_id, revision=revision)
        require_columns(dataset)
    except DatasetNotFoundError:
        return SavedDataset(HfFileSystem(), f"datasets/{repo_id}@{revision}", {}, repo_id=repo_id)
    return dataset
