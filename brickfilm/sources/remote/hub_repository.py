"""Files of a dataset's repository on the Hub, at one commit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from brickfilm.errors import UsageError
from brickfilm.schema.hub_errors import hub_errors
from brickfilm.schema.public_text import error_line
from brickfilm.schema.safe_paths import HUB_URL

DEFAULT_SPLIT = "train"
BUILDERS = ("VideoFolder", "WebDataset", "Parquet", "Csv", "Json")
"""Classes of `datasets` that read forms of data in which there may be videos."""
VERSION_DIGITS = 8


@dataclass(frozen=True)
class HubRepository:
    """A dataset's repository, and the split of it that is read; fields as of `HubSource`."""

    repo_id: str
    config: str | None
    split: str | None
    revision: str | None
    token: str | None = field(repr=False)

    @cached_property
    def commit(self) -> str:
        """Return the commit that `revision` names now."""
        from huggingface_hub import HfApi

        api = HfApi(token=self.token)
        return str(api.dataset_info(self.repo_id, revision=self.revision).sha)

    @cached_property
    def tree(self) -> Mapping[str, Any]:
        """Return every file of the repository by its path."""
        from huggingface_hub import HfApi
        from huggingface_hub.hf_api import RepoFile

        tree = HfApi(token=self.token).list_repo_tree(
            self.repo_id, recursive=True, revision=self.commit, repo_type="dataset"
        )
        return {entry.path: entry for entry in tree if isinstance(entry, RepoFile)}

    @cached_property
    def data_files(self) -> tuple[str, Sequence[str]]:
        """Return the name of the builder that reads the dataset, and the files of the split."""
        from datasets import load_dataset_builder

        with self.errors():
            try:
                builder = load_dataset_builder(
                    self.repo_id, self.config, revision=self.commit, token=self.token
                )
            except ValueError as error:  # of an unknown or missing config
                raise UsageError(f"{self.repo_id}: {' '.join(str(error).split())}") from error
        by_split = dict(builder.config.data_files or {})
        only = next(iter(by_split)) if len(by_split) == 1 else DEFAULT_SPLIT
        split = self.split or only
        if split not in by_split:
            names = ", ".join(map(str, by_split))
            raise UsageError(f"{self.repo_id} has no split {split!r}: name one of {names}")
        urls = (HUB_URL.fullmatch(str(url)) for url in by_split[split])
        classes = [cls.__name__ for cls in type(builder).__mro__]
        kind = next((name for name in classes if name in BUILDERS), classes[0])
        return kind, [url["path"] for url in urls if url]

    def version(self, path: str) -> str:
        """Return the first digits of a file's digest."""
        entry = self.tree[path]
        return str(entry.lfs.sha256 if entry.lfs else entry.blob_id)[:VERSION_DIGITS]

    def url(self, path: str) -> str:
        """Return the address of a file at this commit."""
        from huggingface_hub import hf_hub_url

        return hf_hub_url(self.repo_id, path, repo_type="dataset", revision=self.commit)

    def download(self, path: str) -> Path:
        """Download a small table into the Hub's cache."""
        from huggingface_hub import hf_hub_download

        return Path(
            hf_hub_download(
                self.repo_id, path, repo_type="dataset", revision=self.commit, token=self.token
            )
        )

    def no_video(self, found: str) -> UsageError:
        """Return the error of a dataset without videos."""
        return UsageError(
            f"{self.repo_id} has no videos: {found}. Name the column with video= "
            "(--column video=NAME), or another dataset"
        )

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Raise one line for what the Hub's clients raise."""
        from datasets.exceptions import DataFilesNotFoundError, DatasetNotFoundError
        from huggingface_hub.errors import GatedRepoError

        try:
            with hub_errors(self.repo_id):
                yield
        except GatedRepoError as error:
            raise UsageError(
                f"{self.repo_id} is gated: ask for access on its page, then log in with "
                "`hf auth login` or set HF_TOKEN"
            ) from error
        except DataFilesNotFoundError as error:
            raise self.no_video("it holds no data files") from error
        except DatasetNotFoundError as error:
            raise UsageError(f"{self.repo_id}: {' '.join(str(error).split())}") from error
        except FileNotFoundError as error:  # of an empty repository
            raise self.no_video(error_line(error)) from error
