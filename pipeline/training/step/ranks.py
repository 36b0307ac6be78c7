"""The processes that train one network together: what they tell each other.

Outside an initialised torch.distributed group there is one rank, and nothing is sent.
"""

from __future__ import annotations

import os
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.algorithms.ddp_comm_hooks.default_hooks import bf16_compress_hook
from torch.nn.parallel import DistributedDataParallel

from pipeline.models.model import Tagger


def rank_and_count() -> tuple[int, int]:
    """Return which rank this process is, and how many there are; 0 and 1 outside a group."""
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank(), dist.get_world_size()
    return 0, 1


def from_all_ranks(found: Any) -> list[Any]:
    """Return what each rank has found, by rank."""
    all_found = [found] * rank_and_count()[1]
    if len(all_found) > 1:
        dist.all_gather_object(all_found, found)
    return all_found


def mean_over_ranks(losses: list[Tensor]) -> float:
    """Return the mean loss of an epoch from each rank's shares of its steps' losses."""
    total = torch.stack(losses).mean()
    if rank_and_count()[1] > 1:
        dist.all_reduce(total)
    return float(total)


def shared(model: Tagger, device: torch.device, precision: str) -> nn.Module:
    """Return the network whose gradients all ranks share; of one rank, the model itself.

    Between nodes of GPUs that compute in bfloat16 gradients are sent in it, too: half the bytes.
    """
    n_ranks = rank_and_count()[1]
    if n_ranks == 1:
        return model
    network = DistributedDataParallel(model, gradient_as_bucket_view=True)
    n_here = int(os.environ.get("LOCAL_WORLD_SIZE", n_ranks))
    if sends_bf16(n_here, n_ranks, device, precision):
        network.register_comm_hook(None, bf16_compress_hook)
    return network


def sends_bf16(n_here: int, n_ranks: int, device: torch.device, precision: str) -> bool:
    """Say whether gradients are sent in bfloat16, with `n_here` of all ranks on this node."""
    return n_here < n_ranks and device.type == "cuda" and precision == "bf16"


def alone(network: nn.Module) -> AbstractContextManager[None]:
    """Let a rank keep its gradients to itself, as long as more are to be added to them."""
    return network.no_sync() if isinstance(network, DistributedDataParallel) else nullcontext()


def take_over_buffers(model: nn.Module) -> None:
    """Give every rank the first one's running statistics: its weights are those that are kept."""
    if rank_and_count()[1] > 1:
        for buffer in model.buffers():
            dist.broadcast(buffer, 0)
