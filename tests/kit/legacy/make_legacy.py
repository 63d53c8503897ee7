"""Made the fixtures in this folder, with the code of commit e0d18c8 and no other.

    git worktree add ../old e0d18c8 && cd ../old
    PYTHONPATH=. python make_legacy.py INTO_A_FOLDER

It imports that commit's modules, so it does not run with any later one: it is kept to say where
the bytes come from. Work folders, caches and checkpoints in here must go on under every later
version: 0 requests, 0 cuts, 0 encodes, the same ids and digests, the same losses to the bit.

    films/     the source of three builds: 120 frames in five shots, and captions beside it
    asked/     GPT4oCaptioner, RefusalFilter, CaptionAudit(captioner), all default settings
    lines/     SidecarCaptioner, CaptionAudit(), other settings, and one clip removed on request
    job/       a Batch-API job that was submitted and not collected, and the file it was sent as
    tube/      YouTubeSource with keep_sources=False: the films are gone, their facts are not
    training/  a dataset, its cache, and a run that stands at step 4 of 8, its data changed once
    expected.json   what came of it, in the old code's names

Paths: the ledger's only absolute ones are in the keys of `Probe` (path:bytes:mtime), so ROOT stands
there for the folder that holds `films` and the work folders; who copies the fixtures puts its own
folder back and sets MTIME on the film. A training's paths are relative to `training`.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import sqlite3
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from brickfilm import FolderSource, Keep, SceneSplitter
from brickfilm.build import Built, build
from brickfilm.captions.audit import audit_rates
from brickfilm.captions.prompts import builtin, load
from brickfilm.detectors import Adaptive, Content, HoldAware
from brickfilm.drawings import Drawings
from brickfilm.executors import LocalExecutor
from brickfilm.ledger import Ledger, spend_frame
from brickfilm.measures import Cadence, Freeze, Motion, Sharpness
from brickfilm.pipeline import Pipeline
from brickfilm.removal import Request, remove
from brickfilm.render import BrickFilm, Shot
from brickfilm.sources.folder import Probe
from brickfilm.sources.youtube.fetch import FetchFilm
from brickfilm.sources.youtube.lists import ListFilms
from brickfilm.sources.youtube.lock import Lock
from brickfilm.sources.youtube.refetch import RefetchFilm
from brickfilm.stages import (
    CaptionAudit,
    ClipWriter,
    FrameSampler,
    GPT4oCaptioner,
    RefusalFilter,
    SidecarCaptioner,
)
from brickfilm.timeline import Timeline
from finetune.cache import build_cache
from finetune.config import Recipe, parse_recipe
from finetune.data.index import Index
from finetune.data.stores import index_folder
from finetune.encoders import load_text, load_vae, text_name
from finetune.train import train
from tests.brickfilm.footage import shots_bytes
from tests.brickfilm.tube import tube
from tests.finetune.toyset import Toy, captions, write_dataset
from tests.servers.films import film_site
from tests.servers.openai import Asked, CaptionServer, Reply, answer, described

ROOT = "/legacy"
MTIME = 1_700_000_000 * 10**9
MEDIA = {"clips": "video", "images": "image"}
NOT_KEPT = ("ledger.lock", "report.html", ".lock", "summary.json")

SHOTS = tuple(Shot(frames=frames) for frames in (28, 20, 36, 10, 26))
LINES = """WEBVTT

00:00.000 --> 00:01.100
A man in a red coat walks along the street past a lamp.

00:01.200 --> 00:01.900
It seems that a man stands on the corner of the street.

00:02.000 --> 00:03.400
A woman pushes a cart over the square and stops beside a tree.

