"""The loss of another rank is distinguished from other errors."""

from __future__ import annotations

import os
import signal
from datetime import timedelta

import pytest
import torch
import torch.distributed as dist

from finetune.engines.distributed import is_lost_peer, process_group
from finetune.errors import EngineError, TrainingStopped
from tests.finetune.conftest import MakeRecipe
from tests.kit.ranks import free_port

CPU = torch.device("cpu")
GLOO = "[/pytorch/third_party/gloo/gloo/transport/tcp/"
LOST = [
    dist.DistBackendError("NCCL error: remote process exited or there was a network error"),
    dist.DistNetworkError("failed to recv, got 0 bytes"),
    dist.DistStoreError("wait timeout after 600000ms"),
    RuntimeError(f"{GLOO}pair.cc:553] Connection closed by peer [127.0.0.1]:8836."),
    RuntimeError(f"{GLOO}pair.cc:301] Read error [127.0.0.1]:8836: Connection reset by peer"),
    RuntimeError(f"{GLOO}unbound_buffer.cc:78] Timed out waiting 4000ms for recv operation"),
    RuntimeError("Application timeout caused pair closure"),
]
OTHERS = [
    RuntimeError("the loader's timeout of 30 s must be positive"),
    RuntimeError("NCCL was not compiled into this torch"),
    RuntimeError("gloo has no reduce-scatter for this dtype"),
    RuntimeError("a file server timed out: /data/clip.mp4"),
    RuntimeError("write failed: Broken pipe"),
]


@pytest.mark.parametrize("error", LOST, ids=lambda error: str(error)[-40:])
def test_a_lost_peer_stops_the_training(error: RuntimeError, make_recipe: MakeRecipe) -> None:
    assert is_lost_peer(error)
    with (
        pytest.raises(TrainingStopped, match=r"rank 0 lost a peer .*--resume auto"),
        process_group(make_recipe(), CPU),
    ):
        raise error


@pytest.mark.parametrize("error", OTHERS, ids=lambda error: str(error)[:30])
def test_another_error_is_raised_as_itself(error: RuntimeError, make_recipe: MakeRecipe) -> None:
    with pytest.raises(RuntimeError) as raised, process_group(make_recipe(), CPU):
        raise error
    assert raised.value is error


def test_want_of_memory_names_the_remedy(make_recipe: MakeRecipe) -> None:
    with (
        pytest.raises(EngineError, match="does not fit into the GPU: take less"),
        process_group(make_recipe(), CPU, lambda: "take less"),
    ):
        raise torch.OutOfMemoryError("tried to allocate 9 GiB")


def reduce_until_alone(rank: int, port: int, errors: dict[int, tuple[bool, str]]) -> None:
    """Reduce with the other rank, which is killed after the first time."""
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    dist.init_process_group("gloo", rank=rank, world_size=2, timeout=timedelta(seconds=60))
    dist.all_reduce(torch.ones(1))
    if rank == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    try:
        while True:
            dist.all_reduce(torch.ones(1))
    except RuntimeError as error:
        errors[rank] = is_lost_peer(error), str(error)
        os._exit(0)


@pytest.mark.slow
def test_gloo_of_this_torch_reports_a_lost_peer_as_expected() -> None:
    errors = torch.multiprocessing.Manager().dict()
    context = torch.multiprocessing.get_context("spawn")
    port = free_port()
    ranks = [
        context.Process(target=reduce_until_alone, args=(rank, port, errors)) for rank in (0, 1)
    ]
    for process in ranks:
        process.start()
    for process in ranks:
        process.join(timeout=120)
    assert errors[0][0], errors[0][1]
