"""What was made by the code of e0d18c8 goes on: nothing is asked, cut or encoded a second time.

`kit/legacy/make_legacy.py` says what lies in the fixtures, and made them with that commit. A name
that enters a digest or a stored file may be changed in the code only if these tests still pass.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import sqlite3
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from brickfilm import FolderSource, Keep, SceneSplitter
from brickfilm.build.build_dataset import BuildResult, build
from brickfilm.build.shot_detector import with_kept_detector
from brickfilm.captions.audit import audit_rates
from brickfilm.captions.prompts import builtin_prompts, load_prompt
from brickfilm.dataset.reader import find_dataset
from brickfilm.detectors import Adaptive, Content, HoldAware
from brickfilm.digest import without_digest
from brickfilm.engine.ledger import Ledger, spend_frame
from brickfilm.engine.pipeline import Pipeline
from brickfilm.hub.materialize.cutter import ClipCutter
from brickfilm.measures import Cadence, Freeze, Motion, Sharpness
from brickfilm.scan.held_frames import FrameDifference
from brickfilm.scan.timestamps import TimestampAnalyzer
from brickfilm.sources.base.lock import SourcesLock
from brickfilm.sources.folder import Probe
from brickfilm.sources.youtube.fetch import FetchVideo
from brickfilm.sources.youtube.playlists import ListVideos
from brickfilm.sources.youtube.refetch import RefetchVideo
from brickfilm.stages import (
    CaptionAudit,
    ClipWriter,
    FrameSampler,
    GPT4oCaptioner,
    RefusalFilter,
    SidecarCaptioner,
)
from finetune.config import Recipe, load_recipe
from finetune.data.cache import LOCK_FILE, build_cache, verify
from finetune.data.cache_layout import index_folder
from finetune.data.encoders import load_text_encoder, load_vae
from finetune.data.index import Index
from finetune.sampling.sources import find_model
from finetune.training.loop import train
from tests.kit import ROOT
from tests.kit.servers.openai import CaptionServer
from tests.kit.servers.openai_batches import Batch
from tests.kit.youtube import youtube_source

LEGACY = ROOT / "tests/kit/legacy"
EXPECTED: Mapping[str, Any] = json.loads((LEGACY / "expected.json").read_text("utf-8"))
MEDIA = {"clips": "video", "images": "image"}
ARTEFACTS = ("clips", "stills", "sources", "dataset", "sources.lock.json", "tombstones.jsonl")

RECIPE = """
dataset = "dataset"
out = "run"
cache = "cache"
steps = 8
frame_interval = 2
vae = "tiny-random"
text_encoder = "tiny-random"
text_tokens = 16
latents = "cached"
cache_dtype = "float16"
workers = 0
threads = 1
engine = "torch"
strategy = "ddp"
device = "cpu"
precision = "float32"
network = { depth = 1, hidden_size = 12, num_heads = 2, caption_channels = 16 }
schedule = { kind = "cosine_then_constant", peak = 1e-2, warmup = 6 }
optimizer = { ema = 0.9 }
loss_spikes = { warmup_steps = 2 }
checkpoints = { every = 2, keep_last = 0 }
validation = { every = 100, loss_batches = 0 }
log = { to = "none" }
[[buckets]]
resolution = "144p"
frames = 3
batch_size = 2
micro_batch_size = 1
activation_checkpointing = 1
[[buckets]]
resolution = "144p"
frames = 1
batch_size = 2
"""
"""The recipe of the training, in today's keys; the checkpoint holds the keys of its day."""


# -- the stages, as they were asked for ----------------------------------------------------------


def asked_source(root: Path) -> FolderSource:
    return FolderSource(root / "films", licence="CC BY 4.0", uploader="the makers")


def asked_stages(url: str) -> tuple[Any, ...]:
    asks = GPT4oCaptioner(base_url=url)
    cut = (SceneSplitter(), Keep("num_frames", at_least=26), ClipWriter(), FrameSampler())
    return (*cut, asks, RefusalFilter(), CaptionAudit(asks))


