"""One face for everything that trains a TopK dictionary, so that all are measured alike."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor


@dataclass(frozen=True)
class Task:
    """What is to be trained, and how; None leaves a setting to the library."""

    dim: int
    """Width D of the vectors."""
    latents: int
    """Size N of the dictionary."""
    k: int
    """Active latents of a sample."""
    batch: int
    """Samples of a step."""
    steps: int
    """Steps of the whole training, for the schedules."""
    lr: float | None = None
    """Learning rate."""
    warmup: int | None = None
    """Steps over which the rate rises from 0."""
    decay: float | None = None
    """Part of the training, at its end, over which the rate falls to 0."""
    aux: bool | None = None
    """Whether dead latents are revived."""
    seed: int = 0
    """Of the initial weights."""

    @property
    def decay_steps(self) -> int:
        """Steps over which the rate falls."""
        return round((self.decay or 0) * self.steps)


class Weights(NamedTuple):
    """Codes are the k largest of relu((x - pre_bias) @ encoder.T + bias)."""

    encoder_ND: Tensor
    bias_N: Tensor
    decoder_ND: Tensor
    pre_bias_D: Tensor


class Peer(ABC):
    """A dictionary under training."""

    task: Task
    bias: Tensor
    """The encoder's bias itself, (N,)."""

    @abstractmethod
    def step(self, x_BD: Tensor) -> None:
        """Take one whole training step."""

    @abstractmethod
    def encode(self, x_BD: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """Return dense codes (B, N), or the indices and values (B, k) of sparse ones."""

    @abstractmethod
    def weights(self) -> Weights:
        """Return copies of the weights as inference uses them."""

    def run_out(self, count: int) -> None:
        """Set the dead clocks of the first ``count`` latents beyond the library's threshold."""
        raise NotImplementedError

    def unit(self) -> Tensor | float:
        """Return what the encoder's bias is multiplied with at inference."""
        return 1.0

    @torch.no_grad()
    def retire(self, count: int, x_BD: Tensor) -> None:
        """Make the first ``count`` latents dead: too low to be chosen, positive, clocks run out."""
        encoder, bias, _, pre_bias = self.weights()
        pre_BN = (x_BD - pre_bias) @ encoder.T + bias
        low = pre_BN.topk(self.task.k).values[:, -1].min() / 2
        excess = (pre_BN.amax(0) - low).clamp(min=0) / self.unit()
        self.bias[:count] -= excess[:count]
        self.run_out(count)


def dense(codes: Tensor | tuple[Tensor, Tensor], latents: int) -> Tensor:
    """Return codes as a dense tensor (B, N)."""
    if isinstance(codes, Tensor):
        return codes
    indices, values = codes
    return values.new_zeros(len(values), latents).scatter_(1, indices, values)


def copies(*tensors: Tensor) -> Weights:
    return Weights(*(tensor.detach().clone() for tensor in tensors))
