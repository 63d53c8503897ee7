"""Read exported folders as trainers would, by the rules in their source, apart from our exporters.

Each reader is written from the file named in its docstring. It opens only what the trainer opens:
its config or table, the media and the texts; frames are counted by decoding.
"""

from __future__ import annotations

import csv
import io
import json
import math
import re
import tarfile
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import torch
import yaml


@dataclass(frozen=True)
class Sample:
    """What a trainer's dataset class would give for one clip."""

    name: str
    caption: str
    frames: tuple[int, ...]
    fps: float | None
    """Rate at which the model plays the frames."""
    size: tuple[int, int]
    """Width and height."""
    last_start: int = 0


@dataclass(frozen=True)
class MediaFile:
    """A media file as decoders see it."""

    frames: int
    fps: float
    width: int
    height: int


def opened(path: Path) -> MediaFile:
    if path.suffix == ".jpg":
        height, width, _ = cv2.imread(str(path)).shape
        return MediaFile(1, 0, width, height)
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        frames = sum(1 for _ in container.decode(stream))
        return MediaFile(frames, float(stream.average_rate), stream.width, stream.height)


def text_beside(path: Path) -> str:
    return path.with_suffix(".txt").read_text(encoding="utf-8").strip()


def ints(values: Any) -> tuple[int, ...]:
    return tuple(int(value) for value in values)


def options_of(path: Path) -> dict[str, str]:
    """Options, one a line, as a shell would hand them on."""
    lines = [line for line in path.read_text().splitlines() if line.startswith("--")]
    return {line[2:].partition(" ")[0]: line.partition(" ")[2].strip('"') for line in lines}


def diffusion_pipe(out: Path, framerate: int, round_to: int) -> Iterator[Sample]:
    """utils/dataset.py: `_metadata_map_fn`; models/base.py: PreprocessMediaFile."""
    config = tomllib.loads((out / "dataset.toml").read_text())
    buckets = sorted({1, *config.get("frame_buckets", [1])})
    for directory in config["directory"]:
        for path in sorted((out / directory["path"]).glob("*")):
            if path.suffix in (".txt", ".npz", ".json", ".parquet", ".bak", ".db"):
                continue
            media = opened(path)
            if not path.with_suffix(".txt").exists():
                continue
            frames = int(media.frames * framerate / media.fps) if media.fps else 1
            fitting = [n for n in buckets if n <= frames]
            if not fitting or (frames > 1 and fitting[-1] == 1):
                continue
            ars = sorted({round(w / h, 3) for w, h in config["ar_buckets"]})
            log_ar = np.log(media.width / media.height)
            ar = ars[int(np.argmin(np.abs(log_ar - np.log(ars))))]
            ((width, height),) = config["resolutions"]
            across = math.sqrt(width * height * ar)
            size = [int(round(x / round_to) * round_to) for x in (across, width * height / across)]
            read = torch.linspace(0, media.frames - 1, frames).to(torch.int32)[: fitting[-1]]
            fps = framerate if media.fps else None
            yield Sample(path.stem, text_beside(path), ints(read), fps, (size[0], size[1]))