def lines_stages() -> tuple[Any, ...]:
    return (
        SceneSplitter(min_frames=18, max_frames=30, detector="content", measures=(Motion(),)),
        ClipWriter(crf=20, max_height=64, keyframes=(0.5,)),
        FrameSampler(at=(0.5,), images=False),
        SidecarCaptioner(),
        RefusalFilter(),
        CaptionAudit(),
    )


def job_stages(url: str) -> tuple[Any, ...]:
    longest = Keep("num_frames", at_least=36)
    asks = GPT4oCaptioner(base_url=url, mode="batch", poll_seconds=0.02)
    return SceneSplitter(), longest, ClipWriter(crf=24), FrameSampler(), asks, RefusalFilter()


def tube_stages() -> tuple[Any, ...]:
    return SceneSplitter(min_frames=5, detector="adaptive"), ClipWriter(), FrameSampler(at=(0.5,))


def all_parts() -> dict[str, Any]:
    """Everything with a digest, under the words that expected.json has for it."""
    return {
        "Probe()": Probe(),
        "ListFilms()": ListVideos(),
        "ListFilms(as_of='2026')": ListVideos(as_of="2026"),
        "FetchFilm(max_height=720)": FetchVideo(max_height=720),
        "FetchFilm(360, keep, cc)": FetchVideo(
            max_height=360, on_low_resolution="keep", licence="cc"
        ),
        "RefetchFilm(max_height=720)": RefetchVideo(max_height=720, lock=SourcesLock()),
        "Timeline()": TimestampAnalyzer(),
        "Drawings()": FrameDifference(),
        "HoldAware()": HoldAware(),
        "Adaptive()": Adaptive(),
        "Content()": Content(),
        "Motion()": Motion(),
        "Freeze()": Freeze(),
        "Sharpness()": Sharpness(),
        "Cadence()": Cadence(),
        "SceneSplitter()": SceneSplitter(),
        "SceneSplitter(30, 90, 'adaptive')": SceneSplitter(
            min_frames=30, max_frames=90, detector="adaptive"
        ),
        "Keep('height', at_least=360)": Keep("height", at_least=360),
        "ClipWriter()": ClipWriter(),
        "ClipWriter(crf=23, max_height=480)": ClipWriter(crf=23, max_height=480),
        "ClipWriter(sound=True)": ClipWriter(sound=True),
        "FrameSampler()": FrameSampler(),
        "FrameSampler((0.5,), images=False)": FrameSampler(at=(0.5,), images=False),
        "GPT4oCaptioner()": GPT4oCaptioner(),
        "GPT4oCaptioner(all)": GPT4oCaptioner(
            model="gpt-4o-mini",
            image_size=768,
            image_quality=90,
            detail="low",
            max_tokens=500,
            temperature=0.5,
            reasoning_effort="low",
        ),
        "SidecarCaptioner()": SidecarCaptioner(),
        "SidecarCaptioner(('.srt',))": SidecarCaptioner(suffixes=(".srt",)),
        "CaptionAudit()": CaptionAudit(),
        "CaptionAudit(rules=('toy',))": CaptionAudit(rules=("toy",)),
        "CaptionAudit(GPT4oCaptioner())": CaptionAudit(GPT4oCaptioner()),
        "RefusalFilter()": RefusalFilter(),
    }


# -- a fixture on this machine -------------------------------------------------------------------


def moved(name: str, root: Path) -> Path:
    """A work folder of old, copied into `root` with its film; gives the work folder.

    Its ledger is as if it had been built there: `Probe` knows a film by path, size and time.
    """
    shutil.copytree(LEGACY / "films", root / "films")
    for film in (root / "films").glob("*.mp4"):
        os.utime(film, ns=(EXPECTED["mtime_ns"],) * 2)
    work = Path(shutil.copytree(LEGACY / name, root / name))
    change(work, "UPDATE answers SET key = replace(key, ?, ?)", EXPECTED["root"], str(root))
    return work


def change(work: Path, statement: str, *values: str) -> None:
    db = sqlite3.connect(work / "ledger.sqlite", isolation_level=None)
    db.execute(statement, values)
    db.close()


def held(work: Path, query: str) -> list[tuple[Any, ...]]:
    db = sqlite3.connect(work / "ledger.sqlite")
    try:
        return db.execute(query).fetchall()
    finally:
        db.close()


