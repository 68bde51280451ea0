"""The sparse step written plainly: dense tensors and automatic differentiation.

The oracle that the fast kernels are tested against, and what runs where they can't. Every batch
keeps several (batch x latents) tensors. Works on any device and in any floating type.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from isthmus.kernels.gpu_tensors import TensorCode, TensorInputs, TensorMoments, TensorWeights
from isthmus.kernels.rules import Above, BatchTopK, Levels, Revival, RowTopK, Rule

if TYPE_CHECKING:
    from isthmus.kernels.optimiser import Knobs

__all__ = ["ReferenceBackward", "ReferenceKernels", "adam_step", "kept", "loss_terms"]


def kept(pre_BN: Tensor, rule: Rule) -> Tensor:
    """Return which pre-activations a rule keeps, (B, N) bool; of equals the first.

    "First" is the lower latent in a row and, for :class:`BatchTopK`, the earlier row.
    """
    if isinstance(rule, RowTopK):
        order_BK = pre_BN.argsort(dim=1, descending=True, stable=True)[:, : rule.k]
        return torch.zeros_like(pre_BN, dtype=torch.bool).scatter_(1, order_BK, True)
    if isinstance(rule, BatchTopK):
        flat = pre_BN.reshape(-1)
        order = flat.argsort(descending=True, stable=True)[: rule.k * len(pre_BN)]
        mask = torch.zeros_like(flat, dtype=torch.bool).index_fill_(0, order, True)
        return mask.reshape_as(pre_BN) & (pre_BN > 0)
    if isinstance(rule, Above):
        threshold_N = torch.as_tensor(rule.threshold_N).to(pre_BN)
        return pre_BN > threshold_N.clamp(min=0)
    raise TypeError(f"{rule!r} is not a rule of selection")


def loss_terms(
    inputs_BD: Tensor,
    rule: TensorCode | Rule,
    weights: TensorWeights,
    scale: float,
    levels: Levels | None = None,
    revival: Revival | None = None,
    total: int | None = None,
    add_up: Callable[[Tensor], Tensor] = lambda sums: sums,
) -> dict[str, Tensor]:
    """Return the terms whose sum is the loss of a batch, with their graph.

    Parameters
    ----------
    inputs_BD
        Inputs about the pre-bias.
    rule
        What is kept; or a code whose latents are taken as the kept ones, without its values.
    scale
        ``distortion`` is ``scale`` times the mean over samples of the squared error, or with
        ``levels`` the weighted sum of that over levels.
    revival
        Adds ``revival``, the auxiliary loss of Gao et al., arXiv:2406.04093, A.2.
    total, add_up
        Samples of the whole batch, where other processes hold the rest of it, and what adds sums
        over them: the terms are then this process' share.
    """
    scale = scale / (total or len(inputs_BD))
    # inputs already stand about the pre-bias: what it changes, not what it is, is still to act
    moved_D = weights.pre_bias_D - weights.pre_bias_D.detach()
    centred_BD = inputs_BD - moved_D
    pre_BN = centred_BD @ weights.encoder_ND.T + weights.bias_N
    codes_BN = pre_BN.relu() * _mask(rule, pre_BN)

    residual_BD = codes_BN @ weights.decoder_ND - centred_BD
    terms = {"distortion": scale * residual_BD.square().sum()}
    if levels is not None:
        terms["distortion"] = torch.stack(
            [
                weight * scale * (part_BN @ weights.decoder_ND - centred_BD).square().sum()
                for weight, part_BN in zip(levels.weights, _partial(codes_BN, levels), strict=True)
            ]
        ).sum()

    if revival is not None and len(revival.dead):
        dead = torch.as_tensor(revival.dead, device=pre_BN.device)
        error_RD = -residual_BD[revival.rows].detach()  # x - x_hat: what is left to explain
        spread = _spread(error_RD, add_up)
        dead_RM = pre_BN[revival.rows][:, dead]
        used_RM = kept(dead_RM.detach(), RowTopK(min(revival.k, len(dead))))
        explained_RD = (dead_RM.relu() * used_RM) @ weights.decoder_ND[dead]  # without any bias
        if spread > 0:
            terms["revival"] = revival.weight * (error_RD - explained_RD).square().sum() / spread
    return terms


def _spread(error_RD: Tensor, add_up: Callable[[Tensor], Tensor]) -> Tensor:
    """Return ``sum ||e - mean e||^2``; 0 where the rows are alike but for rounding."""
    if error_RD.device.type != "mps":  # which has no float64
        error_RD = error_RD.double()
    count = error_RD.new_tensor([len(error_RD)])
    sums = add_up(torch.cat([count, error_RD.square().sum()[None], error_RD.sum(0)]))
    spread = sums[1] - sums[2:].square().sum() / sums[0].clamp(min=1)
    return torch.where(spread > 1e-9 * sums[1], spread, 0)


def _mask(rule: TensorCode | Rule, pre_BN: Tensor) -> Tensor:
    if not isinstance(rule, TensorCode):
        return kept(pre_BN.detach(), rule)
    mask = torch.zeros_like(pre_BN, dtype=torch.bool)
    mask[rule.rows, rule.indices.long()] = True
    return mask


def _partial(codes_BN: Tensor, levels: Levels) -> Iterator[Tensor]:
    """Yield what each level reconstructs with: the largest of a row, or the first latents."""
    place_BN = torch.arange(codes_BN.shape[1], device=codes_BN.device).expand_as(codes_BN)
    if levels.by_rank:
        falling = codes_BN.detach().argsort(dim=1, descending=True, stable=True)
        place_BN = falling.argsort(dim=1)
    for end in levels.ends:
        yield codes_BN * (place_BN < end)


@torch.no_grad()
def adam_step(
    gradients: TensorWeights, weights: TensorWeights, moments: TensorMoments, knobs: Knobs
) -> None:
    """Take one step of ``torch.optim.Adam``, with the decoder's rows held on the unit sphere.

    The part of each decoder row's gradient that runs along the row is left out before the step,
    and the row is brought back to norm 1 after it (Bricken et al., 2023; Gao et al., 2406.04093).
    The encoder shrinks first where there is weight decay, as in ``torch.optim.AdamW``.
    """
    weights.encoder_ND.mul_(1 - knobs.rate * knobs.decay)
    along_N1 = (gradients.decoder_ND * weights.decoder_ND).sum(1, keepdim=True)
    across_ND = gradients.decoder_ND - along_N1 * weights.decoder_ND
    gradients = TensorWeights(
        gradients.encoder_ND, gradients.bias_N, across_ND, gradients.pre_bias_D
    )
    for weight, g, mean, square in zip(
        weights, gradients, moments.mean, moments.square, strict=True
    ):
        mean.mul_(knobs.beta1).add_(g, alpha=1 - knobs.beta1)
        square.mul_(knobs.beta2).addcmul_(g, g, value=1 - knobs.beta2)
        mean_hat = mean / (1 - knobs.beta1**knobs.step)
        square_hat = square / (1 - knobs.beta2**knobs.step)
        weight -= knobs.rate * mean_hat / (square_hat.sqrt() + knobs.epsilon)
    norm_N1 = weights.decoder_ND.norm(dim=1, keepdim=True)
    weights.decoder_ND.div_(torch.where(norm_N1 > 0, norm_N1, 1))


@dataclass(frozen=True, eq=False)
class ReferenceBackward:
    """What one batch asks of the weights."""

    losses: dict[str, float]
    """Per-sample means of the loss' terms."""
    gradients: TensorWeights
    """Derivatives of their sum."""


