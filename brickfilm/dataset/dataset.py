"""The dataset that a build gives, and the parquet files it is saved as."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from brickfilm.dataset import finalize as door
from brickfilm.dataset.parquet import ROW_GROUP_BYTES, SHARD_BYTES, parquet_writer, write_until_full
from brickfilm.dataset.reader import MEDIA_COLUMN
from brickfilm.digest import digest_of
from brickfilm.errors import UsageError
from brickfilm.files import recover_folder, replace_folder, temp_path

if TYPE_CHECKING:
    import pyarrow as pa
    from datasets import Dataset, DatasetDict, Features

    from brickfilm.hub.publish import PushResult

FINGERPRINT_FILENAME = ".fingerprint.json"
FORMAT_VERSION = 2
CONFIGS = ("clips", "images")


@dataclass(frozen=True)
class BrickfilmDataset(Mapping[str, "DatasetDict"]):
    """The configs `clips` and `images`, each with its splits; media are files until saved."""

    configs: Mapping[str, DatasetDict]
    work: Path
    incomplete: bool = False
    """Whether items failed or wait: the next build may add rows."""
    moved_videos: Mapping[str, str] = field(default_factory=dict)
    """Films whose split had to change since the last build, with the split they were in."""

    def __getitem__(self, config: str) -> DatasetDict:
        return self.configs[config]

    def __iter__(self) -> Iterator[str]:
        return iter(self.configs)

    def __len__(self) -> int:
        return len(self.configs)

    @property
    def report_path(self) -> Path:
        return self.work / "report.html"

    def push_to_hub(self, repo_id: str, **options: Any) -> PushResult:
        """Publish on the Hub; `options` are the fields of `brickfilm.hub.publish.Push`.

        media="embed" | "files" | "none", private, gated, revision, shard_bytes,
        i_have_the_rights. Run it again after a broken upload.
        """
        from brickfilm.hub.publish import PushOptions, push_to_hub

        push = PushOptions(repo_id=repo_id, **options)
        self.save(self.work / "dataset")
        return push_to_hub(self.work, push)

    def save(self, folder: str | Path) -> Path:
        """Write parquet with the media inside, and a card: `load_dataset(folder)` reads it.

        The folder is replaced whole, by a rename, and only if anything changed.
        """
        target = Path(folder)
        recover_folder(target)
        mark = {"fingerprint": self._fingerprint(), "format": FORMAT_VERSION}
        if _read_fingerprint(target) == mark:
            return target
        if target.exists() and any(target.iterdir()) and _read_fingerprint(target) is None:
            raise UsageError(f"{str(target)!r} is not empty and no saved dataset: name another")
        draft = temp_path(target)
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(parents=True)
        for config, splits in self.nonempty_configs.items():
            for split, rows in splits.items():
                write_shards(rows, draft / config, split, MEDIA_COLUMN[config])
        (draft / "README.md").write_text(self.card(), encoding="utf-8")
        (draft / FINGERPRINT_FILENAME).write_text(json.dumps(mark))
        replace_folder(draft, target)
        return target

    def card(self) -> str:
        """The card of a saved dataset: which files are which split of which config."""
        rows = sum(len(split) for split in self.configs["clips"].values())
        splits = {config: list(splits) for config, splits in self.nonempty_configs.items()}
        return render_saved_card(splits, rows, self._content_digest())

    @property
    def nonempty_configs(self) -> dict[str, DatasetDict]:
        """The configs that are saved: those with rows, since `load_dataset` refuses a split
        without any. Of nothing at all the columns of `clips` are kept."""
        full = {config: splits for config, splits in self.items() if any(splits.values())}
        return full or {CONFIGS[0]: self[CONFIGS[0]]}

    def _fingerprint(self) -> str:
        return digest_of(self.card(), length=64)

    def _content_digest(self) -> str:
        rows = {c: {s: list(_without_media(d, c)) for s, d in self[c].items()} for c in self}
        return digest_of(rows)


def render_saved_card(splits: Mapping[str, Sequence[str]], rows: int, content_digest: str) -> str:
    """The card beside saved parquet files: what `load_dataset(folder)` needs, and a line of words.

    edition: a digest of the rows. `load_dataset` finds its cache by the card's configs alone,
    wherever the folder is: without it, another dataset of ours would be served from there.
    A published dataset gets a card that tells more (`brickfilm.hub.publish.card`).
    """
    from huggingface_hub import DatasetCard, DatasetCardData

    told = {"description": f"rows {content_digest}"}
    data = DatasetCardData(
        configs=[config_yaml_entry(config, names) | told for config, names in splits.items()],
        task_categories=["text-to-video"],
    )
    return str(DatasetCard(f"---\n{data.to_yaml()}\n---\n\n# Captioned clips\n\n{rows} clips.\n"))


def config_yaml_entry(config: str, splits: Sequence[str]) -> dict[str, Any]:
    """A config's entry in the YAML of a card."""
    files = [{"split": split, "path": f"{config}/{split}-*.parquet"} for split in splits]
    default = {"default": True} if config == CONFIGS[0] else {}
    return {"config_name": config, "data_files": files, **default}


