"""Runs as users start them, in processes of their own: killed, stopped and resumed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import torch

from finetune.config import load_recipe
from finetune.data.cache import build_cache
from finetune.training.checkpoint_folders import (
    latest_checkpoint,
    verify_checkpoint,
)
from tests.kit.ranks import free_port
from tests.kit.toy_runs import await_steps, checkpoint_tensors, write_recipe

pytestmark = pytest.mark.slow
STEPS = 60
PATIENCE = 60  # seconds that a run may take to start or to stop


@pytest.fixture
def recipe(toy_dataset: Path, tmp_path: Path) -> Path:
    """A recipe's file, its cache built."""
    file = write_recipe(
        tmp_path / "recipe.toml",
        f'dataset = "{toy_dataset}"',
        f'out = "{tmp_path}/run"',
        f'cache = "{tmp_path}/cache"',
        f"steps = {STEPS}",
        'schedule = { kind = "constant", peak = 1e-3 }',
        "checkpoints = { every = 1000 }",
        'log = { to = "none" }',
    )
    build_cache(load_recipe(file))
    return file


@contextmanager
def ranks(
    recipe: Path, world_size: int, *arguments: str, **options: Any
) -> Iterator[list[subprocess.Popen[str]]]:
    """`finetune train` in so many processes, as torchrun starts them; all end with the test."""
    place = {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(free_port()),
        "WORLD_SIZE": str(world_size),
    }
    started = [
        subprocess.Popen(
            [sys.executable, "-m", "finetune", "train", str(recipe), *arguments],
            env={**os.environ, **({**place, "RANK": str(rank)} if world_size > 1 else {})},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **options,
        )
        for rank in range(world_size)
    ]
    try:
        yield started
    finally:
        for process in started:
            process.kill()
            process.communicate()


def test_a_killed_rank_ends_the_others_with_a_readable_message(recipe: Path) -> None:
    with ranks(recipe, 2, "steps=1000000") as (first, second):
        await_steps(recipe.parent / "run", 3, PATIENCE)
        second.send_signal(signal.SIGKILL)
        _, stderr = first.communicate(timeout=PATIENCE)
        assert first.returncode == 1
        (line,) = [text for text in stderr.splitlines() if text.startswith("error: ")]
        assert "rank 0 lost a peer" in line
        assert "--resume auto" in line
        assert "Traceback" not in stderr


def test_sigterm_to_one_rank_saves_and_ends_all_with_0(recipe: Path) -> None:
    out = recipe.parent / "run"
    with ranks(recipe, 2, "steps=1000000") as both:
        await_steps(out, 3, PATIENCE)
        both[1].send_signal(signal.SIGTERM)
        for process in both:
            _, stderr = process.communicate(timeout=PATIENCE)
            assert process.returncode == 0, stderr
    saved = latest_checkpoint(out)
    assert saved is not None
    assert verify_checkpoint(saved)["step"] >= 3


def test_sigterm_to_every_process_of_a_job_saves_and_ends_with_0(recipe: Path) -> None:
    """As a scheduler sends it: to the loader's processes as well."""
    out = recipe.parent / "run"
    with ranks(recipe, 1, "steps=1000000", "workers=2", start_new_session=True) as (process,):
        await_steps(out, 3, PATIENCE)
        os.killpg(process.pid, signal.SIGTERM)
        _, stderr = process.communicate(timeout=PATIENCE)
        assert process.returncode == 0, stderr
    assert latest_checkpoint(out) is not None


@contextmanager
def caching(recipe: Path) -> Iterator[tuple[subprocess.Popen[str], list[int]]]:
    """`finetune cache` into an empty folder, and the two processes that it starts."""
    command = [
        sys.executable,
        "-m",
        "finetune",
        "cache",
        str(recipe),
        f"cache={recipe.parent}/new",
    ]
    process = subprocess.Popen([*command, "--processes", "2"], stderr=subprocess.PIPE, text=True)
    try:
        end, workers = time.monotonic() + PATIENCE, list[int]()
        while len(workers) < 2:
            assert time.monotonic() < end, "no two processes"
            time.sleep(0.05)
            children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
            workers = [int(pid) for pid in children if "spawn_main" in command_of(int(pid))]
        yield process, workers
    finally:
        process.kill()
        process.communicate()


def command_of(pid: int) -> str:
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_text()
    return ""


def test_a_cache_whose_process_is_killed_says_so(recipe: Path) -> None:
    with caching(recipe) as (process, workers):
        os.kill(workers[0], signal.SIGKILL)
        _, stderr = process.communicate(timeout=PATIENCE)
        assert process.returncode == 1
        (line,) = [text for text in stderr.splitlines() if text.startswith("error: ")]
        assert "an encoding process was killed" in line
        assert "with fewer than --processes 2" in line
        assert "Traceback" not in stderr


def test_the_processes_of_a_cache_end_with_it(recipe: Path) -> None:
    with caching(recipe) as (process, workers):
        process.kill()
        end = time.monotonic() + PATIENCE
        while any("spawn_main" in command_of(pid) for pid in workers):
            assert time.monotonic() < end, "orphans"
            time.sleep(0.1)


def test_a_run_that_a_fresh_process_goes_on_with_is_the_uninterrupted_one(recipe: Path) -> None:
    whole, begun = recipe.parent / "whole", recipe.parent / "run"
    with ranks(recipe, 1, f"out={whole}") as (process,):
        _, stderr = process.communicate(timeout=PATIENCE)
        assert process.returncode == 0, stderr
    with ranks(recipe, 1) as (process,):
        await_steps(begun, 2, PATIENCE)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=PATIENCE)
    saved = latest_checkpoint(begun)
    assert saved is not None
    assert verify_checkpoint(saved)["step"] < STEPS
    with ranks(recipe, 1, "--resume", "auto") as (process,):
        _, stderr = process.communicate(timeout=PATIENCE)
        assert process.returncode == 0, stderr
    expected, found = checkpoint_tensors(whole, STEPS), checkpoint_tensors(begun, STEPS)
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], value) for name, value in expected.items())
