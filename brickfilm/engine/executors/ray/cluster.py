"""Join a Ray cluster, and check that its nodes share the work folder."""

from __future__ import annotations

import os
import secrets
import socket
from pathlib import Path
from typing import Any

from brickfilm.errors import UsageError

CHECK_SECONDS = 120.0
"""A node that has not answered by then cannot start a process."""
PORT_SECONDS = 10.0
OWN_TASKS = {"num_cpus": 0, "max_retries": 0}


def connect(address: str, init: dict[str, Any]) -> Any:
    """Join the cluster at `address` and return the module `ray`; raise UsageError without one."""
    try:
        import ray
    except ImportError:
        raise UsageError("RayExecutor needs Ray: pip install 'brickfilm[ray]'") from None
    options = {"log_to_driver": False, **init}
    if address == "local":
        options = {"include_dashboard": False, **options}
    try:
        _reach(address)
        ray.init(address, **options)
    except (OSError, ValueError, RuntimeError) as error:
        raise UsageError(
            f"there is no Ray cluster at {address!r} ({' '.join(str(error).split())[:300]}): start "
            "one with `ray start --head`, or name its HOST:PORT"
        ) from error
    return ray


def _reach(address: str) -> None:
    """Raise OSError if nobody listens at HOST:PORT: Ray tries for minutes, and ends the process."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if port.isdigit():
        socket.create_connection((host.strip("[]"), int(port)), timeout=PORT_SECONDS).close()


def check_shared_folder(ray: Any, work: Path) -> None:
    """Raise UsageError unless every node sees what the driver writes in `work`, and can write."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    token = secrets.token_hex(8)
    probe = work.absolute() / f".{token}.probe"
    probe.write_text(token)
    try:
        nodes = living_nodes(ray)
        task = ray.remote(**OWN_TASKS)(answer_probe)
        calls = {
            node: task.options(
                scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False)
            ).remote(str(probe), token)
            for node in nodes
        }
        for node, call in calls.items():
            try:
                problem = ray.get(call, timeout=CHECK_SECONDS)
            except ray.exceptions.RayError as error:
                if node not in living_nodes(ray):  # it died since, and gets no work
                    continue
                problem = f"it did not answer ({type(error).__name__})"
            if problem:
                raise UsageError(
                    f"the node {nodes[node]} cannot use the work folder {str(work.absolute())!r}: "
                    f"{problem}; name one on a file system that all nodes share"
                )
    finally:
        for file in work.absolute().glob(f".{token}.*"):
            file.unlink(missing_ok=True)


def living_nodes(ray: Any) -> dict[str, str]:
    """Return the address of each node that Ray believes alive, by its ID."""
    return {n["NodeID"]: n["NodeManagerAddress"] for n in ray.nodes() if n["Alive"]}


def answer_probe(probe: str, token: str) -> str:
    """Run on a node: return what is wrong with the folder, or ''."""
    path = Path(probe)
    try:
        if path.read_text() != token:
            return "it sees another file there"
        path.with_name(f".{token}.{os.getpid()}.answer").write_text(token)
    except OSError as error:
        return str(error.strerror)
    return ""
