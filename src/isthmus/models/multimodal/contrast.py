"""Contrast between codes that belong together and codes that don't; and their spread."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor

__all__ = ["Look", "Relation", "contrast", "covariance", "guessed", "variance"]

Relation = Literal["positive", "masked", "negative"]
"""What rows of the same known class are to each other: alike, not compared, or unlike."""


class Look:
    """One look at the rows: unit codes (B, Z) of a modality, and which rows have it."""

    def __init__(self, unit: Tensor, there: Tensor) -> None:
        self.unit, self.there = unit, there


class _Sets(NamedTuple):
    """Which columns each row is compared with, (B, B)."""

    positive: Tensor
    allowed: Tensor


def contrast(
    looks: Sequence[Look], labels: Tensor, scale: Tensor, alike: Relation = "positive"
) -> Tensor:
    """Return the contrastive cost of each row, (B,), its mean over the ordered pairs of looks.

    For an anchor ``u_i`` of one look and candidates ``v_j`` of another::

        -1/|P_i| sum_{p in P_i} log( exp(s u_i.v_p) / sum_{j in P_i or N_i} exp(s u_i.v_j) )

    where ``P_i`` is the row itself ("masked", "negative"), or the rows of its class ("positive"),
    and ``N_i`` the rest, without rows of its class where those are "masked". Rows that one of two
    looks lacks take no part in that pair; a row of unknown class is alike to itself alone.

    Parameters
    ----------
    looks
        At least two for any cost.
    labels
        Class of each row, (B,), -1: unknown.
    scale
        The inverse temperature s.

    Sources: van den Oord et al., arXiv:1807.03748; Radford et al., arXiv:2103.00020 (symmetric,
    learned temperature); Khosla et al., arXiv:2004.11362 (rows of a class as positives).
    """
    count = len(labels)
    total = torch.zeros(count, device=labels.device)
    taken = torch.zeros(count, device=labels.device)
    own = torch.eye(count, dtype=torch.bool, device=labels.device)
    same = (labels[:, None] == labels[None]) & (labels >= 0)[:, None]
    for a, left in enumerate(looks):
        for b, right in enumerate(looks):
            if a == b:
                continue
            sets = _sets(own, same, right.there, alike)
            # an anchor whose own counterpart is missing may still have its class for company
            active = left.there & sets.positive.any(1)
            cost = _cost(scale * left.unit @ right.unit.T, sets)
            total = total + torch.where(active, cost, cost.new_zeros(()))
            taken = taken + active.float()
    return total / taken.clamp_min(1)


def _sets(own: Tensor, same: Tensor, there: Tensor, alike: Relation) -> _Sets:
    positive = own | same if alike == "positive" else own
    allowed = ~same | own if alike == "masked" else torch.ones_like(own)
    return _Sets(positive & there, allowed & there)


def _cost(scores: Tensor, sets: _Sets) -> Tensor:
    """Return the mean cross-entropy of each row's positives, (B,); finite where it has none."""
    low = -1e9  # finite, so that rows without candidates give no NaN to the gradient
    log_p = scores.masked_fill(~sets.allowed, low).log_softmax(1)
    chosen = torch.where(sets.positive, log_p, log_p.new_zeros(()))
    return -chosen.sum(1) / sets.positive.sum(1).clamp_min(1)


@torch.no_grad()
def guessed(looks: Sequence[Look], labels: Tensor, least: float, scale: Tensor) -> Tensor:
    """Return labels (B,), rows of unknown class taking that of the labelled rows near them.

    A class's centre is the mean unit code of its labelled rows, over all looks; a row's certainty
    is the softmax of its cosines with the centres, times ``scale``, averaged over its looks.
    Where the likeliest class reaches ``least`` it becomes the row's, for this batch alone.

    Source: Lee, "Pseudo-label", ICML workshop 2013; with a threshold as Sohn et al., FixMatch,
    arXiv:2001.07685; with centres as Snell et al., arXiv:1703.05175.
    """
    known = labels >= 0
    classes, index = torch.unique(labels[known], return_inverse=True)
    if len(classes) < 2 or bool(known.all()):
        return labels
    units = torch.stack([look.unit * look.there.unsqueeze(1) for look in looks])
    sums = units.new_zeros(len(classes), units.shape[2])
    sums = sums.index_add(0, index, units.sum(0)[known])
    centres = torch.nn.functional.normalize(sums, dim=1)
    there = torch.stack([look.there.float() for look in looks])
    certain = (scale * units @ centres.T).softmax(-1) * there.unsqueeze(-1)
    best, chosen = (certain.sum(0) / there.sum(0).clamp_min(1).unsqueeze(1)).max(1)
    return torch.where(~known & (best >= least), classes[chosen], labels)


def variance(codes: Tensor, floor: float) -> Tensor:
    """Return the mean shortfall of the coordinates' standard deviations below ``floor``, ().

    Source: Bardes, Ponce and LeCun, VICReg, arXiv:2105.04906.
    """
    if len(codes) < 2:
        return codes.new_zeros(())
    return (floor - (codes.var(0) + 1e-4).sqrt()).clamp_min(0).mean()


def covariance(codes: Tensor) -> Tensor:
    """Return the sum of squared covariances between coordinates over their number, ().

    Source: as :func:`variance`.
    """
    if len(codes) < 2:
        return codes.new_zeros(())
    centred = codes - codes.mean(0)
    matrix = centred.T @ centred / (len(codes) - 1)
    off = matrix - torch.diag(matrix.diagonal())
    return off.square().sum() / codes.shape[1]


HOTTEST = math.log(100)
"""Largest logarithm of the learned inverse temperature."""
