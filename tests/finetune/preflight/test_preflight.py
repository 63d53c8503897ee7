"""A preflight of one process, and of two hosts with two ranks each that have faults."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from finetune.cli import main
from finetune.config import load_recipe
from finetune.data.cache import build_cache
from finetune.preflight import folders
from tests.kit import ROOT
from tests.kit.cluster import nodes
from tests.kit.toy_runs import write_recipe

PATIENCE = 600  # seconds; a preflight of four ranks takes ten on two idle cores


@pytest.fixture
def host(toy_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a host with a recipe of relative paths, its dataset and its cache."""
    folder = tmp_path / "host0"
    folder.mkdir()
    (folder / "set").symlink_to(toy_dataset)
    settings = 'dataset = "set"', 'out = "work/run"', 'cache = "cache"', "steps = 2"
    write_recipe(folder / "recipe.toml", *settings)
    monkeypatch.chdir(folder)
    build_cache(load_recipe("recipe.toml"))
    return folder


def exit_code(*arguments: str) -> object:
    with pytest.raises(SystemExit) as left:
        main(["preflight", *arguments])
    return left.value.code


def test_one_process_is_checked_and_leaves_nothing(
    host: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folders, "PROBE_MIB", 1)
    assert exit_code("recipe.toml", "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert report["verdict"] == "ready"
    assert [probe["visible"] for probe in report["folders"]] == [True, True]
    assert all(probe["read_mib_s"] > 0 for probe in report["folders"])
    assert not (host / "work").exists()
    assert not list((host / "cache").glob(".preflight*"))

    (shard, *_) = (host / "cache").rglob("latents-*/*/*.safetensors")
    shard.unlink()
    assert exit_code("recipe.toml", "checkpoints.keep_last=1000000000") == 1
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("cache ") and shard.name in line for line in lines)
    assert any(line.startswith("disk ") and "1000000001 checkpoints" in line for line in lines)
    assert lines[-1] == "not ready: 2 check(s) failed"


def test_a_recipe_that_cannot_be_read_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code("no-such-recipe") == 2
    assert "no-such-recipe" in capsys.readouterr().err


def statuses(report: dict[str, list[dict[str, str]]]) -> dict[str, str]:
    return {
        check["name"]: check["detail"] for check in report["checks"] if check["status"] == "failed"
    }


@pytest.mark.slow
def test_faults_of_the_second_host_are_found(host: Path, tmp_path: Path) -> None:
    """Host 1 lacks the mount of `out`, a shard, and a library's version; all exit with 1."""
    other = tmp_path / "host1"
    shutil.copytree(host, other, symlinks=True)
    (shard, *_) = (other / "cache").rglob("latents-*/*/*.safetensors")
    shard.unlink()
    about = tmp_path / "site" / "diffusers-0.1.dist-info" / "METADATA"
    about.parent.mkdir(parents=True)
    about.write_text("Metadata-Version: 2.1\nName: diffusers\nVersion: 0.1\n")
    path = os.pathsep.join([str(about.parent.parent), os.environ.get("PYTHONPATH", str(ROOT))])
    chdir = ("sh", "-c", 'cd "$PREFLIGHT_HOST" && exec "$@"', "sh")
    environment = (
        {"PREFLIGHT_HOST": str(host)},
        {"PREFLIGHT_HOST": str(other), "PYTHONPATH": path},
    )
    call = "preflight", "recipe.toml", "--json", "--link", "1000"
    with nodes(*call, environment=environment, prefix=chdir) as both:
        ended = [process.communicate(timeout=PATIENCE) for process in both]
        assert [process.returncode for process in both] == [1, 1], ended[1][1]
    report = json.loads(ended[0][0])
    failed = statuses(report)
    assert set(failed) == {"versions", "folder out", "folder cache", "cache", "links"}
    assert "rank 3 (node 1" in failed["versions"]
    assert "has diffusers 0.1, the others" in failed["versions"]
    assert "node 1 does not see what node 0 writes in work/run" in failed["folder out"]
    assert "node 1: " in failed["cache"]
    assert shard.name in failed["cache"]
    assert "it should give 125" in failed["links"]
    assert len(report["links"]) == 3
    assert ended[1][0] == ""  # rank 0 alone prints
    assert not (host / "work").exists()


@contextmanager
def slow_loopback() -> Iterator[list[str]]:
    """Yield a command that enters a network namespace of 800 Mbit/s; skip where none can be had."""
    make = "ip link set lo up && tc qdisc add dev lo root tbf rate 800mbit burst 1mb latency 100ms"
    try:
        holder = subprocess.Popen(
            ["unshare", "-rn", "sh", "-c", f"{make} && echo ready && exec sleep 600"],
            stdout=subprocess.PIPE,
            text=True,
        )
    except FileNotFoundError:
        pytest.skip("no unshare here (util-linux)")
    try:
        assert holder.stdout is not None
        if holder.stdout.readline() != "ready\n" or not shutil.which("nsenter"):
            pytest.skip("no network namespace with tc here")
        yield ["nsenter", "-t", str(holder.pid), "-U", "-n", "--preserve-credentials"]
    finally:
        holder.kill()
        holder.communicate()


@pytest.mark.slow
def test_a_slow_link_and_a_full_disk_are_found(host: Path) -> None:
    """The loopback of both hosts is throttled; host 1 may write no file of over 4 MiB."""
    limit = ("sh", "-c", '[ "$FULL" ] && ulimit -f 8192; exec "$@"', "sh")
    with slow_loopback() as enter:
        environment = ({}, {"FULL": "1"})
        call = "preflight", "recipe.toml", "--json", "--link", "10"
        with nodes(*call, environment=environment, prefix=(*enter, *limit)) as both:
            ended = [process.communicate(timeout=PATIENCE) for process in both]
            assert [process.returncode for process in both] == [1, 1], ended[1][1]
    report = json.loads(ended[0][0])
    failed = statuses(report)
    assert set(failed) == {"folder out", "folder cache", "links"}
    assert "node 1: 64 MiB cannot be written there (File too large)" in failed["folder out"]
    assert failed["links"].startswith("node 0 - node 1: ")
    (pair,) = [link for link in report["links"] if link["name"] == "node 0 - node 1"]
    assert 0.001 < pair["gb_s"] < 0.1  # 0.1 GB/s is the whole link
