"""The dataset that a build returns: tables in memory, media as files, until it is saved."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from brickfilm.dataset.write import DamagedMediaError, save_configs

if TYPE_CHECKING:
    from datasets import DatasetDict

    from brickfilm.hub.publish import PushResult


@dataclass(frozen=True)
class BrickfilmDataset(Mapping[str, "DatasetDict"]):
    """The configs `clips` and `images`, each with its splits."""

    configs: Mapping[str, DatasetDict]
    work: Path
    incomplete: bool = False
    """True if items failed or wait, so that the next build may add rows."""
    moved_videos: Mapping[str, str] = field(default_factory=dict)
    """Videos whose split changed since the last build, by id, with their former split."""

    def __getitem__(self, config: str) -> DatasetDict:
        return self.configs[config]

    def __iter__(self) -> Iterator[str]:
        return iter(self.configs)

    def __len__(self) -> int:
        return len(self.configs)

    @property
    def report_path(self) -> Path:
        """Return the path of the build's HTML report."""
        return self.work / "report.html"

    def push_to_hub(self, repo_id: str, **options: Any) -> PushResult:
        """Publish on the Hub; `options` are the fields of `brickfilm.hub.publish.PushOptions`.

        media="embed" | "files" | "none", private, gated, revision, shard_bytes,
        i_have_the_rights. After a broken upload, call it again: only the rest is sent.
        """
        from brickfilm.hub.publish import PushOptions, push_to_hub

        push = PushOptions(repo_id=repo_id, **options)
        self.save(self.work / "dataset")
        return push_to_hub(self.work, push)

    def save(self, folder: str | Path) -> Path:
        """Write parquet with the media inside, and a card, for `load_dataset(folder)`.

        The folder is replaced as a whole, and only if anything changed. If this is killed, it
        contains the old or the new dataset. Raise UsageError if it contains anything else.
        Media whose bytes are not those of their row's `sha256` are deleted from the work folder,
        so that the next build cuts them again, and DamagedMediaError is raised.
        """
        try:
            return save_configs(self.configs, Path(folder))
        except DamagedMediaError as error:
            for path in error.paths:
                path.unlink(missing_ok=True)
            raise
