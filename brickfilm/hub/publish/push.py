"""Publish a saved dataset on the Hub: media in the tables, media as files, or references only."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

from brickfilm.dataset.reader import SavedDataset, find_dataset
from brickfilm.dataset.required_columns import require_columns
from brickfilm.errors import UsageError
from brickfilm.files import atomic_write
from brickfilm.hub.publish.card import dataset_card
from brickfilm.hub.publish.options import PlannedFile, PushOptions, PushResult
from brickfilm.hub.publish.shards import iter_media_files, iter_push_shards, split_sizes
from brickfilm.hub.publish.upload import Upload, delete_operations, prepare_repo, upload_media
from brickfilm.schema.hub_errors import hub_errors
from brickfilm.schema.licences import LicenceError, check_redistribution

REPO_ID = re.compile(r"[\w.-]+/[\w.-]+", re.ASCII)
PUSHED_REPOS_FILENAME = "pushed.txt"
"""In the work folder: the repositories that a removal must reach."""


def plan_push(where: str | Path | SavedDataset, options: PushOptions) -> PushResult:
    """List the files of a push with their sizes, and render the card; send nothing.

    A licence that forbids the push is returned as `licence_error` instead of raised.
    """
    dataset, licence_error = _open_nonempty(where), None
    try:
        _check_licences(dataset, options)
    except LicenceError as error:
        licence_error = error
    files = [PlannedFile(s.name, s.bytes, s.rows) for s in iter_push_shards(dataset, options)]
    if options.media == "files":
        files += [PlannedFile(name, len(content)) for name, content in iter_media_files(dataset)]
    card = dataset_card(dataset, options.repo_id, media=options.media, sizes=split_sizes(files))
    files += [PlannedFile(name, len(content)) for name, content in card.files.items()]
    return PushResult(options.repo_id, options.repo_url, files, card, licence_error=licence_error)


def push_to_hub(where: str | Path | SavedDataset, options: PushOptions) -> PushResult:
    """Publish a saved dataset. Run it again after a broken upload: only the rest is sent.

    The tables of the repository change in one last commit, after all uploads. Raises LicenceError,
    HubError (no token, no write access) and CommitConflictError (somebody else committed).
    """
    from huggingface_hub import HfApi

    dataset = _open_nonempty(where)
    _check_licences(dataset, options)
    with hub_errors(options.repo_id):
        upload = Upload(HfApi(), options)
        head = prepare_repo(upload.api, options)
        if dataset.work is not None:
            _record_pushed_repo(dataset.work, options.repo_id)
        if options.media == "files":
            head = upload_media(upload, dataset, head)
        for shard in iter_push_shards(dataset, options):
            upload.add(shard.name, shard.path, rows=shard.rows)
            upload.preupload()
        sizes = split_sizes(upload.files)
        card = dataset_card(dataset, options.repo_id, media=options.media, sizes=sizes)
        for name, content in card.files.items():
            upload.add(name, content)
        commit = upload.commit(parent=head, delete=delete_operations(upload))
    return PushResult(
        options.repo_id, options.repo_url, upload.files, card, commit, options.revision
    )


def pushed_repos(work: Path) -> list[str]:
    """Return the ids of the repositories that a work folder was pushed to."""
    path = work / PUSHED_REPOS_FILENAME
    repos = path.read_text(errors="replace").split() if path.is_file() else []
    if damaged := [repo for repo in repos if not REPO_ID.fullmatch(repo)]:
        raise UsageError(
            f"{str(path)!r} names no repository with {damaged[0]!r}: write the repositories "
            "that this dataset was pushed to there, one 'user/name' a line"
        )
    return repos


def _record_pushed_repo(work: Path, repo_id: str) -> None:
    repos = sorted({*pushed_repos(work), repo_id})
    with atomic_write(work / PUSHED_REPOS_FILENAME) as stream:
        stream.write(("\n".join(repos) + "\n").encode())


def _open_nonempty(where: str | Path | SavedDataset) -> SavedDataset:
    """Open a dataset; raise UsageError if it has no clip."""
    dataset = where if isinstance(where, SavedDataset) else find_dataset(where)
    require_columns(dataset)
    if "clips" not in dataset.configs or not dataset.num_rows("clips"):
        raise UsageError(f"{dataset.name!r} has no clip: there is nothing to publish")
    return dataset


def _check_licences(dataset: SavedDataset, options: PushOptions) -> None:
    """Raise LicenceError if media would be published whose stated licence is not open."""
    if options.media != "none" and not options.i_have_the_rights:
        check_redistribution(
            Counter(
                str(licence or "")
                for config in dataset.configs
                for licence in dataset.to_pandas(config, ["licence"])["licence"]
            )
        )
