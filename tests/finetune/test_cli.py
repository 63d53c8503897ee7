"""The command line: exit codes, the earlier spelling, and torchrun."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from finetune.cli import main
from tests.kit import ROOT
from tests.kit.ranks import free_port
from tests.kit.toy_clips import Toy, captions, write_dataset
from tests.kit.toy_runs import write_recipe

COMMANDS = ("train", "plan", "preflight", "cache", "check", "sample", "demo", "release")


def exit_code(*arguments: str) -> object:
    with pytest.raises(SystemExit) as left:
        main(list(arguments))
    return left.value.code


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code(command, "--help") == 0
    assert f"{command} [OPTIONS]" in capsys.readouterr().out


def test_another_package_of_the_same_import_name_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    about = tmp_path / "finetune-0.10.1.dist-info" / "METADATA"
    about.parent.mkdir()
    about.write_text("Metadata-Version: 2.1\nName: finetune\nVersion: 0.10.1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert exit_code("plan", "tiny/cpu") == 2
    told = capsys.readouterr().err
    assert f"finetune 0.10.1 in {tmp_path}" in told
    assert "pip uninstall finetune" in told


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("train",),
        ("train", "tiny/cpu", "--no-such-option"),
        ("plan", "tiny/cpu", "--gpus", "0"),
        ("cache", "tiny/cpu", "--processes", "many"),
        ("demo",),
        ("release", "only-a-run"),
        ("train", "no-such-recipe"),
        ("plan", "tiny/cpu", "no.such=key"),
        ("cache", "tiny/cpu", "steps=many"),
        ("sample", "--prompt", "waves", "--model", "/nowhere"),
        ("demo", "--model", "/nowhere", "--export-space", "/tmp/nothing-is-written"),
        ("release", "/nowhere", "maker/model"),
        ("release", "/nowhere", "no repository"),
    ],
)
def test_wrong_usage_exits_with_2(
    arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code(*arguments) == 2
    assert "Traceback" not in capsys.readouterr().err


def test_the_earlier_spelling_names_todays(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code("tiny/cpu", "steps=3") == 2
    message = capsys.readouterr().err
    assert "no command 'tiny/cpu'" in message
    assert "finetune train tiny/cpu steps=3" in message


@pytest.mark.parametrize("command", ["cache", "demo", "release", "sample"])
def test_the_earlier_module_names_todays_command(command: str) -> None:
    call = [sys.executable, "-m", f"finetune.{command}", "run", "--out", "x"]
    done = subprocess.run(call, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 2
    assert done.stderr == f"error: this command is now: finetune {command} run --out x\n"


def test_an_old_key_on_the_command_line_names_todays(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code("plan", "tiny/cpu", "buckets.0.batch=3") == 2
    assert capsys.readouterr().err.endswith("cpu.toml: batch is now batch_size\n")


@pytest.mark.slow
def test_torchrun_trains_in_two_ranks(tmp_path: Path) -> None:
    write_dataset(tmp_path / "set", [Toy(caption=text) for text in captions(4)])
    recipe = write_recipe(
        tmp_path / "recipe.toml",
        f'dataset = "{tmp_path}/set"',
        f'out = "{tmp_path}/run"',
        f'cache = "{tmp_path}/cache"',
        "steps = 2",
        'latents = "online"',
        'log = { to = "none" }',
    )
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2"]
    torchrun += [f"--master-port={free_port()}", "-m", "finetune", "train", str(recipe)]
    ended = subprocess.run(torchrun, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.count("steps          2") == 1  # rank 0 alone prints
    manifest = json.loads((tmp_path / "run/step-00000002/manifest.json").read_text())
    assert (manifest["world"], manifest["samples"]) == (2, 8)
