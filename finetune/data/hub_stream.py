"""Open a dataset of the Hub to read it row by row, without a download: `datasets` streams it."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from brickfilm.digest import digest_of
from brickfilm.schema.columns import CONFIGS, HELD_OUT_SPLITS
from brickfilm.schema.hub_errors import RETRY_HINT, HubError, hub_errors
from brickfilm.schema.public_text import error_line
from brickfilm.schema.safe_paths import HUB_URL, UnsafePathError, relative_path
from finetune.config import Recipe
from finetune.data.row_media import cell_bytes
from finetune.errors import BadSample, ConfigError, DataError
from finetune.models.hub import is_hub_id

TRAIN_SPLIT = "train"
MEDIA_FEATURES = ("Audio", "Image", "Video")


@dataclass(frozen=True)
class StreamedConfig:
    """The training split of one configuration."""

    name: str
    rows: Any  # datasets.IterableDataset, media not decoded
    folder: str | None  # of its files in the repository; None: they lie in several


@dataclass(frozen=True)
class HubStream:
    """A dataset of the Hub at one commit; picklable, for the loader's processes."""

    repo_id: str
    revision: str
    configs: tuple[StreamedConfig, ...]

    @property
    def fingerprint(self) -> str:
        """Return a sha256 that names the dataset's content."""
        names = [config.name for config in self.configs]
        return digest_of([self.repo_id, self.revision, names], 64)

    @property
    def shards(self) -> int:
        """Return the number of parts that readers can divide: those of the smallest config."""
        return min(int(config.rows.num_shards) for config in self.configs)

    def media(self, config: StreamedConfig, cell: Any) -> bytes:
        """Return the bytes of a row's media; raise BadSample without any, DataError for an outage.

        A path may lead to a file of the same repository alone, which is read, not stored.
        """
        try:
            return cell_bytes(cell, lambda path: self._read_file(config, path))
        except UnsafePathError as error:
            raise BadSample(str(error)) from error

    def _read_file(self, config: StreamedConfig, path: str) -> bytes:
        from huggingface_hub import HfFileSystem

        inner = PurePosixPath(relative_path(path, self.repo_id))
        if not HUB_URL.fullmatch(path):
            if config.folder is None:
                raise BadSample(
                    f"names {path!r}, but the tables lie in several folders of {self.repo_id}: "
                    "write hf://datasets/ paths, or set streaming = false"
                )
            inner = config.folder / inner
        with stream_errors(self.repo_id):
            try:
                content: bytes = HfFileSystem().cat_file(
                    f"datasets/{self.repo_id}@{self.revision}/{inner}"
                )
            except FileNotFoundError as error:
                raise BadSample(f"there is no file {inner} in {self.repo_id}") from error
        return content


def open_stream(recipe: Recipe, revision: str | None = None) -> HubStream:
    """Open the recipe's dataset at a commit, by default its newest; nothing is downloaded.

    Raise DataError if it cannot be read, ConfigError if it has no such configuration.
    """
    check_streamable(recipe)
    repo_id = recipe.dataset
    with stream_errors(repo_id):
        import datasets

        commit = find_commit(repo_id, revision)
        names = datasets.get_dataset_config_names(repo_id, revision=commit)
        chosen = _choose_configs(recipe, names)
        configs = tuple(_open_config(repo_id, name, commit) for name in chosen)
    return HubStream(repo_id, commit, configs)


def check_streamable(recipe: Recipe) -> None:
    """Raise ConfigError if a recipe streams what is not a dataset of the Hub."""
    if recipe.streaming and not is_hub_id(recipe.dataset):
        raise ConfigError(
            f"streaming reads a dataset of the Hub, and {recipe.dataset} is none: set streaming = "
            "false, which reads folders and files where they are"
        )


