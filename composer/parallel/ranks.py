"""The process group: where this process stands in a mesh, and the little that ranks tell each other."""

from __future__ import annotations

import hashlib
import os
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import DTensor

from composer.language.parallel import Parallelism

from .apply import mesh_for
from .plan import Place, refusal


@dataclass(frozen=True)
class Ranks:
    """This process among all of them; without a mesh it is alone."""

    mesh: DeviceMesh | None = None

    @property
    def world(self) -> int:
        """Number of processes."""
        return 1 if self.mesh is None else self.mesh.size()

    @property
    def rank(self) -> int:
        """Its number; the first one writes what there is once."""
        return 0 if self.mesh is None else dist.get_rank()

    @property
    def place(self) -> Place:
        """Its place along dp and along tp."""
        if self.mesh is None:
            return (0, 0)
        return (self.mesh.get_local_rank("dp"), self.mesh.get_local_rank("tp"))

    @property
    def copies(self) -> int:
        """Shares that a batch is cut into."""
        return 1 if self.mesh is None else self.mesh["dp"].size()

    def over_copies(self, tensor: Tensor) -> Tensor:
        """The sum of a tensor along dp."""
        if self.mesh is not None:
            tensor = tensor.to(self.mesh.device_type, copy=True)
            dist.all_reduce(tensor, group=self.mesh.get_group("dp"))
        return tensor

    def wait(self) -> None:
        """Until every rank has come here."""
        if self.mesh is not None:
            dist.barrier()

    def from_first(self, number: int) -> int:
        """A number that the first rank knows."""
        if self.mesh is None:
            return number
        told = torch.tensor([number], device=self.mesh.device_type)
        dist.broadcast(told, src=0)
        return int(told)


def agree(what: Mapping[str, object]) -> None:
    """Checks that all ranks of the process group do the same thing.

    Raises SpecError on all of them with the names of what differs.
    """
    digests = b"".join(hashlib.sha256(str(value).encode()).digest() for value in what.values())
    device = "cuda" if dist.get_backend() == "nccl" else "cpu"
    own = torch.frombuffer(bytearray(digests), dtype=torch.uint8).to(device)
    every = [torch.empty_like(own) for _ in range(dist.get_world_size())]
    dist.all_gather(every, own)
    rows = torch.stack(every).view(len(every), len(what), -1)
    unlike = (rows != rows[0]).any(-1)
    names = [name for name, one in zip(what, unlike.any(0).tolist(), strict=True) if one]
    if names:
        who = ", ".join(str(rank) for rank, one in enumerate(unlike.any(1).tolist()) if one)
        raise refusal(
            f"not all ranks do the same: {', '.join(names)} of rank {who} differ from rank 0",
            "start every rank with the same command",
        )


@contextmanager
def launched(asked: Parallelism, what: Mapping[str, object]) -> Iterator[Ranks]:
    """The ranks that a launcher such as torchrun has started, or one that is alone.

    A process group that exists already is used and left. Raises SpecError where the number of
    processes is not that of the mesh, and where `what` they do is not the same.
    """
    started = int(os.environ.get("WORLD_SIZE", "1"))
    if dist.is_initialized():
        agree(what)
        yield Ranks(mesh_for(asked))
        return
    if started == 1:
        if asked.mesh.world > 1:
            count = asked.mesh.world
            raise refusal(
                f"the mesh has {count} devices, but one process runs",
                f"torchrun --nproc-per-node {count} -m composer ...",
            )
        yield Ranks()
        return
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    backend = "nccl" if torch.cuda.is_available() else "gloo"
    dist.init_process_group(backend, timeout=timedelta(minutes=30))
    # What parts make is put together before it leaves the model, and nothing changes it in place.
    warnings.filterwarnings("ignore", message="FSDP2-wrapped module .* returned a view")
    try:
        agree(what)
        yield Ranks(mesh_for(asked))
    finally:
        dist.destroy_process_group()


def clip(parameters: Iterable[nn.Parameter], limit: float) -> Tensor:
    """Cuts gradients to a norm, that of all ranks together; gives the norm before.

    As `torch.nn.utils.clip_grad_norm_`, for parameters that are spread over meshes of several kinds.
    Gradients are first spread as their parameters are.
    """
    grads = [grad for parameter in parameters if (grad := _settled(parameter)) is not None]
    total = _squares(grads).sqrt()
    factor = (limit / (total + 1e-6)).clamp(max=1.0)
    for grad in grads:
        own = grad.to_local() if isinstance(grad, DTensor) else grad
        own.mul_(factor.to(own.dtype))
    return total


def _settled(parameter: nn.Parameter) -> Tensor | None:
    """The gradient of a parameter; one that is only a summand on each rank is added up."""
    grad = parameter.grad
    if isinstance(grad, DTensor) and isinstance(parameter, DTensor):
        if grad.placements != parameter.placements:
            parameter.grad = grad.redistribute(placements=parameter.placements)
        return parameter.grad
    return grad


def _squares(grads: Iterable[Tensor]) -> Tensor:
    """The sum of the squares of all gradients: one message for each way they are spread."""
    sums: dict[tuple[object, ...], Tensor] = {}
    groups: dict[tuple[object, ...], list[dist.ProcessGroup]] = {}
    for grad in grads:
        key: tuple[object, ...] = ()
        own = grad
        if isinstance(grad, DTensor):
            mesh, own = grad.device_mesh, grad.to_local()
            axes = [n for n, place in enumerate(grad.placements) if not place.is_replicate()]
            key = (mesh.mesh_dim_names, tuple(axes))
            groups[key] = [mesh.get_group(axis) for axis in axes]
        square = own.detach().float().square().sum()
        sums[key] = sums[key] + square if key in sums else square
    for key, part in sums.items():
        for group in groups.get(key, []):
            dist.all_reduce(part, group=group)
    return torch.stack(list(sums.values())).sum()


def alike(groups: list[dict[str, object]]) -> list[dict[str, object]]:
    """Groups of an optimizer in which all parameters are spread alike, as its kernels want them."""
    made = []
    for group in groups:
        parts: dict[object, list[nn.Parameter]] = {}
        for parameter in group["params"]:  # type: ignore[attr-defined]
            mesh = parameter.device_mesh.mesh_dim_names if isinstance(parameter, DTensor) else None
            parts.setdefault(mesh, []).append(parameter)
        made += [{**group, "params": part} for part in parts.values()]
    return made
