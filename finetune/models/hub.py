"""Hub ids, and downloads of models and datasets from the Hub."""

from __future__ import annotations

import re
from pathlib import Path

from brickfilm.schema.hub_errors import hub_errors
from finetune.errors import FinetuneError

HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


def exists_locally(name: Path | str) -> bool:
    """Return True if there is a file or folder of this name; False for too long a name."""
    try:
        return Path(name).exists()
    except OSError:
        return False


def is_hub_id(source: Path | str) -> bool:
    """Tell if a source is no file or folder here, and has the form of a Hub id."""
    return not exists_locally(source) and HUB_ID.fullmatch(str(source)) is not None


def download_snapshot(
    repo_id: str,
    patterns: list[str],
    error: type[FinetuneError],
    *,
    repo_type: str = "model",
    revision: str | None = None,
) -> Path:
    """Download a repository's files that match `patterns`; raise `error` if that fails.

    Raise HubError if a server does not answer as the Hub does, or not in time.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
    )

    at = f" at revision {revision!r}" if revision else ""
    with hub_errors(f"{repo_id}{at}"):
        try:
            return Path(
                snapshot_download(
                    repo_id, repo_type=repo_type, revision=revision, allow_patterns=patterns
                )
            )
        except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError) as cause:
            reason = str(cause).splitlines()[0].rstrip(".")
            raise error(
                f"{repo_id!r}{at} is no folder here and could not be downloaded from the Hub "
                f"({reason}): check the name and your token"
            ) from cause
