"""A running average of the weights, which generalises better than the last ones."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor, nn

__all__ = ["averaged", "follow"]


@torch.no_grad()
def follow(average: dict[str, Tensor], model: nn.Module, decay: float, step: int) -> None:
    """Move an average in place towards a model's weights, and what normalisations remember.

    Parameters
    ----------
    average
        By name; filled at the first call.
    decay
        How much of the average stays at each step; 0: there is none.
    step
        Steps before this one: young averages forget faster, so that the start is soon forgotten.

    Source: Polyak and Juditsky, 1992; exponential as in Tarvainen and Valpola, arXiv:1703.01780.
    """
    if not decay:
        return
    decay = min(decay, (1 + step) / (10 + step))
    for name, value in model.state_dict().items():
        if name not in average:
            average[name] = value.detach().clone()
        elif value.is_floating_point():
            average[name].lerp_(value, 1 - decay)
        else:
            average[name].copy_(value)


@contextlib.contextmanager
def averaged(model: nn.Module, average: dict[str, Tensor]) -> Iterator[None]:
    """Give a model the averaged weights for a while; where there are none, its own."""
    own = {k: v.clone() for k, v in model.state_dict().items()} if average else {}
    if average:
        model.load_state_dict(average)
    try:
        yield
    finally:
        if own:
            model.load_state_dict(own)
