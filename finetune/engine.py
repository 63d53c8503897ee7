"""What the loop asks of a parallel engine, and PyTorch's own: one device, DDP and FSDP2.

Between the loop and an engine a tensor is a *shard*: this rank's float32 part of a parameter, or of
anything shaped like it (an average, a moment). `whole` and `part` go between shards and full
tensors, so checkpoints and averages do not know how an engine splits things.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import NamedTuple, Protocol

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from finetune.config import Optimizer, Recipe
from finetune.ema import Average
from finetune.errors import EngineError, TrainingStopped
from finetune.kernels import adamw as adamw_kernel
from finetune.kernels import available
from finetune.kernels.accumulate import Total
from finetune.models.stdit2 import STDiT2
from finetune.precision import DTYPES

Shards = dict[str, Tensor]
Allow = Callable[[float], bool]  # may a step of this gradient norm be taken?
TIMEOUT = timedelta(minutes=10)  # after which a silent rank counts as lost
LOST = re.compile(r"closed by peer|Connection reset|Broken pipe|timed? ?out|NCCL|Gloo|gloo", re.I)


class Step(NamedTuple):
    """What became of an optimizer step."""

    norm: float  # of the whole gradient, before clipping
    taken: bool


class Engine(Protocol):
    """One way to train on one or many devices; all of them give the same losses."""

    rank: int
    world: int
    device: torch.device
    module: STDiT2  # what is called; its parameters keep the model's names
    average: Average
    fixed: Shards  # what the model holds beside its trained parameters, full and in float32
    updates: int  # steps taken, for Adam's bias correction

    def backward(self, loss: Tensor) -> None:
        """Add a micro-batch's gradients, in float32, to this step's; averaged over ranks."""

    def step(self, lr: float, allow: Allow) -> Step:
        """Clip, update weights and average, clear the gradients; nothing moves unless allowed."""

    def shards(self) -> dict[str, Shards]:
        """This rank's "model", "ema", "exp_avg" and "exp_avg_sq" by parameter; live, no copies."""

    def whole(self, name: str, shard: Tensor) -> Tensor:
        """The full float32 tensor of a shard; every rank must call."""

    def part(self, name: str, full: Tensor) -> Tensor:
        """This rank's shard of a full tensor."""

    def refresh(self) -> None:
        """Make the weights that compute follow the float32 ones, after those were set."""

    def show(self, shards: Shards) -> None:
        """Put other weights in place for sampling; `refresh` brings the model's back."""


class Replicated:
    """One device, or DDP: every rank has everything, and ranks average their gradients.

    Gradients, float32 weights and moments are each one flat buffer: one all-reduce, one norm, one
    fused update a step. A parameter's shard is a view into them.
    """

    def __init__(self, model: STDiT2, recipe: Recipe, device: torch.device) -> None:
        self.rank, self.world = rank_and_world()
        self.device, self.settings, self.updates = device, recipe.optimizer, 0
        self.fixed = fixed_of(model)
        exact = [p.detach().flatten().to(device, torch.float32) for _, p in trained(model)]
        self._weights = torch.cat(exact)
        self.module = model.to(device=device, dtype=DTYPES[recipe.precision])
        self._params = dict(trained(self.module))
        self._sizes = [p.numel() for p in self._params.values()]
        self._grads = torch.zeros_like(self._weights)
        self._total = Total(self._grads, self._sizes)
        if self.world > 1:
            dist.broadcast(self._weights, src=0)
        self._optimizer = adamw([self._weights], recipe.optimizer, device)
        self._optimizer.state[self._weights] = fresh_state(self._weights)
        self.average = Average(self._views(self._weights), recipe.optimizer.ema)
        self._fused = self._flat() if recipe.kernels and self.average.decay else None
        self.refresh()

    def _flat(self) -> adamw_kernel.Flat | None:
        """Everything a step touches as flat buffers, for the kernel that does all of it at once."""
        if not available(self.device):
            return None
        shown = self._weights.to(next(iter(self._params.values())).dtype, copy=True)
        for parameter, view in zip(self._params.values(), self._views(shown).values(), strict=True):
            parameter.data = view
        averaged = self._weights.clone()
        self.average.shards = self._views(averaged)
        state = self._optimizer.state[self._weights]
        moments = state["exp_avg"], state["exp_avg_sq"]
        return adamw_kernel.Flat(shown, self._weights, self._grads, *moments, averaged)

    def _update(self, lr: float, factor: float) -> None:
        """Weights, moments and average, one step on; the gradient is taken times `factor`."""
        self.updates += 1
        if self._fused is None:
            self._grads *= factor
            update(self._optimizer, [self._weights], [self._grads], lr)
            self.refresh()
            self.average.update(self.shards()["model"])
            return
        s = self.settings
        rates = adamw_kernel.Rates(
            lr=lr,
            step=self.updates,
            betas=s.betas,
            eps=s.eps,
            weight_decay=s.weight_decay,
            ema_decay=s.ema,
        )
        adamw_kernel.step(self._fused, rates, torch.tensor(factor, device=self.device))

    def backward(self, loss: Tensor) -> None:
        loss.backward()  # type: ignore[no-untyped-call]
        self._total.add([parameter.grad for parameter in self._params.values()])
        for parameter in self._params.values():
            parameter.grad = None

    def step(self, lr: float, allow: Allow) -> Step:
        if self.world > 1:
            dist.all_reduce(self._grads)
            self._grads /= self.world
        norm = float(self._grads.norm())
        taken = allow(norm)
        if taken:
            self._update(lr, clip_factor(norm, self.settings.grad_clip))
        self._grads.zero_()
        return Step(norm, taken)

    def shards(self) -> dict[str, Shards]:
        state = self._optimizer.state[self._weights]
        return {
            "model": self._views(self._weights),
            "ema": self.average.shards,
            "exp_avg": self._views(state["exp_avg"]),
            "exp_avg_sq": self._views(state["exp_avg_sq"]),
        }

    def whole(self, name: str, shard: Tensor) -> Tensor:
        return shard

    def part(self, name: str, full: Tensor) -> Tensor:
        return full.to(self.device)

    def refresh(self) -> None:
        set_steps(self._optimizer, self.updates)
        self.show(self._views(self._weights))

    @torch.no_grad()
    def show(self, shards: Shards) -> None:
        torch._foreach_copy_(list(self._params.values()), [shards[n] for n in self._params])

    def _views(self, flat: Tensor) -> Shards:
        parts = torch.split(flat, self._sizes)
        pairs = zip(self._params.items(), parts, strict=True)
        return {name: part.view(p.shape) for (name, p), part in pairs}