class ReferenceKernels(TensorInputs):
    """Selection, decoding, gradients and the optimiser's step on tensors, the plain way.

    Parameters
    ----------
    why
        Why these kernels were chosen and not the fast ones, for messages.
    """

    def __init__(self, why: str = "") -> None:
        self.why = why

    @torch.no_grad()
    def select(self, inputs_BD: Tensor, weights: TensorWeights, rule: Rule) -> TensorCode:
        """Encode inputs that stand about the pre-bias, and keep what the rule keeps."""
        pre_BN = inputs_BD @ weights.encoder_ND.T + weights.bias_N
        mask = kept(pre_BN, rule)
        indptr = torch.nn.functional.pad(mask.sum(1).cumsum(0), (1, 0))
        return TensorCode(indptr, mask.nonzero()[:, 1].int(), pre_BN.relu()[mask], mask.shape[1])

    @torch.no_grad()
    def decode(self, code: TensorCode, decoder_ND: Tensor, pre_bias_D: Tensor) -> Tensor:
        """Return ``codes @ decoder + pre_bias``, (B, D)."""
        return code.dense() @ decoder_ND + pre_bias_D

    def gradients_of(
        self,
        inputs_BD: Tensor,
        rule: TensorCode | Rule,
        weights: TensorWeights,
        scale: float,
        levels: Levels | None = None,
        revival: Revival | None = None,
        *,
        total: int | None = None,
        add_up: Callable[[Tensor], Tensor] = lambda sums: sums,
    ) -> tuple[dict[str, float], TensorWeights]:
        """Return the terms of :func:`loss_terms` and the gradients of their sum.

        Beside the terms stands ``whole`` where there are levels: the distortion of the last.
        """
        leaves = TensorWeights(*(w.detach().clone().requires_grad_() for w in weights))
        with torch.enable_grad():
            terms = loss_terms(inputs_BD, rule, leaves, scale, levels, revival, total, add_up)
            found = torch.autograd.grad(sum(terms.values()), list(leaves))  # type: ignore[arg-type]
        losses = {name: float(term.detach()) for name, term in terms.items()}
        if levels is not None:
            whole = loss_terms(inputs_BD, rule, weights, scale, total=total)
            losses["whole"] = float(whole["distortion"])
        return losses, TensorWeights(*found)

    def backward(
        self,
        inputs_BD: Tensor,
        code: TensorCode,
        weights: TensorWeights,
        scale: float,
        levels: Levels | None = None,
        revival: Revival | None = None,
        *,
        total: int | None = None,
        add_up: Callable[[Tensor], Tensor] = lambda sums: sums,
    ) -> ReferenceBackward:
        """Reconstruct, and find the gradients; arguments as in :func:`loss_terms`."""
        return ReferenceBackward(
            *self.gradients_of(
                inputs_BD, code, weights, scale, levels, revival, total=total, add_up=add_up
            )
        )

    def gradients(self, found: ReferenceBackward, weights: TensorWeights) -> TensorWeights:
        """Return the gradients of all weights."""
        return found.gradients

    def apply(
        self,
        gradients: TensorWeights,
        weights: TensorWeights,
        moments: TensorMoments,
        knobs: Knobs,
    ) -> None:
        """Take Adam's step: see :func:`adam_step`."""
        adam_step(gradients, weights, moments, knobs)

    def step(
        self,
        found: ReferenceBackward,
        weights: TensorWeights,
        moments: TensorMoments,
        knobs: Knobs,
    ) -> None:
        """Gradients and Adam's step."""
        adam_step(found.gradients, weights, moments, knobs)