00:04.000 --> 00:04.900
A dog runs across the yard and jumps over a small fence.
"""


def script() -> Any:
    """Of clips: a caption, no movement, one to be mended. Of images: a caption, a refusal, one."""
    clips = iter((described, lambda _: answer("no_movement"), hedged))
    images = iter((described, refused, described))

    def reply(asked: Asked) -> Reply:
        if asked.is_correction:
            return described(asked)
        return next(images if asked.about_image else clips)(asked)

    return reply


def hedged(asked: Asked) -> Reply:
    return answer("described", f"A blue car seems to wait at house {asked.digest} under a tree.")


def refused(asked: Asked) -> Reply:
    return answer("described", "I'm sorry, but I can't help with that.")


def captioner(url: str, **settings: Any) -> GPT4oCaptioner:
    return GPT4oCaptioner(base_url=url, concurrency=1, **settings)


def asked_stages(url: str) -> tuple[Any, ...]:
    asks = captioner(url)
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
    asks = captioner(url, mode="batch", poll_seconds=0.02)
    return SceneSplitter(), longest, ClipWriter(crf=24), FrameSampler(), asks, RefusalFilter()


def tube_stages() -> tuple[Any, ...]:
    return SceneSplitter(min_frames=5, detector="adaptive"), ClipWriter(), FrameSampler(at=(0.5,))


# -- what came of a build ------------------------------------------------------------------------


def told(built: Built, stages: tuple[Any, ...], source: Any) -> dict[str, Any]:
    """Everything that must be the same, under the old code's names."""
    work = built.dataset.work
    rates = audit_rates(work)
    with Ledger(work) as ledger:
        spent = {name: ledger.spent(name) for name in ("GPT4oCaptioner", "CaptionAudit")}
    return {
        "parts": [[type(p).__name__, p.digest] for p in Pipeline.of(source, stages).parts()],
        "rows": {config: rows(built, config) for config in MEDIA},
        "artefacts": artefacts(work),
        "outcomes": sorted([o.item, o.outcome, o.reason] for o in built.outcomes),
        "spent": spent,
        "spend": json.loads(spend_frame(work).to_json(orient="records")),
        "audit": asdict(rates) if rates else None,
        "exit_code": built.exit_code,
    }


def rows(built: Built, config: str) -> list[dict[str, Any]]:
    """Without media, whose sha256 each row holds anyway; with the split."""
    found = []
    for split, table in built.dataset[config].items():
        for row in table.remove_columns(MEDIA[config]):
            found.append({"split": split, **row})
    return sorted(found, key=lambda row: row["id"])