def dataset_from_rows(
    clips: Sequence[door.DatasetRow],
    images: Sequence[door.DatasetRow],
    split_by_video: Mapping[str, str],
    work: Path,
    **facts: Any,
) -> BrickfilmDataset:
    """Split the rows of both configs by film."""
    tables = {"clips": clips, "images": images}
    return BrickfilmDataset(
        {
            c: _split_rows(rows, config_features(c, clips), split_by_video, work)
            for c, rows in tables.items()
        },
        work,
        **facts,
    )


def config_features(config: str, clips: Sequence[door.DatasetRow]) -> Features:
    """The columns of a config as `datasets` features (docs/dataset-schema.md)."""
    from datasets import Features, Image, List, Value, Video

    text, real, whole = Value("string"), Value("float64"), Value("int64")
    caption = dict.fromkeys(("caption", "caption_status", "caption_model", "prompt_digest"), text)
    size = {"height": whole, "width": whole, "aspect_ratio": real, "resolution": whole}
    source = dict.fromkeys(("source_id", "source_url", "source_title", "uploader", "licence"), text)
    if config == "images":
        first = {"id": text, "clip_id": text, "image": Image()}
        return Features({**first, **caption, **size, **source, "sha256": text})
    drawings = {"new_drawings": List(whole)} if all("new_drawings" in row for row in clips) else {}
    scores = sorted({name for row in clips for name in row if name.startswith("score_")})
    return Features(
        {"id": text, "video": Video(decode=False), **caption}
        | {"num_frames": whole, "fps": real, "fps_num": whole, "fps_den": whole}
        | {**size, "duration": real, **source, "start": real, "end": real}
        | {"start_frame": whole, "end_frame": whole, "sha256": text}
        | {"frame_hashes": List(text), "near_duplicate_group": text, **drawings}
        | dict.fromkeys(scores, real)
    )


def write_shards(
    rows: Dataset, folder: Path, split: str, media: str, shard_bytes: int = SHARD_BYTES
) -> list[Path]:
    """Write a split as parquet files with the media embedded; memory holds one row group."""
    folder.mkdir(parents=True, exist_ok=True)
    drafts: list[Path] = []
    groups = iter_embedded_row_groups(rows, media)
    table = next(groups, None)
    if table is None:
        empty = folder / f"{split}-00000.parquet"
        drafts.append(write_empty_parquet(empty, rows.with_format("arrow")[:].schema))
    while table is not None:
        drafts.append(folder / f"{split}-{len(drafts):05d}.parquet")
        with parquet_writer(drafts[-1], table.schema, media) as writer:
            _, table = write_until_full(writer, table, groups, shard_bytes)
    names = [folder / f"{split}-{n:05d}-of-{len(drafts):05d}.parquet" for n in range(len(drafts))]
    return [draft.rename(name) for draft, name in zip(drafts, names, strict=True)]


def write_empty_parquet(path: Path, schema: pa.Schema) -> Path:
    """A parquet file that has columns and no row."""
    import pyarrow.parquet as pq

    pq.ParquetWriter(path, schema).close()
    return path


def iter_embedded_row_groups(rows: Dataset, media: str) -> Iterator[pa.Table]:
    """The rows as Arrow tables with media bytes inside: at most ROW_GROUP_BYTES, or a row, each."""
    from datasets.table import embed_table_storage

    table = rows.with_format("arrow")[:]
    start = size = 0
    for n, path in enumerate(table.column(media).to_pylist()):
        one = Path(path["path"]).stat().st_size
        if n > start and size + one > ROW_GROUP_BYTES:
            yield embed_table_storage(table.slice(start, n - start))
            start, size = n, 0
        size += one
    if table.num_rows > start:
        yield embed_table_storage(table.slice(start))


def _split_rows(
    rows: Sequence[door.DatasetRow],
    features: Features,
    split_by_video: Mapping[str, str],
    work: Path,
) -> DatasetDict:
    from datasets import Dataset, DatasetDict

    media = "video" if "video" in features else "image"
    splits: dict[str, list[door.DatasetRow]] = {"train": [], "test": []}
    for row in rows:
        located = {**dict.fromkeys(features), **row, media: str(work.resolve() / row[media])}
        splits[split_by_video[door.video_id_of(row["id"])]].append(located)
    full = {name: part for name, part in splits.items() if part} or {"train": []}
    columns = {n: {name: [row[name] for row in p] for name in features} for n, p in full.items()}
    return DatasetDict({n: Dataset.from_dict(c, features=features) for n, c in columns.items()})


def _without_media(rows: Dataset, config: str) -> Iterator[Any]:
    return iter(rows.remove_columns(MEDIA_COLUMN[config]))


def _read_fingerprint(folder: Path) -> dict[str, Any] | None:
    try:
        mark: dict[str, Any] = json.loads((folder / FINGERPRINT_FILENAME).read_text())
    except (OSError, ValueError):
        return None
    return mark