def find_commit(repo_id: str, revision: str | None = None) -> str:
    """Return a dataset's newest commit, or that of a checkpoint; raise DataError if it is gone."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import RevisionNotFoundError

    with stream_errors(repo_id):
        try:
            return str(HfApi().dataset_info(repo_id, revision=revision).sha)
        except RevisionNotFoundError as error:
            raise DataError(
                f"{repo_id} has no commit {revision} any more, which the checkpoint read: "
                "--new-data begins with the newest one"
            ) from error


def _choose_configs(recipe: Recipe, names: Sequence[str]) -> Sequence[str]:
    """Return the configurations to read: the one named, the only one, or brickfilm's two."""
    if recipe.dataset_config in names:
        return [recipe.dataset_config]
    needed = {
        name: any((bucket.frames == 1) == (name == "images") for bucket in recipe.buckets)
        for name in CONFIGS
    }
    chosen = names if len(names) == 1 else [n for n in CONFIGS if n in names and needed[n]]
    if recipe.dataset_config or not chosen:
        raise ConfigError(
            f"{recipe.dataset} has no configuration {recipe.dataset_config!r}: set dataset_config "
            f"to one of {', '.join(names)}"
        )
    return chosen


def _open_config(repo_id: str, name: str, revision: str) -> StreamedConfig:
    """Return the rows of the split `train`, or of the only one that is not held out."""
    from datasets import load_dataset_builder

    builder = load_dataset_builder(repo_id, name, revision=revision)
    files: Mapping[Any, Sequence[str]] = builder.config.data_files or {}
    splits = {str(split): urls for split, urls in files.items() if split not in HELD_OUT_SPLITS}
    split = next(iter(splits), TRAIN_SPLIT) if len(splits) == 1 else TRAIN_SPLIT
    if split not in splits:
        raise DataError(
            f"{repo_id} has no split {split!r} in {name!r}, but {', '.join(map(str, files))}: "
            f"name its training files {split!r}"
        )
    matches = [HUB_URL.fullmatch(url) for url in splits[split]]
    folders = {str(PurePosixPath(url["path"]).parent) for url in matches if url}
    rows = _undecoded(builder.as_streaming_dataset(split=split))
    return StreamedConfig(name, rows, folders.pop() if len(folders) == 1 else None)


def _undecoded(rows: Any) -> Any:
    """Return a dataset that gives encoded media: they are decoded here, at the sizes needed."""
    for name, feature in (rows.features or {}).items():
        if type(feature).__name__ in MEDIA_FEATURES:
            rows = rows.cast_column(name, type(feature)(decode=False))
    return rows


def node_rows(rows: Any, seed: int, node: int, nodes: int) -> Any:
    """Return the share of one of several readers, its shards in another order in each epoch.

    Shards are divided as `datasets` does: each to one reader, or, if there are fewer than readers,
    every reader reads all and keeps each `nodes`-th row.
    """
    from datasets.distributed import split_dataset_by_node

    # rows are shuffled by `shuffled_rows`: this buffer is not part of a position, as is warned of
    logging.getLogger("datasets.iterable_dataset").setLevel(logging.ERROR)
    options = _known_options(rows.shuffle, max_buffer_input_shards=1)
    shuffled = rows.shuffle(seed=seed, buffer_size=1, **options)
    is_divisible = shuffled.num_shards >= nodes
    strategy = _known_options(split_dataset_by_node, strategy="shards") if is_divisible else {}
    return split_dataset_by_node(shuffled, node, nodes, **strategy)


def _known_options(function: Callable[..., Any], **options: Any) -> dict[str, Any]:
    """Return the options that a function of this version of `datasets` has."""
    known = inspect.signature(function).parameters
    return {name: value for name, value in options.items() if name in known}


@contextmanager
def stream_errors(repo_id: str) -> Iterator[None]:
    """Raise DataError in one line, with the remedy, for what reading from the Hub raises."""
    from huggingface_hub.errors import GatedRepoError
    from pyarrow import ArrowException

    try:
        with hub_errors(repo_id):
            yield
    except GatedRepoError as error:
        raise DataError(
            f"{repo_id} is gated: ask for access on its page, then log in with `hf auth login` or "
            "set HF_TOKEN"
        ) from error
    except HubError as error:
        message = str(error).replace(RETRY_HINT, "start again with --resume auto")
        raise DataError(message) from error
    except ImportError as error:
        raise DataError(f"streaming needs `pip install datasets` ({error})") from error
    except (OSError, ArrowException, ValueError) as error:
        raise DataError(
            f"{repo_id} cannot be streamed ({error_line(error)}): check the name, your token and "
            "the network, then start again with --resume auto"
        ) from error