def answers(work: Path) -> set[tuple[Any, ...]]:
    """Every answer with the time it was given: one that was asked for anew differs."""
    return set(held(work, "SELECT part, key, answer, seconds, at, item FROM answers"))


def files(folder: Path, names: Sequence[str] = ARTEFACTS) -> dict[str, tuple[int, int, str]]:
    """Inode, time of change and sha256 of every file below these names."""
    found = [p for name in names for p in (folder / name, *(folder / name).rglob("*"))]
    return {str(p.relative_to(folder)): mark(p) for p in found if p.is_file()}


def mark(path: Path) -> tuple[int, int, str]:
    stat = path.stat()
    return stat.st_ino, stat.st_mtime_ns, hashlib.sha256(path.read_bytes()).hexdigest()


def rows(built: BuildResult, config: str) -> list[dict[str, Any]]:
    found = [
        {"split": split, **row}
        for split, table in built.dataset[config].items()
        for row in table.remove_columns(MEDIA[config])
    ]
    return sorted(found, key=lambda row: row["id"])


def check_result(built: BuildResult, expected: Mapping[str, Any]) -> None:
    """The same rows, outcomes and files as the old code came to."""
    for config in MEDIA:
        assert rows(built, config) == expected["rows"][config]
    outcomes = sorted([o.item, o.status, o.reason] for o in built.item_results)
    assert outcomes == expected["outcomes"]
    assert built.exit_code == expected["exit_code"]
    now = files(built.dataset.work, ("clips", "stills", "sources"))
    assert {name: sha256 for name, (_, _, sha256) in now.items()} == expected["artefacts"]


def check_untouched(work: Path, source: Any, stages: Sequence[Any], expected: Any) -> None:
    """Build again: nothing is answered, written or paid for, and the same comes out."""
    kept = with_kept_detector(stages, work)
    parts = [part.digest for part in Pipeline.from_stages(source, kept).parts()]
    assert parts == [digest for _, digest in expected["parts"]]
    before = answers(work), held(work, "SELECT digest FROM parts"), intents(work), files(work)
    built = build(source, stages, workdir=work)
    after = answers(work), held(work, "SELECT digest FROM parts"), intents(work), files(work)
    assert after == before
    check_result(built, expected)


def intents(work: Path) -> list[tuple[Any, ...]]:
    return held(work, "SELECT * FROM intents ORDER BY id")


def check_money(work: Path, asks: GPT4oCaptioner, expected: Mapping[str, Any]) -> None:
    """What was spent counts against the budget, under whatever name it was spent."""
    with Ledger(work) as ledger:
        spent = sum(ledger.spent(name) for name in asks.budget_group)
    assert spent == pytest.approx(sum(expected["spent"].values()))
    assert spent > 0
    names = ("model", "requests", "input_tokens", "output_tokens", "settled", "unsettled")
    found = [{name: row[name] for name in names} for row in spend_frame(work).to_dict("records")]
    wanted = [{name: row[name] for name in names} for row in expected["spend"]]
    for rows_of in (found, wanted):
        rows_of.sort(key=lambda row: row["requests"])
    for row, other in zip(found, wanted, strict=True):
        assert row == pytest.approx(other)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[CaptionServer]:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-none")
    with CaptionServer() as running:
        yield running


# -- work folders ----------------------------------------------------------------------------------


@pytest.mark.parametrize("words", list(all_parts()))
def test_a_digest_of_old_is_the_digest(words: str) -> None:
    assert all_parts()[words].digest == EXPECTED["digests"][words]


def test_the_digests_of_prompts_are_those_of_old() -> None:
    known = EXPECTED["digests"].items() - {(w, p.digest) for w, p in all_parts().items()}
    prompts = {(f"{n} {s}", load_prompt(n, s).digest) for n in builtin_prompts() for s in MEDIA}
    assert prompts == known