class FullySharded:
    """FSDP2: each rank keeps a part of every parameter; blocks are gathered as they are needed."""

    def __init__(self, model: STDiT2, recipe: Recipe, device: torch.device) -> None:
        self.rank, self.world = rank_and_world()
        self.device, self.settings, self.updates = device, recipe.optimizer, 0
        self.fixed = fixed_of(model)
        compute = DTYPES[recipe.precision]
        policy = MixedPrecisionPolicy(
            param_dtype=compute, reduce_dtype=torch.float32, cast_forward_inputs=False
        )
        self.module = model.to(device).float()
        for block in self.module.blocks:
            fully_shard(block, mp_policy=policy)
        fully_shard(self.module, mp_policy=policy)
        self._params = dict(trained(self.module))
        self._optimizer = adamw(list(self._params.values()), recipe.optimizer, device)
        for parameter in self._params.values():
            self._optimizer.state[parameter] = fresh_state(parameter)
        self.average = Average(self._params, recipe.optimizer.ema)
        self._kept: Shards | None = None

    def backward(self, loss: Tensor) -> None:
        loss.backward()  # type: ignore[no-untyped-call]

    def step(self, lr: float, allow: Allow) -> Step:
        grads = [p.grad for p in self._params.values() if p.grad is not None]
        total = torch.nn.utils.get_total_norm(grads)
        norm = float(total.full_tensor() if isinstance(total, DTensor) else total)
        taken = allow(norm)
        if taken:
            torch._foreach_mul_(grads, clip_factor(norm, self.settings.grad_clip))
            update(self._optimizer, list(self._params.values()), None, lr)
            self.updates += 1
            self.average.update(self.shards()["model"])
        self._optimizer.zero_grad()
        return Step(norm, taken)

    def shards(self) -> dict[str, Shards]:
        state = self._optimizer.state
        return {
            "model": {name: p.detach() for name, p in self._params.items()},
            "ema": self.average.shards,
            "exp_avg": {name: state[p]["exp_avg"] for name, p in self._params.items()},
            "exp_avg_sq": {name: state[p]["exp_avg_sq"] for name, p in self._params.items()},
        }

    def whole(self, name: str, shard: Tensor) -> Tensor:
        assert isinstance(shard, DTensor)
        return shard.full_tensor()

    def part(self, name: str, full: Tensor) -> Tensor:
        like = self._params[name]
        assert isinstance(like, DTensor)
        placed = full.to(self.device)
        return distribute_tensor(placed, like.device_mesh, like.placements)

    def refresh(self) -> None:
        set_steps(self._optimizer, self.updates)
        if self._kept is not None:
            kept, self._kept = self._kept, None
            self._put(kept)

    def show(self, shards: Shards) -> None:
        """The float32 weights are the ones that compute: they are set aside meanwhile."""
        if self._kept is None:
            self._kept = {name: p.detach().clone() for name, p in self._params.items()}
        self._put(shards)

    @torch.no_grad()
    def _put(self, shards: Shards) -> None:
        for name, parameter in self._params.items():
            parameter.copy_(shards[name])


