"""Several processes that train one dictionary on parts of each batch."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["Together", "joined_processes"]

Array = NDArray[Any]


@dataclass(frozen=True)
class Together:
    """One process among those that share a training; alone by default."""

    rank: int = 0
    """Number of this process, from 0."""
    world: int = 1
    """How many there are."""

    def add_up(self, sums: Array) -> Array:
        """Return the sums over all processes, in float64; every process gets the same bytes."""
        if self.world == 1:
            return sums
        held = torch.from_numpy(np.array(sums, np.float64))
        torch.distributed.all_reduce(held)
        return held.numpy()

    def least(self, value: float) -> float:
        """Return the least of a number over all processes."""
        if self.world == 1:
            return value
        held = torch.tensor(value, dtype=torch.float64)
        torch.distributed.all_reduce(held, torch.distributed.ReduceOp.MIN)
        return float(held)

    def add_up_tensor(self, sums: Tensor) -> Tensor:
        """Return a tensor's sums over all processes."""
        if self.world == 1:
            return sums
        held = sums.detach().cpu().double()
        torch.distributed.all_reduce(held)
        return held.to(sums)

    def share(self, rows: int) -> tuple[int, int]:
        """Return where this process' rows begin in the whole batch, and how many that has."""
        if self.world == 1:
            return 0, rows
        counts = np.zeros(self.world)
        counts[self.rank] = rows
        counts = self.add_up(counts)
        return int(counts[: self.rank].sum()), int(counts.sum())

    def add_up_into(self, *arrays: Array) -> None:
        """Replace arrays by their sums over all processes."""
        if self.world == 1:
            return
        for array in arrays:
            torch.distributed.all_reduce(torch.from_numpy(array))

    def wait(self) -> None:
        """Wait until every process has come here."""
        if self.world > 1:
            torch.distributed.barrier()


@contextmanager
def joined_processes() -> Iterator[Together]:
    """Join the processes that ``torchrun`` started; alone where it started none."""
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world == 1 or "MASTER_ADDR" not in os.environ:
        yield Together()
        return
    began = not torch.distributed.is_initialized()
    if began:
        torch.distributed.init_process_group("gloo")
    try:
        yield Together(torch.distributed.get_rank(), world)
    finally:
        if began:
            torch.distributed.destroy_process_group()
