"""What the torch kernels take and give: codes, weights and moments as tensors on one device."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from isthmus.kernels.code import SparseCode
from isthmus.kernels.rules import Weights

__all__ = ["TensorBackward", "TensorCode", "TensorInputs", "TensorMoments", "TensorWeights"]


@dataclass(frozen=True, eq=False)
class TensorCode:
    """The tensors of a :class:`SparseCode`."""

    indptr: Tensor
    """Where each sample's latents begin and end in the other two, (B + 1,), int64."""
    indices: Tensor
    """Numbers of the active latents, (nnz,), int32."""
    values: Tensor
    """Their activations, (nnz,)."""
    latents: int
    """Number of latents N, active or not."""

    def __len__(self) -> int:
        return len(self.indptr) - 1

    @classmethod
    def of(cls, code: SparseCode, device: torch.device | str = "cpu") -> TensorCode:
        """Copy a code in memory to a device.

        Examples
        --------
        >>> code = SparseCode.fixed(np.array([[1]]), np.array([[2.0]], dtype=np.float32), 3)
        >>> TensorCode.of(code).dense()
        tensor([[0., 2., 0.]])
        """
        indptr = torch.tensor(code.indptr.astype(np.int64), device=device)
        indices = torch.tensor(code.indices.astype(np.int32), device=device)
        return cls(indptr, indices, torch.tensor(code.values, device=device), code.latents)

    @classmethod
    def fixed(cls, indices_BK: Tensor, values_BK: Tensor, latents: int) -> TensorCode:
        """Make a code from K latents a row."""
        rows, width = indices_BK.shape
        indptr = torch.arange(rows + 1, device=indices_BK.device) * width
        return cls(indptr, indices_BK.reshape(-1).int(), values_BK.reshape(-1), latents)

    @property
    def rows(self) -> Tensor:
        """The sample of each entry, (nnz,), int64."""
        numbers = torch.arange(len(self), device=self.indptr.device)
        return numbers.repeat_interleave(self.indptr.diff(), output_size=len(self.indices))

    def dense(self) -> Tensor:
        """Return the code as a tensor (B, N)."""
        out = self.values.new_zeros(len(self), self.latents)
        out[self.rows, self.indices.long()] = self.values
        return out

    def sparse(self) -> SparseCode:
        """Copy the code into memory, as float32."""
        indptr, indices = self.indptr.cpu().numpy(), self.indices.cpu().numpy()
        return SparseCode(indptr, indices, self.values.float().cpu().numpy(), self.latents)


@dataclass(frozen=True, eq=False)
class TensorWeights:
    """A dictionary's weights as contiguous tensors on one device; the step changes them in place.

    The fields are those of :class:`Weights`.
    """

    encoder_ND: Tensor
    """Encoder rows."""
    bias_N: Tensor
    """Encoder bias."""
    decoder_ND: Tensor
    """Decoder rows: the directions of the latents."""
    pre_bias_D: Tensor
    """What is subtracted from the input and added to the output."""

    @classmethod
    def of(
        cls,
        weights: Weights,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> TensorWeights:
        """Copy weights in memory to a device."""
        arrays: tuple[Any, ...] = (
            weights.encoder_ND,
            weights.bias_N,
            weights.decoder_ND,
            weights.pre_bias_D,
        )
        return cls(*(torch.tensor(a, device=device, dtype=dtype) for a in arrays))

    def __iter__(self) -> Iterator[Tensor]:
        return iter((self.encoder_ND, self.bias_N, self.decoder_ND, self.pre_bias_D))

    def like(self) -> TensorWeights:
        """Return zeros of the same shapes."""
        return TensorWeights(*(torch.zeros_like(weight) for weight in self))

    def arrays(self) -> Weights:
        """Copy the weights into memory, as float32."""
        return Weights(*(weight.float().cpu().numpy().copy() for weight in self))


@dataclass(frozen=True, eq=False)
class TensorMoments:
    """Adam's running means of gradients and of their squares, as tensors."""

    mean: TensorWeights
    """Of the gradients."""
    square: TensorWeights
    """Of their squares."""

    @classmethod
    def zeros(cls, weights: TensorWeights) -> TensorMoments:
        """Return the moments before the first step."""
        return cls(weights.like(), weights.like())


@dataclass(frozen=True, eq=False)
class TensorBackward:
    """What one batch asks of the weights, not yet summed by latent."""

    latent: Tensor
    """The latent of each entry, (nnz,), int32; with revival, the dead ones' entries come last."""
    sample: Tensor
    """The row of ``inputs_BD`` of each entry, (nnz,), int64."""
    pull_row: Tensor
    """The row of ``pulls_PD`` of each entry, (nnz,), int64."""
    values: Tensor
    """Activation of each entry, times its loss' scale, (nnz,)."""
    slopes: Tensor
    """Derivative of the loss by each entry's activation, (nnz,)."""
    inputs_BD: Tensor
    """Inputs about the pre-bias."""
    pulls_PD: Tensor
    """Residuals that pull at the decoder."""
    pull_sum_D: Tensor
    """Derivative of the loss by the output's bias, (D,)."""
    losses: dict[str, Tensor]
    """Per-sample means of the loss' terms, still on the device."""


class TensorInputs:
    """What the torch kernels do to the inputs before a step; they hold nothing open."""

    def centred(self, x_BD: Tensor, factor: float, pre_bias_D: Tensor) -> Tensor:
        """Return ``factor * x - pre_bias``, (B, D)."""
        return x_BD * factor - pre_bias_D

    def add_noise(
        self, inputs_BD: Tensor, noise_PD: Tensor, first: int, shift: int, sizes_B: Tensor
    ) -> None:
        """Add ``sizes[b]`` times row ``first + b`` of the noise to each row.

        The noise's rows wrap around, and so do its coordinates, which begin at ``shift``.
        """
        numbers = torch.arange(first, first + len(inputs_BD), device=inputs_BD.device)
        inputs_BD += sizes_B[:, None] * noise_PD[numbers % len(noise_PD)].roll(-shift, 1)

    def close(self) -> None:
        """Nothing is held open."""
