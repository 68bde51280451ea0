"""One step of training, by the kernels or by automatic differentiation."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from isthmus.kernels.cpu import CPUKernels, Knobs, Moments
from isthmus.kernels.rules import Revival
from isthmus.models.dictionary import SparseDictionary
from isthmus.training.dictionary.config import DictionaryTraining
from isthmus.training.dictionary.together import Together

__all__ = ["Engine", "Orders", "Report", "SparseEngine"]

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Orders:
    """What a step is told."""

    rate: float
    """Learning rate."""
    k: int | None
    """Active latents a sample, where that is being annealed."""
    dead: Array
    """Numbers of the dead latents."""
    revival: float
    """Weight of the auxiliary loss."""
    stride: int
    """Every how many rows the auxiliary loss is computed."""
    total: int
    """Rows of the batch over all processes."""
    number: int
    """Number of the step, from 1."""
    factor: float
    """What the rows are multiplied by to stand in the units of training."""
    first: int
    """Number of this process' first row within the whole batch."""

    @property
    def revived_rows(self) -> slice:
        """Which of this process' rows the auxiliary loss is computed on."""
        return slice((self.number - self.first) % self.stride, None, self.stride)


@dataclass(frozen=True, eq=False)
class Report:
    """What a step tells, of this process' rows: sums that add up over processes."""

    fired_N: Array
    """Rows on which each latent was active, int64."""
    losses: dict[str, float] = field(default_factory=dict)
    """Parts of the loss: means over the whole batch's rows, this process' share of them."""


class Engine(Protocol):
    """Takes steps on one dictionary, whose weights are in the units of training."""

    def step(self, x_BD: Array, orders: Orders) -> Report:
        """Take one step on rows in the data's units."""

    def state(self) -> dict[str, Tensor]:
        """Return the optimiser's state, to be saved."""

    def restore(self, state: dict[str, Tensor]) -> None:
        """Take the state back."""


def auxiliary_k(dim: int) -> int:
    """Return how many dead latents a sample may use: the power of two nearest to D / 2.

    Source: Gao et al., arXiv:2406.04093, A.2.

    Examples
    --------
    >>> auxiliary_k(384), auxiliary_k(768), auxiliary_k(1)
    (256, 512, 1)
    """
    return int(2 ** round(math.log2(max(2, dim) / 2)))


def still_dead(orders: Orders, fired_N: Array, together: Together) -> Orders:
    """Take out of the dead latents those that this very batch, in any process, woke.

    What fires gets its gradient from what it is active for; the auxiliary one would blur it.
    """
    if not orders.revival or not len(orders.dead):
        return orders
    everywhere = together.add_up(fired_N.astype(np.float64))
    return dataclasses.replace(orders, dead=orders.dead[everywhere[orders.dead] == 0])


def revival_of(orders: Orders, dim: int) -> Revival | None:
    """Return what the kernels are asked to revive, None for nothing."""
    if not orders.revival or not len(orders.dead):
        return None
    return Revival(orders.dead, auxiliary_k(dim), orders.revival, orders.revived_rows)


class Noise:
    """Gaussian noise that is a function of the seed and the step's number alone.

    Drawing fresh numbers would take as long as the rest of a step. Rows of a fixed pool do as
    well, each step beginning at another row and another coordinate, with new signs: a pool used
    as it is would be learnt by heart, by latents that are of no use on clean rows.
    """

    def __init__(self, config: DictionaryTraining, dim: int) -> None:
        self.size, self.seed = max(config.noise, 0.0) / dim**0.5, config.seed
        self.rate = config.lr
        rows = max(2048, config.batch_size) if self.size else 0
        self.pool = np.random.default_rng([config.seed, 3]).standard_normal(
            (rows, dim), dtype=np.float32
        )

    def add_to(self, inputs_BD: Array, orders: Orders, kernels: CPUKernels) -> None:
        """Add this step's noise to this process' rows of the batch."""
        if self.size:
            kernels.add_noise(inputs_BD, self.pool, *self.place(orders, len(inputs_BD)))

    def place(self, orders: Orders, rows: int) -> tuple[int, int, Array]:
        """Return the pool's row and coordinate that begin, and what each row is multiplied by."""
        drawn = np.random.default_rng([self.seed, 4, orders.number])
        start, shift = (int(drawn.integers(size)) for size in self.pool.shape)
        signs = 1 - 2 * drawn.integers(0, 2, orders.total, dtype=np.int8).astype(np.float32)
        mine = (
            np.float32(self.size * min(1.0, orders.rate / self.rate))
            * signs[orders.first : orders.first + rows]
        )
        return start + orders.first, shift, mine


class SparseEngine:
    """The kernels' step: only the encoder's product is dense."""

    def __init__(
        self,
        model: SparseDictionary,
        config: DictionaryTraining,
        kernels: CPUKernels,
        together: Together,
    ) -> None:
        self.model, self.config, self.kernels, self.together = model, config, kernels, together
        self.weights = model.weights()
        self.noise = Noise(config, model.dim)
        self.moments = Moments(self.weights.like(), self.weights.like())

    def step(self, x_BD: Array, orders: Orders) -> Report:
        """Select, reconstruct, sum gradients by latent, move the weights."""
        kernels, weights, objective = self.kernels, self.weights, self.model.objective
        x = kernels.centred(x_BD, orders.factor, weights.pre_bias_D)
        self.noise.add_to(x, orders, kernels)
        code = kernels.select(
            x,
            weights,
            objective.rule(orders.k),
            total=orders.total if self.together.world > 1 else None,
            add_up=self.together.add_up,
        )
        fired = np.bincount(code.indices[code.values > 0], minlength=code.latents)
        orders = still_dead(orders, fired, self.together)
        found = kernels.backward(
            x,
            code,
            weights,
            1.0,
            objective.levels(),
            revival_of(orders, self.model.dim),
            total=orders.total,
            add_up=self.together.add_up,
        )
        knobs = Knobs(
            orders.rate,
            orders.number,
            self.config.beta1,
            self.config.beta2,
            self.config.eps,
            max(0.0, self.config.encoder_decay),
        )
        if self.together.world == 1:
            kernels.step(found, weights, self.moments, knobs)
        else:
            gradients = kernels.gradients(found, weights)
            self.together.add_up_into(
                gradients.encoder_ND, gradients.bias_N, gradients.decoder_ND, gradients.pre_bias_D
            )
            kernels.apply(gradients, weights, self.moments, knobs)
        if objective.watches:
            objective.observed(code, self.together.least)
        return Report(fired, found.losses)

    def state(self) -> dict[str, Tensor]:
        """Return Adam's moments."""
        names = ("encoder_ND", "bias_N", "decoder_ND", "pre_bias_D")
        return {
            f"{moment}.{name}": torch.from_numpy(getattr(getattr(self.moments, moment), name))
            for moment in ("mean", "square")
            for name in names
        }

    def restore(self, state: dict[str, Tensor]) -> None:
        """Take Adam's moments back."""
        for name, held in self.state().items():
            held.copy_(state[name])