def trained(model: torch.nn.Module) -> Iterator[tuple[str, torch.nn.Parameter]]:
    """The parameters that learn, by name."""
    return ((name, p) for name, p in model.named_parameters() if p.requires_grad)


def fixed_of(model: torch.nn.Module) -> Shards:
    """What the model holds beside its trained parameters, in float32 on the CPU."""
    names = {name for name, _ in trained(model)}
    state = model.state_dict()
    return {n: t.detach().cpu().float().clone() for n, t in state.items() if n not in names}


def weight_norm(engine: Engine) -> float:
    """Norm of all trained weights, over all ranks."""
    shards = list(engine.shards()["model"].values())
    norm = torch.nn.utils.get_total_norm(shards)
    if isinstance(norm, DTensor):
        return float(norm.full_tensor())
    split = sum(s.numel() for s in shards) < sum(p.numel() for _, p in trained(engine.module))
    return float(total(norm.double().cpu().square()).sqrt() if split else norm)


def adamw(params: list[Tensor], settings: Optimizer, device: torch.device) -> torch.optim.Optimizer:
    """AdamW over these tensors, fused where the device has it."""
    return torch.optim.AdamW(
        params,
        lr=0.0,
        betas=settings.betas,
        eps=settings.eps,
        weight_decay=settings.weight_decay,
        fused=device.type == "cuda",
    )


def fresh_state(parameter: Tensor) -> dict[str, Tensor]:
    """Adam's state before its first step."""
    return {
        "step": torch.zeros((), dtype=torch.float32, device=parameter.device),
        "exp_avg": torch.zeros_like(parameter),
        "exp_avg_sq": torch.zeros_like(parameter),
    }


def set_steps(optimizer: torch.optim.Optimizer, updates: int) -> None:
    """Tell Adam how many steps it has taken."""
    for state in optimizer.state.values():
        state["step"] = torch.full_like(torch.as_tensor(state["step"]), updates)


def update(
    optimizer: torch.optim.Optimizer, params: list[Tensor], grads: list[Tensor] | None, lr: float
) -> None:
    """One step at this rate; `grads` are lent to the parameters for as long as it takes."""
    for group in optimizer.param_groups:
        group["lr"] = lr
    for parameter, grad in zip(params, grads or (), strict=bool(grads)):
        parameter.grad = grad
    optimizer.step()
    for parameter, _ in zip(params, grads or (), strict=bool(grads)):
        parameter.grad = None


def clip_factor(norm: float, most: float) -> float:
    """What to multiply gradients of this norm with so that it is at most `most` (0: no limit)."""
    return min(1.0, most / (norm + 1e-6)) if most > 0 else 1.0


def rank_and_world() -> tuple[int, int]:
    """This process's number, and how many there are."""
    if dist.is_initialized():
        return dist.get_rank(), dist.get_world_size()
    return 0, 1


def choose_device(recipe: Recipe) -> torch.device:
    """The recipe's device; raises EngineError where it has none."""
    if recipe.device == "cpu" or (recipe.device == "auto" and not torch.cuda.is_available()):
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise EngineError("device = 'cuda', but there is no GPU that torch can use: set 'cpu'")
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))


@contextmanager
def ranks(
    recipe: Recipe, device: torch.device, remedy: Callable[[], str] = lambda: "lower its micro"
) -> Iterator[None]:
    """Join the ranks that torchrun has started, and part from them at the end.

    An error of a lost peer becomes TrainingStopped; want of memory an EngineError with a `remedy`.
    """
    if device.type == "cuda":
        torch.cuda.set_device(device)
    started = not dist.is_initialized() and _join(recipe, device)
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise EngineError(f"a step does not fit into the GPU: {remedy()} ({error})") from error
    except RuntimeError as error:
        if not dist.is_initialized() or not LOST.search(str(error)):
            raise
        raise TrainingStopped(
            f"rank {dist.get_rank()} lost a peer ({str(error).splitlines()[0]}): its log says why. "
            "Start again with --resume auto"
        ) from error
    finally:
        if started:
            dist.destroy_process_group()


def _join(recipe: Recipe, device: torch.device) -> bool:
    """Join a process group if there are ranks, or if the engine wants one; says whether it did."""
    backend = "nccl" if device.type == "cuda" else "gloo"
    if "RANK" in os.environ:
        dist.init_process_group(backend, timeout=TIMEOUT)
        return True
    if recipe.engine == "colossalai" or recipe.strategy == "fsdp2":
        dist.init_process_group(
            backend, store=torch._C._distributed_c10d.HashStore(), rank=0, world_size=1
        )
        return True
    return False


def total(values: Tensor) -> Tensor:
    """The sum over all ranks, of float64 values on the CPU."""
    _, world = rank_and_world()
    if world == 1:
        return values
    on_gpu = dist.get_backend() == "nccl"
    shared = values.cuda() if on_gpu else values.clone()
    dist.all_reduce(shared)
    return shared.cpu()
