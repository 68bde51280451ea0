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
    encoder: Tensor
    """The encoder's weights themselves, no copy, (N, D)."""
    bias: Tensor
    """The encoder's bias itself, no copy, (N,)."""

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
        """Return what pre-activations are multiplied with at inference, (N,) or 1."""
        return 1.0

    @torch.no_grad()
    def retire(self, count: int, x_BD: Tensor) -> None:
        """Make the first ``count`` latents dead, their clocks run out.

        Their pre-activations are squeezed to between 0 and the least that was chosen for any
        sample, so that revival has as much to do as it ever has.
        """
        encoder, bias, _, pre_bias = self.weights()
        pre_BN = (x_BD - pre_bias) @ encoder.T
        low = (pre_BN + bias).topk(self.task.k).values[:, -1].min()
        centre = pre_BN.mean(0)
        squeeze = (low / 4 / (pre_BN - centre).abs().amax(0)).clamp(max=1)
        self.encoder[:count] *= squeeze[:count, None]
        self.bias[:count] = ((low / 2 - centre * squeeze) / self.unit())[:count]
        self.run_out(count)


def dense(codes: Tensor | tuple[Tensor, Tensor], latents: int) -> Tensor:
    """Return codes as a dense tensor (B, N)."""
    if isinstance(codes, Tensor):
        return codes
    indices, values = codes
    return values.new_zeros(len(values), latents).scatter_(1, indices, values)


def copies(*tensors: Tensor) -> Weights:
    return Weights(*(tensor.detach().clone() for tensor in tensors))