def artefacts(work: Path) -> dict[str, str]:
    """sha256 by name, of clips, stills and the sources' sidecars."""
    kinds = ("clips", "stills", "sources")
    files = [p for kind in kinds for p in sorted((work / kind).glob("*")) if p.is_file()]
    return {str(p.relative_to(work)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


@contextmanager
def executor() -> Iterator[LocalExecutor]:
    """One process and its order: the script answers by turns."""
    one = LocalExecutor(processes=1)
    try:
        yield one
    finally:
        one.close()


# -- the builds ----------------------------------------------------------------------------------


def make_films(root: Path) -> None:
    (root / "films").mkdir()
    film = root / "films" / "shots.mp4"
    BrickFilm(seed=3, fps=Fraction(24), size=(128, 72), noise=0.3, shots=SHOTS).render(film)
    film.with_suffix(".vtt").write_text(LINES)
    os.utime(film, ns=(MTIME, MTIME))


def make_asked(root: Path) -> dict[str, Any]:
    source = FolderSource(root / "films", licence="CC BY 4.0", uploader="the makers")
    with CaptionServer(script()) as server, executor() as pool:
        stages = asked_stages(server.url)
        built = build(source, stages, workdir=root / "asked", executor=pool)
        assert len(server.asked) == 7 and not server.invalid
    return told(built, stages, source)


def make_lines(root: Path) -> dict[str, Any]:
    source, stages, work = FolderSource(root / "films"), lines_stages(), root / "lines"
    built = build(source, stages, workdir=work)
    assert built.exit_code == 0
    remove(work, Request("clip", rows(built, "clips")[-1]["id"]))
    built = build(source, stages, workdir=work)
    assert any(o.reason == "removed on request" for o in built.outcomes)
    return told(built, stages, source)


def make_job(root: Path) -> dict[str, Any]:
    """The folder as it is left after the submission; what is expected is of a copy that waited."""
    source, work, after = FolderSource(root / "films"), root / "job", root / "job-after"
    with CaptionServer(polls=2) as server, executor() as pool:
        stages = job_stages(server.url)
        assert build(source, stages, workdir=work, executor=pool, wait=False).exit_code == 3
        (batch,) = server.batches.jobs.values()
        job = asdict(batch)
        (work / "requests.jsonl").write_bytes(server.batches.files[batch.file])
        shutil.copytree(work, after)
        built = build(source, stages, workdir=after, executor=pool)
        assert built.exit_code == 0 and len(server.batches.jobs) == 1
        return {"batch": job, **told(built, stages, source)}


def make_tube(root: Path) -> dict[str, Any]:
    work = root / "tube"
    with film_site() as site:
        for name, lengths in {"ant": (24, 20), "bee": (30,)}.items():
            body = shots_bytes(*lengths, width=128, height=72, block=24, step=2)
            site.add(name, body)
        entry = site.at("/list")
        source, stages = tube([entry], keep_sources=False), tube_stages()
        build(source, stages, workdir=work)
        site.hits.clear()
        built = build(source, stages, workdir=work)
        assert site.hits == [] and not list((work / "sources").glob("*.mp4"))
    lock = [asdict(film) for film in Lock.read(work).films]
    return {"entry": entry, "lock": lock, **told(built, stages, source)}


def without_root(root: Path) -> None:
    """Put ROOT into the keys that hold this machine's folder; nothing else may."""
    for file in sorted(root.glob("*/ledger.sqlite")):
        db = sqlite3.connect(file, isolation_level=None)
        db.execute("PRAGMA journal_mode = DELETE")
        db.execute("UPDATE answers SET key = replace(key, ?, ?)", (str(root), ROOT))
        db.execute("VACUUM")
        db.close()
        assert str(root).encode() not in file.read_bytes()


# -- digests of everything that has one ------------------------------------------------------------


def digests() -> dict[str, str]:
    """By the words of the call; the class names in here are in the digests."""
    asks = GPT4oCaptioner()
    calls: dict[str, Any] = {
        "Probe()": Probe(),
        "ListFilms()": ListFilms(),
        "ListFilms(as_of='2026')": ListFilms(as_of="2026"),
        "FetchFilm(max_height=720)": FetchFilm(max_height=720),
        "FetchFilm(360, keep, cc)": FetchFilm(
            max_height=360, on_low_resolution="keep", licence="cc"
        ),
        "RefetchFilm(max_height=720)": RefetchFilm(max_height=720, lock=Lock()),
        "Timeline()": Timeline(),
        "Drawings()": Drawings(),
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
        "GPT4oCaptioner()": asks,
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
        "CaptionAudit(GPT4oCaptioner())": CaptionAudit(asks),
        "RefusalFilter()": RefusalFilter(),
    }
    prompts = {f"{n} {s}": load(n, s).digest for n in builtin() for s in MEDIA}
    return {call: part.digest for call, part in calls.items()} | prompts


# -- the training --------------------------------------------------------------------------------


def old_recipe(**changed: Any) -> Recipe:
    """A toy of two buckets, in the keys of its day; every path relative."""
    told: dict[str, Any] = {
        "dataset": "dataset",
        "out": "run",
        "cache": "cache",
        "steps": 8,
        "buckets": [
            {"resolution": "144p", "frames": 3, "batch": 2, "micro": 1, "recompute": 1},
            {"resolution": "144p", "frames": 1, "batch": 2},
        ],
        "frame_interval": 2,
        "vae": "tiny-random",
        "text_encoder": "tiny-random",
        "text_tokens": 16,
        "source": "cache",
        "cache_dtype": "float16",
        "workers": 0,
        "threads": 1,
        "engine": "torch",
        "strategy": "ddp",
        "device": "cpu",
        "precision": "float32",
        "network": {"depth": 1, "hidden_size": 12, "num_heads": 2, "caption_channels": 16},
        "schedule": {"kind": "cosine_then_constant", "peak": 1e-2, "warmup": 6},
        "optimizer": {"ema": 0.9},
        "guard": {"after": 2},
        "checkpoints": {"every": 2, "keep": 0},
        "validation": {"every": 100, "loss_batches": 0},
        "log": {"to": "none"},
    }
    return parse_recipe(told | changed, origin="make_legacy.py")


def make_training(folder: Path) -> dict[str, Any]:
    """Two steps on other data, then eight in all on these; the run is kept as it was at step 4."""
    folder.mkdir()
    os.chdir(folder)
    sizes = [Toy(frames=7, caption=text) for text in captions(3)]
    sizes += [Toy(frames=1, caption=text) for text in captions(5)[3:]]
    write_dataset(Path("before"), sizes[1:])
    write_dataset(Path("dataset"), sizes)
    for table in Path().rglob("*.parquet"):
        os.utime(table, ns=(MTIME, MTIME))
    recipe = old_recipe()
    before = replace(recipe, dataset="before", cache="cache-before", steps=2)
    build_cache(before)
    train(before)
    made = build_cache(recipe)
    assert (made.clips, made.captions, made.bad) == (5, 5, [])
    train(recipe, resume="auto", new_data=True)  # steps 3 to 8, not interrupted
    whole, weights = losses(), kinds(Path("run/step-00000008"))
    assert len(whole) == 8
    watch = json.loads(Path("run/step-00000008/manifest.json").read_text())["watch"]
    keep_step(4)
    shutil.copytree("run", "resumed")
    train(replace(recipe, out="resumed"), resume="auto")
    assert losses("resumed") == whole and kinds(Path("resumed/step-00000008")) == weights
    stage = replace(recipe, out="second", init="run/step-00000004/ema", steps=2)
    train(stage)
    again = build_cache(recipe)
    assert (again.clips, again.captions) == (0, 0)
    for other in ("before", "cache-before", "resumed"):
        shutil.rmtree(other)
    index, cpu = Index.open(index_folder(recipe)), torch.device("cpu")
    expected = {
        "losses": whole,
        "weights_at_8": weights,
        "watch_at_8": list(watch.values()),
        "weights_at_4": kinds(Path("run/step-00000004")),
        "second_stage_losses": losses("second"),
        "fingerprint": index.fingerprint,
        "vae": load_vae(recipe, cpu).digest,
        "text": load_text(recipe, index, cpu).digest,
        "text_name": text_name(recipe, index),
        "made_on": machine(),
    }
    shutil.rmtree("second")
    return expected


def losses(out: str = "run") -> list[float]:
    lines = (Path(out) / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line)["loss"] for line in lines]


def keep_step(step: int) -> None:
    """The run's folder as it was when this step was saved."""
    for folder in Path("run").glob("step-*"):
        if folder.name != f"step-{step:08d}":
            shutil.rmtree(folder)
    file = Path("run/metrics.jsonl")
    lines = [line for line in file.read_text().splitlines() if json.loads(line)["step"] <= step]
    file.write_text("".join(f"{line}\n" for line in lines))


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


def main(target: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="making-legacy-") as made:
        root = Path(made)
        make_films(root)
        expected: Mapping[str, Any] = {
            "commit": "e0d18c8",
            "root": ROOT,
            "mtime_ns": MTIME,
            "digests": digests(),
            "asked": make_asked(root),
            "lines": make_lines(root),
            "job": make_job(root),
            "tube": make_tube(root),
            "training": make_training(root / "training"),
        }
        os.chdir("/")
        shutil.rmtree(root / "job-after")
        without_root(root)
        for name in NOT_KEPT:
            for file in root.rglob(name):
                file.unlink()
        for folder in root.iterdir():
            shutil.rmtree(target / folder.name, ignore_errors=True)
            shutil.copytree(folder, target / folder.name)
    text = json.dumps(expected, indent=1, ensure_ascii=False)
    (target / "expected.json").write_text(text + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