def musubi(out: Path, target_fps: float) -> Iterator[Sample]:
    """dataset/media_utils.py: load_video; image_video_dataset.py: VideoDataset; bucket.py."""
    config = tomllib.loads((out / "dataset.toml").read_text())
    for dataset in config["datasets"]:
        if "video_directory" not in dataset:
            continue
        source_fps = dataset.get("source_fps")
        assert source_fps is None or isinstance(source_fps, float)  # its schema: float only
        assert dataset["cache_directory"]
        targets = sorted({(n - 1) // 4 * 4 + 1 for n in dataset["target_frames"]})
        for path in sorted((out / dataset["video_directory"]).glob("*.mp4")):
            media = opened(path)
            kept, position, previous = [], 0.0, -1
            for n in range(media.frames):
                slot = n if source_fps is None else int(position)
                position += target_fps / source_fps if source_fps else 0
                if slot == previous:
                    continue
                previous = slot
                if slot >= max(targets):
                    break
                kept.append(n)
            for target in targets:
                if len(kept) >= target:
                    size = musubi_size(dataset["resolution"], media)
                    caption = text_beside(path)
                    yield Sample(path.stem, caption, tuple(kept[:target]), target_fps, size)


def musubi_size(resolution: list[int], media: MediaFile) -> tuple[int, int]:
    area = resolution[0] * resolution[1]
    root = int(math.sqrt(area))
    sizes = []
    for width in range(root // 2 // 16 * 16, root + 16, 16):
        height = area // width - (area // width) % 16
        sizes += [(width, height), (height, width)]
    sizes = sorted(set(sizes))
    errors = np.abs(np.array([w / h for w, h in sizes]) - media.width / media.height)
    return sizes[int(errors.argmin())]


def ai_toolkit(out: Path, temporal_compression: int, divisibility: int) -> Iterator[Sample]:
    """toolkit/dataloader_mixins.py: get_auto_frame_count, load_and_process_video; buckets.py."""
    for entry in yaml.safe_load((out / "datasets.yaml").read_text())["datasets"]:
        if entry["num_frames"] == 1:
            continue
        for path in sorted((out / entry["folder_path"]).glob("*.mp4")):
            yield ai_toolkit_sample(path, entry, temporal_compression, divisibility)


def ai_toolkit_sample(
    path: Path, entry: dict[str, Any], temporal_compression: int, divisibility: int
) -> Sample:
    capture = cv2.VideoCapture(str(path))
    total = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
    fps = capture.get(cv2.CAP_PROP_FPS)
    count, start = entry["num_frames"], 0
    if entry.get("auto_frame_count", False) and entry.get("trim_auto_frame_count_tail", True):
        count = int(total / fps * entry["fps"])
        count = max(0, count - 1) // temporal_compression * temporal_compression + 1
        ratio = fps / entry["fps"]
        frames = [min(round(i * ratio), total - 1) for i in range(count)]
    elif entry.get("shrink_video_to_frames", True) or total < count:
        frames = [round(i * (total - 1) / (count - 1)) for i in range(count)]
    else:
        step = max(1, round(fps / entry.get("fps", 24)))
        start = total - 1 - (count - 1) * step
        frames = [i * step for i in range(count)]
    (side,) = entry["resolution"]
    size = ai_toolkit_size(opened(path), side, divisibility)
    return Sample(path.stem, text_beside(path), tuple(frames), entry.get("fps", 24), size, start)


def ai_toolkit_size(media: MediaFile, side: int, divisibility: int) -> tuple[int, int]:
    total, limit = media.width * media.height, side * side
    target = min(total, limit)
    scale = (target / total) ** 0.5
    w, h = media.width * scale / divisibility, media.height * scale / divisibility
    options = [
        (a(w) * divisibility, b(h) * divisibility)
        for a in (math.floor, math.ceil)
        for b in (math.floor, math.ceil)
    ]
    fitting = [s for s in options if s[0] > 0 and s[1] > 0 and s[0] * s[1] <= limit]
    return min(fitting, key=lambda s: abs(s[0] * s[1] - target))


def simpletuner(out: Path, framerate: int) -> Iterator[Sample]:
    """metadata/backends/discovery.py, caching/vae.py; Wan and LTX: `adjust_video_frames` 8n+1."""
    videos, texts = json.loads((out / "multidatabackend.json").read_text())
    assert texts["dataset_type"] == "text_embeds"
    assert texts["default"]
    settings = videos["video"]
    assert settings["min_frames"] >= settings["num_frames"]  # its factory raises otherwise
    for path in sorted((out / videos["instance_data_dir"]).glob("*.mp4")):
        media = opened(path)
        adjusted = max(1, (media.frames - 1) // 8 * 8 + 1)
        if adjusted < settings["min_frames"]:
            continue
        (caption,) = text_beside(path).splitlines()
        frames = tuple(range(adjusted))[: settings["num_frames"]]
        size = simpletuner_size(media, videos["resolution"])
        yield Sample(path.stem, caption, frames, framerate, size)


def simpletuner_size(media: MediaFile, resolution: int) -> tuple[int, int]:
    edge = max(64, round(int(math.sqrt(resolution**2)) / 64) * 64)
    aspect = round(media.width / media.height, 2)
    return tuple(max(64, round(x / 64) * 64) for x in (edge * aspect**0.5, edge / aspect**0.5))  # type: ignore[return-value]


def diffsynth(out: Path, *, factor: int, frame_rate: int | None, plays: int) -> Iterator[Sample]:
    """diffsynth/core/data/operators.py: FrameSamplerByRateMixin; unified_dataset.py."""
    options = options_of(out / "train_options.txt")
    with (out / options["dataset_metadata_path"]).open(newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        path = out / options["dataset_base_path"] / row[options["data_file_keys"]]
        media = opened(path)
        count, available = int(options["num_frames"]), media.frames
        if frame_rate:
            assert float(options["frame_rate"]) == frame_rate
            available = math.floor(round(media.frames / media.fps, 2) * frame_rate)
        if available < count:
            count = available
            while count > 1 and count % factor != 1:
                count -= 1
        frames = list(range(count))
        if frame_rate:
            frames = [min(round(n / frame_rate * media.fps), media.frames - 1) for n in frames]
        size = int(options["width"]), int(options["height"])
        yield Sample(path.stem, row["prompt"], tuple(frames), plays, size)


def ltx_trainer(out: Path) -> Iterator[Sample]:
    """ltx-trainer/scripts/process_videos.py: `_get_resolution_bucket_for_item`."""
    text = options_of(out / "process_options.txt")["resolution-buckets"]
    buckets = [tuple(map(int, bucket.split("x"))) for bucket in text.split(";")]
    assert all(w % 32 == h % 32 == 0 and n % 8 == 1 for w, h, n in buckets)
    rows = json.loads((out / "dataset.json").read_text())
    for row in rows:
        media = opened(out / row["video"])
        fitting = [bucket for bucket in buckets if bucket[2] <= media.frames]
        if not fitting:
            raise ValueError(f"No resolution buckets have <= {media.frames} frames")
        aspect = math.log(media.width / media.height)
        width, height, count = min(
            fitting, key=lambda b: (abs(aspect - math.log(b[0] / b[1])), -b[2], -b[0] * b[1])
        )
        name = Path(row["video"]).stem
        yield Sample(name, row["caption"], tuple(range(count)), media.fps, (width, height))


def fastvideo(out: Path) -> Iterator[Sample]:
    """workflow/preprocess/components.py: validator; pipelines/preprocess/preprocess_stages.py."""
    options = {
        k.removeprefix("preprocess."): v
        for k, v in options_of(out / "preprocess_options.txt").items()
    }
    count, rate = int(options["num_frames"]), int(options["train_fps"])
    tolerance = float(options["video_length_tolerance_range"])
    for item in json.loads((out / "videos2caption.json").read_text()):
        if not item["cap"] or item["fps"] <= 0 or item["num_frames"] <= 0:
            continue
        assert {"height", "width"} <= set(item["resolution"])
        if item["num_frames"] / item["fps"] > tolerance * (count / rate):
            continue
        path = out / "videos" / item["path"]
        frames = np.arange(0, item["num_frames"], item["fps"] / rate).astype(int)[:count]
        assert frames[-1] < opened(path).frames
        size = int(options["max_width"]), int(options["max_height"])
        yield Sample(path.stem, item["cap"], ints(frames), rate, size)


def opensora2(out: Path) -> Iterator[Sample]:
    """opensora/datasets/bucket.py: get_bucket_id; utils.py: map_target_fps and others."""
    config: dict[str, Any] = {}
    exec((out / "data_config.py").read_text(), config)  # mmengine does the same
    limit = config["dataset"]["fps_max"]
    ((resolution, buckets),) = config["bucket_config"].items()
    pixels = int(resolution.removesuffix("px")) ** 2
    with (out / config["dataset"]["data_path"]).open(newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        media, fps = opened(out / row["path"]), float(row["fps"])
        interval = 1 if fps < limit else math.ceil(fps / limit)
        new_fps = fps if fps < limit else math.floor(fps / interval)
        if int(row["height"]) * int(row["width"]) < pixels * 0.8:
            continue
        length = int(row["num_frames"]) // interval
        fitting = [n for n in sorted(buckets, reverse=True) if n <= length and n != 1]
        if not fitting:
            continue
        window = fitting[0] * interval
        frames = np.linspace(0, window - 1, fitting[0], dtype=int)
        size = opensora2_size(media, pixels)
        name, last = Path(row["path"]).stem, media.frames - window
        yield Sample(name, row["text"], ints(frames), new_fps, size, last)


def opensora2_size(media: MediaFile, pixels: int) -> tuple[int, int]:
    """aspect.py: get_aspect_ratios_dict, get_closest_ratio; height / width by name."""
    sizes: dict[str, tuple[int, int]] = {}
    upright: dict[str, tuple[int, int]] = {}
    for name in ("2.39:1", "2:1", "16:9", "1.85:1", "9:16", "5:8", "3:2", "4:3", "1:1"):
        w, h = map(float, name.split(":"))
        width = int(math.sqrt(pixels * (w / h)) // 16) * 16
        height = int((pixels / width) // 16) * 16
        best = abs(height * width - pixels)
        for h2, w2 in [
            (height - 16, width),
            (height + 16, width),
            (height, width - 16),
            (height, width + 16),
        ]:
            if abs(h2 * w2 - pixels) < best:
                height, width, best = h2, w2, abs(h2 * w2 - pixels)
        if (height, width) not in sizes.values():
            sizes[name] = (height, width)
            upright[":".join(name.split(":")[::-1])] = (width, height)
    sizes.update(upright)

    def distance(name: str) -> float:
        w, h = map(float, name.split(":"))
        return abs(media.height / media.width - h / w)

    height, width = sizes[min(sizes, key=distance)]
    return width, height


def videox_fun(out: Path, factor: int, plays: int) -> Iterator[Sample]:
    """videox_fun/data/dataset_image_video.py: get_batch; collate_fn of scripts/*/train_lora.py."""
    options = options_of(out / "train_options.txt")
    count, stride = int(options["video_sample_n_frames"]), int(options["video_sample_stride"])
    for item in json.loads((out / options["train_data_meta"]).read_text()):
        if item.get("type", "image") != "video":
            continue
        path = out / options["train_data_dir"] / item["file_path"]
        media = opened(path)
        kept = min(count, int(media.frames * 1.0 // stride))
        window = min(media.frames, (kept - 1) * stride + 1)
        frames = np.linspace(0, window - 1, kept, dtype=int)[: (kept - 1) // factor * factor + 1]
        size, last = (media.width, media.height), media.frames - window
        yield Sample(path.stem, item["text"], ints(frames), plays, size, last)


def cosmos(out: Path) -> Iterator[Sample]:
    """cosmos_predict2/_src/predict2/datasets/local_datasets/dataset_video.py: VideoDataset."""
    config: dict[str, Any] = {}
    exec((out / "dataset_config.py").read_text(), config)
    count, (height, width) = config["dataset"]["num_frames"], config["dataset"]["video_size"]
    for path in sorted((out / "videos").glob("*.mp4")):
        media = opened(path)
        np.random.randint(0, media.frames - count)  # fails for an empty range, as there
        caption = (out / "metas" / f"{path.stem}.txt").read_text().strip()
        last = media.frames - count - 1
        yield Sample(path.stem, caption, tuple(range(count)), media.fps, (width, height), last)


def finetrainers(out: Path, plays: int) -> Iterator[Sample]:
    """finetrainers/functional/video.py: find_nearest_video_resolution; data/dataset.py: pairs."""
    (dataset,) = json.loads((out / "training.json").read_text())["datasets"]
    buckets = dataset["video_resolution_buckets"]
    for text in sorted((out / dataset["data_root"]).glob("*.txt")):
        path = text.with_suffix(".mp4")
        media = opened(path)
        fitting = [b for b in buckets if b[0] <= media.frames]
        count = max(fitting, key=lambda b: b[0])[0]
        _, height, width = min(
            (b for b in buckets if b[0] == count),
            key=lambda b: (abs(b[2] / b[1] - media.width / media.height), (-b[1], -b[2])),
        )
        read = torch.linspace(0, media.frames - 1, count).long()
        frames = ints(read) if media.frames > count else tuple(range(media.frames))
        yield Sample(path.stem, text_beside(path), frames, plays, (width, height))


def nemo(out: Path, plays: int) -> Iterator[Sample]:
    """The page 'Diffusion Dataset Preparation': meta.json in the video folder."""
    options = options_of(out / "prepare_options.txt")
    folder = out / options["video_folder"]
    for item in json.loads((folder / "meta.json").read_text()):
        media = opened(folder / item["file_name"])
        assert item["end_frame"] <= media.frames
        assert (item["width"], item["height"]) == (media.width, media.height)
        frames = tuple(range(item["start_frame"], item["end_frame"]))
        size = int(options["width"]), int(options["height"])
        yield Sample(Path(item["file_name"]).stem, item["vila_caption"], frames, plays, size)


def folder(out: Path) -> Iterator[Sample]:
    """`datasets`' VideoFolder: metadata.jsonl with file_name; and the text beside each file."""
    for line in (out / "metadata.jsonl").read_text().splitlines():
        row = json.loads(line)
        path = out / row["file_name"]
        media = opened(path)
        assert (row["num_frames"], row["width"]) == (media.frames, media.width)
        assert text_beside(path) == row["caption"]
        frames, size = tuple(range(media.frames)), (media.width, media.height)
        yield Sample(path.stem, row["caption"], frames, media.fps or None, size)


def webdataset(out: Path) -> Iterator[Sample]:
    """Members of the tars, grouped by key: .mp4 or .jpg, .txt, .json."""
    for shard in json.loads((out / "shards.json").read_text())["shards"]:
        with tarfile.open(out / shard) as tar:
            parts: dict[str, dict[str, bytes]] = {}
            for member in tar.getmembers():
                stem, _, suffix = member.name.partition(".")
                parts.setdefault(stem, {})[suffix] = tar.extractfile(member).read()  # type: ignore[union-attr]
        for stem, part in parts.items():
            facts = json.loads(part["json"])
            with av.open(io.BytesIO(part["mp4"])) as container:
                frames = tuple(range(sum(1 for _ in container.decode(video=0))))
            assert facts["num_frames"] == len(frames)
            size = facts["width"], facts["height"]
            yield Sample(stem, part["txt"].decode(), frames, facts["fps"], size)


def opensora(out: Path) -> Iterator[Sample]:
    """Open-Sora 1.x: the CSV of absolute paths."""
    with (out / "opensora.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            media = opened(Path(row["path"]))
            size = int(row["width"]), int(row["height"])
            frames = tuple(range(media.frames))
            yield Sample(Path(row["path"]).stem, row["text"], frames, float(row["fps"]), size)


READERS: dict[tuple[str, str], Callable[[Path], Iterator[Sample]]] = {
    ("diffusion-pipe", "wan2.1"): lambda out: diffusion_pipe(out, 16, 16),
    ("diffusion-pipe", "ltx-2"): lambda out: diffusion_pipe(out, 24, 32),
    ("musubi-tuner", "wan2.1"): lambda out: musubi(out, 16),
    ("musubi-tuner", "hunyuanvideo-1.5"): lambda out: musubi(out, 24),
    ("ai-toolkit", "wan2.1"): lambda out: ai_toolkit(out, 4, 16),
    ("ai-toolkit", "ltx-2"): lambda out: ai_toolkit(out, 8, 32),
    ("simpletuner", "wan2.1"): lambda out: simpletuner(out, 16),
    ("diffsynth", "wan2.1"): lambda out: diffsynth(out, factor=4, frame_rate=None, plays=16),
    ("diffsynth", "ltx-2"): lambda out: diffsynth(out, factor=8, frame_rate=24, plays=24),
    ("ltx-trainer", "ltx-2"): ltx_trainer,
    ("fastvideo", "wan2.1"): fastvideo,
    ("opensora2", "opensora2"): opensora2,
    ("videox-fun", "wan2.1"): lambda out: videox_fun(out, 4, 16),
    ("cosmos-predict2.5", "cosmos-predict2.5"): cosmos,
    ("finetrainers", "wan2.1"): lambda out: finetrainers(out, 16),
    ("nemo", "wan2.1"): lambda out: nemo(out, 16),
    ("folder", "wan2.1"): folder,
    ("webdataset", "wan2.1"): webdataset,
    ("opensora", "wan2.1"): opensora,
}
"""Readers by trainer and model, with the numbers of that model in that trainer."""

SAFE_PATH = re.compile(r"[A-Za-z0-9_./-]+")


def assert_safe_names(out: Path) -> None:
    """All names below a folder are ASCII, without blanks."""
    for path in out.rglob("*"):
        assert SAFE_PATH.fullmatch(path.relative_to(out).as_posix()), path
