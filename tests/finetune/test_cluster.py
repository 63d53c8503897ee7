"""Two hosts of two ranks on one machine, by the scripts of recipes/text2bricks/cluster."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from finetune.config import load_recipe
from finetune.data.cache import build_cache
from finetune.training.checkpoint_folders import latest_checkpoint, verify_checkpoint
from tests.kit import ROOT
from tests.kit.cluster import descendants, kill_node
from tests.kit.ranks import free_port
from tests.kit.toy_runs import await_steps, write_recipe

pytestmark = pytest.mark.slow
SCRIPTS = ROOT / "recipes/text2bricks/cluster"
PATIENCE = 600  # seconds; four ranks start in ten on two idle cores
STEPS = 24
ACTIVATE = 'export PATH="{bin}:$PATH" PYTHONPATH="{root}" OMP_NUM_THREADS=1\n'
SSH = '#!/bin/sh\nexec sh -c "$2"  # host $1 is this machine\n'
SRUN = """#!/bin/bash
[ "$1" = --kill-on-bad-exit=1 ] || exit 64
shift
tasks=()
trap 'kill -KILL "${tasks[@]}"; again=yes' TERM  # as srun does
for ((rank = 0; rank < SLURM_NTASKS; rank++)); do
  SLURM_PROCID=$rank SLURM_LOCALID=0 SLURM_NODEID=$rank "$@" &
  tasks+=($!)
done
echo "${tasks[@]}" > "$TASKS"
worst=0
for task in "${tasks[@]}"; do
  while again=; wait "$task"; code=$?; [ "$again" ]; do :; done
  [ "$code" -gt "$worst" ] && worst=$code
done
exit "$worst"
"""
SCANCEL = '#!/bin/sh\n[ "$*" = "--signal=TERM 7" ] && kill -TERM $(cat "$TASKS")\n'
SCONTROL = (
    '#!/bin/sh\nif [ "$1" = requeue ]; then echo "$2" >> "{requeued}"; else echo 127.0.0.1; fi\n'
)


@pytest.fixture
def recipe(toy_dataset: Path, tmp_path: Path) -> Path:
    """A recipe's file, its cache, and an environment that activates this one."""
    file = write_recipe(
        tmp_path / "recipe.toml",
        f'dataset = "{toy_dataset}"',
        f'out = "{tmp_path}/run"',
        f'cache = "{tmp_path}/cache"',
        f"steps = {STEPS}",
        'schedule = { kind = "constant", peak = 1e-3 }',
        "checkpoints = { every = 4, asynchronous = true }",
        'log = { to = "none" }',
        batch_size=1,
    )
    build_cache(load_recipe(file))
    text = ACTIVATE.format(bin=Path(sys.executable).parent, root=ROOT)
    (tmp_path / "environment.sh").write_text(text)
    return file


def executable(folder: Path, name: str, text: str) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(text)
    (folder / name).chmod(0o755)
    return folder / name