def test_an_old_work_folder_costs_no_request(server: CaptionServer, tmp_path: Path) -> None:
    work, expected = moved("asked", tmp_path), EXPECTED["asked"]
    stages = asked_stages(server.url)
    check_untouched(work, asked_source(tmp_path), stages, expected)
    assert (server.requests, server.invalid, server.answered) == ([], [], 0)
    check_money(work, stages[4], expected)
    rates = audit_rates(work)
    assert rates is not None
    rules = [{"rule": r["rule"], "first": r["first"]} for r in expected["audit"]["rules"]]
    assert json.loads(json.dumps(asdict(rates))) == {**expected["audit"], "rules": rules}


def test_old_captions_from_files_are_not_read_again(tmp_path: Path) -> None:
    work, expected = moved("lines", tmp_path), EXPECTED["lines"]
    check_untouched(work, FolderSource(tmp_path / "films"), lines_stages(), expected)
    assert any(reason == "removed on request" for *_, reason in expected["outcomes"])


@pytest.mark.parametrize("id_is_known", [True, False])
def test_an_old_job_is_collected_and_not_sent_again(
    server: CaptionServer, tmp_path: Path, id_is_known: bool
) -> None:
    work, expected = moved("job", tmp_path), EXPECTED["job"]
    job = Batch(**expected["batch"])
    server.batches.jobs[job.id] = job
    server.batches.files[job.file] = (LEGACY / "job" / "requests.jsonl").read_bytes()
    server.batches.uploads.append(job.file)
    if not id_is_known:  # the old process was killed before the service had told it
        change(work, "UPDATE jobs SET id = NULL")
    before, written = answers(work), files(work, ("clips", "stills"))
    stages = job_stages(server.url)
    built = build(FolderSource(tmp_path / "films"), stages, workdir=work)
    assert (list(server.batches.jobs), len(server.batches.uploads)) == ([job.id], 2)
    assert (
        len(server.requests) == len(answers(work) - before) == job.total
    )  # the job's own questions
    assert before < answers(work)
    assert files(work, ("clips", "stills")) == written
    check_result(built, expected)
    check_money(work, stages[4], expected)


def test_old_films_that_were_deleted_are_not_fetched_again(tmp_path: Path) -> None:
    """The site they came from is gone: whoever asks it fails."""
    work, expected = moved("tube", tmp_path), EXPECTED["tube"]
    source = youtube_source([expected["entry"]], keep_sources=False)
    check_untouched(work, source, tube_stages(), expected)
    assert [asdict(film) for film in SourcesLock.read(work).videos] == expected["lock"]


@pytest.mark.parametrize("name", ["asked", "lines", "tube"])
def test_an_old_dataset_reads_as_before(name: str) -> None:
    saved = find_dataset(LEGACY / name / "dataset")
    for config, media in MEDIA.items():
        found = []
        for split in saved.splits(config):
            for table in saved.iter_tables(config, split):
                found += [{"split": split, **row} for row in table.to_pylist()]
        for row in found:
            content = saved.read_media(row.pop(media))
            assert content is not None
            assert hashlib.sha256(content).hexdigest() == row["sha256"]
        assert sorted(found, key=lambda row: row["id"]) == EXPECTED[name]["rows"][config]


def test_an_old_plan_says_how_the_clips_were_cut(tmp_path: Path) -> None:
    work = moved("lines", tmp_path)
    cutter = ClipCutter.from_dataset(find_dataset(work / "dataset"), tmp_path / "out")
    assert cutter.writer.digest == dict(EXPECTED["lines"]["parts"])["ClipWriter"]


# -- caches and checkpoints ------------------------------------------------------------------------


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Recipe:
    """The training of old, copied; its paths are relative, its table's time is told."""
    folder = shutil.copytree(LEGACY / "training", tmp_path / "training")
    for table in Path(folder, "dataset").rglob("*.parquet"):
        os.utime(table, ns=(EXPECTED["mtime_ns"],) * 2)
    monkeypatch.chdir(folder)
    Path("recipe.toml").write_text(RECIPE)
    return load_recipe("recipe.toml")


def losses(out: str) -> list[float]:
    lines = (Path(out) / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line)["loss"] for line in lines]


