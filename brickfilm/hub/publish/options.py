"""Options of a push, and its result."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from brickfilm.dataset.parquet import SHARD_BYTES
from brickfilm.errors import UsageError
from brickfilm.hub.publish.card import CARD_FILENAME, RenderedCard
from brickfilm.hub.publish.provenance import PROVENANCE_FILENAME
from brickfilm.schema.hub_errors import check_repo_id
from brickfilm.schema.licences import LicenceError

MediaMode = Literal["embed", "files", "none"]
MEDIA_FOLDER = "media"
MANAGED_PATHS = (
    *("clips/", "images/", f"{MEDIA_FOLDER}/", "figures/"),
    *(CARD_FILENAME, PROVENANCE_FILENAME),
)
"""Paths that a push replaces. It leaves all other files of the repository alone."""


@dataclass(frozen=True, kw_only=True)
class PushOptions:
    """Repository, media mode, visibility and shard size of a push."""

    repo_id: str
    media: MediaMode = "embed"
    private: bool | None = None
    """None keeps the visibility of an existing repository."""
    gated: Literal["auto", "manual", False] | None = None
    revision: str | None = None
    """Branch to push to, created if it is missing; None means main."""
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

    @property
    def repo_url(self) -> str:
        from huggingface_hub import constants

        return f"{constants.ENDPOINT}/datasets/{self.repo_id}"


@dataclass(frozen=True)
class PlannedFile:
    """A file of a push: path in the repository, size in bytes, and rows if it is a table."""

    name: str
    bytes: int
    rows: int = 0


@dataclass(frozen=True)
class PushResult:
    """Files and card of a push, or of a dry run."""

    repo_id: str
    url: str
    files: Sequence[PlannedFile]
    card: RenderedCard
    commit: str = ""
    """Commit hash; empty after a dry run."""
    revision: str | None = None
    licence_error: LicenceError | None = None
    """Set by a dry run if the push itself would be refused."""

    @property
    def bytes(self) -> int:
        return sum(file.bytes for file in self.files)