@contextmanager
def script(
    name: str, recipe: Path, *arguments: str, **variables: str
) -> Iterator[subprocess.Popen[str]]:
    """Run a script of the cluster in the recipe's folder; its processes end with the block."""
    process = subprocess.Popen(
        ["bash", str(SCRIPTS / name), *arguments],
        cwd=recipe.parent,
        env=os.environ | {"ENVIRONMENT": str(recipe.parent / "environment.sh")} | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield process
    finally:
        kill_node(process)
        process.communicate()


def over_hosts(recipe: Path, gpus: int) -> Mapping[str, str]:
    """Return variables of torchrun.sh for two hosts that are this machine."""
    (recipe.parent / "hosts").write_text("# head first\nhost0\nhost1\n")
    ssh = executable(recipe.parent / "bin", "ssh", SSH)
    address = {"MASTER_ADDR": "127.0.0.1", "PORT": str(free_port())}
    return {"HOSTS": "hosts", "GPUS": str(gpus), "SSH": str(ssh), **address}


def torchrun_of(node: int, pid: int) -> int:
    """Return the torchrun of a node below a process."""
    for below in descendants(pid):
        words = Path(f"/proc/{below}/cmdline").read_text().split("\0")
        if "--node-rank" in words and words[words.index("--node-rank") + 1] == str(node):
            return below
    raise AssertionError(f"no torchrun of node {node}")


def test_a_lost_node_ends_the_run_which_goes_on_with_other_ranks(recipe: Path) -> None:
    """Node 1 is slow, which the log says, and then lost; two ranks go on from the checkpoint."""
    out = recipe.parent / "run"
    finetune = executable(recipe.parent / "bin", "torchrun", slow_torchrun())
    environment = recipe.parent / "environment.sh"
    environment.write_text(environment.read_text() + f'export PATH="{finetune.parent}:$PATH"\n')
    with script(
        "torchrun.sh",
        recipe,
        "train",
        "recipe.toml",
        "steps=100000",
        **over_hosts(recipe, 2),
    ) as run:
        await_steps(out, 11, PATIENCE)
        second = torchrun_of(1, run.pid)
        for pid in (second, *descendants(second)):
            os.kill(pid, signal.SIGKILL)
        output, _ = run.communicate(timeout=PATIENCE)
        assert run.returncode != 0
    assert re.search(r"step 10: rank [23] \(node 1, .*\) is slow", output), output
    assert "lost a peer" in output
    assert "--resume auto" in output
    saved = latest_checkpoint(out)
    assert saved is not None
    manifest = verify_checkpoint(saved)
    assert (manifest["world"], manifest["step"] >= 4) == (4, True)
    more = ("train", "recipe.toml", "buckets.0.batch_size=2", "--resume", "auto")
    with script("torchrun.sh", recipe, *more, **over_hosts(recipe, 1)) as run:
        output, _ = run.communicate(timeout=PATIENCE)
        assert run.returncode == 0, output
    last = latest_checkpoint(out)
    assert last is not None
    assert (verify_checkpoint(last)["world"], verify_checkpoint(last)["step"]) == (2, STEPS)
    steps = [json.loads(line)["step"] for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert steps == list(range(1, STEPS + 1))


def slow_torchrun() -> str:
    """Return a torchrun that starts tests.kit.slow_node in the place of finetune."""
    return (
        "#!/bin/bash\n"
        f'exec "{sys.executable}" -m torch.distributed.run "${{@/#finetune/tests.kit.slow_node}}"\n'
    )


@pytest.mark.soak
def test_a_job_at_its_time_limit_saves_and_is_queued_again(recipe: Path) -> None:
    """By stand-ins for srun, scancel and scontrol: Slurm itself is not here."""
    out, requeued = recipe.parent / "run", recipe.parent / "requeued"
    tools = executable(recipe.parent / "bin", "srun", SRUN).parent
    executable(tools, "scancel", SCANCEL)
    executable(tools, "scontrol", SCONTROL.format(requeued=requeued))
    job = {
        "PATH": f"{tools}:{os.environ['PATH']}",
        "TASKS": str(recipe.parent / "tasks"),
        "SLURM_NTASKS": "2",
        "SLURM_NNODES": "2",
        "SLURM_JOB_ID": "7",
        "SLURM_JOB_NODELIST": "node[0-1]",
        "SLURM_SUBMIT_DIR": str(SCRIPTS),
        "PORT": str(free_port()),
    }
    with script("train.sbatch", recipe, "recipe.toml", "steps=100000", **job) as run:
        await_steps(out, 5, PATIENCE)
        run.send_signal(signal.SIGUSR1)
        output, _ = run.communicate(timeout=PATIENCE)
        assert run.returncode == 0, output
    assert requeued.read_text() == "7\n"
    assert "\nready" in output
    saved = latest_checkpoint(out)
    assert saved is not None
    step = verify_checkpoint(saved)["step"]
    assert step >= 5
    with script("train.sbatch", recipe, "recipe.toml", f"steps={step + 2}", **job) as run:
        output, _ = run.communicate(timeout=PATIENCE)
        assert run.returncode == 0, output
    last = latest_checkpoint(out)
    assert last is not None
    assert verify_checkpoint(last)["step"] == step + 2
    assert requeued.read_text() == "7\n"  # not again: the training is complete