def kinds(checkpoint: Path) -> dict[str, str]:
    """A digest of every kind of tensor that a checkpoint holds, names included."""
    found: dict[str, str] = {}
    for kind in ("model", "ema", "exp_avg", "exp_avg_sq"):
        digest = hashlib.sha256()
        for file in sorted((checkpoint / kind).glob("*.safetensors")):
            for name, tensor in sorted(load_file(file).items()):
                digest.update(name.encode() + tensor.numpy().tobytes())
        found[kind] = digest.hexdigest()
    return found


def machine() -> dict[str, str]:
    """What the last bit of a loss depends on."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    model = next((line.partition(":")[2].strip() for line in lines if "model name" in line), "")
    capability = torch.backends.cpu.get_cpu_capability()
    return {
        "torch": torch.__version__,
        "capability": capability,
        "cpu": model or platform.processor(),
    }


def is_exact() -> bool:
    """Whether this machine sums as the one that made the fixtures; elsewhere bits may differ."""
    made_on = EXPECTED["training"]["made_on"]
    if machine() != made_on:
        warnings.warn(f"not to the bit: made on {made_on}, this is {machine()}", stacklevel=2)
    return machine() == made_on


def test_an_old_cache_encodes_nothing(recipe: Recipe) -> None:
    expected, before = EXPECTED["training"], files(Path("cache"), [""])
    assert before
    made = build_cache(recipe)
    assert (made.clips, made.captions, made.failures) == (0, 0, [])
    after = files(Path("cache"), [""])
    after.pop(LOCK_FILE)
    assert {n: sha256 for n, (*_, sha256) in after.items()} == {
        n: sha256 for n, (*_, sha256) in before.items()
    }
    kept = [name for name in before if name.endswith(".safetensors") or "index-" in name]
    assert [after[name] for name in kept] == [before[name] for name in kept]
    assert verify(recipe) == 10
    index, cpu = Index.open(index_folder(recipe)), torch.device("cpu")
    assert index.fingerprint == expected["fingerprint"]
    assert load_vae(recipe, cpu).digest == expected["vae"]
    assert load_text_encoder(recipe, index, cpu).digest == expected["text"]


def test_an_old_run_resumes_bit_for_bit(recipe: Recipe) -> None:
    expected = EXPECTED["training"]
    start, end = Path("run/step-00000004"), Path("run/step-00000008")
    assert kinds(start) == expected["weights_at_4"]
    assert json.loads((start / "manifest.json").read_text())["generation"] == 1
    cache, checkpoint = files(Path("cache"), [""]), files(start, [""])
    assert train(recipe, resume="auto")["steps"] == 8
    assert (files(Path("cache"), [""]), files(start, [""])) == (cache, checkpoint)
    watch = json.loads((end / "manifest.json").read_text())["watch"]  # its means span the resume
    assert list(watch.values()) == pytest.approx(expected["watch_at_8"], rel=1e-4)
    if is_exact():
        assert losses("run") == expected["losses"]
        assert kinds(end) == expected["weights_at_8"]
    else:
        assert losses("run") == pytest.approx(expected["losses"], rel=1e-4)


def test_an_old_checkpoint_begins_a_second_stage(recipe: Recipe) -> None:
    text = RECIPE.replace('out = "run"', 'out = "second"\ninit = "run/step-00000004/ema"')
    Path("second.toml").write_text(text.replace("steps = 8", "steps = 2"))
    stage = load_recipe("second.toml")
    train(replace(stage, steps=1, checkpoints=replace(stage.checkpoints, every=1)))
    keep_old_order(Path("second/step-00000001/manifest.json"))
    train(stage, resume="auto")
    wanted = EXPECTED["training"]["second_stage_losses"]
    assert losses("second") == (wanted if is_exact() else pytest.approx(wanted, rel=1e-4))


def keep_old_order(manifest: Path) -> None:
    """Make a checkpoint one of before 2026-11-30, when a run's order of buckets was not of steps.

    A new run has the new order; a run that began with the old one keeps it.
    """
    content = without_digest(json.loads(manifest.read_text()))
    assert content.pop("position_steps") == 1
    manifest.write_text(json.dumps(content))


def test_an_old_checkpoint_knows_its_recipe(recipe: Recipe) -> None:
    without_warmup = replace(recipe.optimizer, ema_warmup=False)  # which it did not have
    assert find_model("run").recipe == replace(recipe, optimizer=without_warmup)
