"""Critics that watch the codes: what shared codes must not tell, and private codes must."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from isthmus.data.multimodal import MultimodalData
from isthmus.errors import ConfigError
from isthmus.models.multimodal.model import MultimodalAutoencoder
from isthmus.models.multimodal.objective import Pass
from isthmus.models.multimodal.rows import Rows

__all__ = ["Critics", "reversed_gradient"]


class _Reversed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: float) -> Tensor:
        ctx.weight = weight
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return -ctx.weight * gradients[0], None


def reversed_gradient(x: Tensor, weight: float) -> Tensor:
    """Return x; its gradient comes back with the opposite sign, times ``weight``.

    Source: Ganin and Lempitsky, arXiv:1409.7495.
    """
    result: Tensor = _Reversed.apply(x, weight)  # type: ignore[no-untyped-call]
    return result


class Critics(nn.Module):
    """Classifiers of one factor from the codes of every modality for which it is known.

    Those on shared codes learn the factor as well as they can, and the encoder learns to give
    them nothing; those on private codes and their encoder learn it together. They are part of
    the training, not of the model.

    Raises
    ------
    ConfigError
        If no modality of the data knows the factor.
    """

    def __init__(
        self,
        factor: str,
        model: MultimodalAutoencoder,
        data: MultimodalData,
        *,
        hide: float,
        keep: float,
    ) -> None:
        super().__init__()
        self.factor, self.hide, self.keep = factor, hide, keep
        known = {
            name: int(m.factors[factor].max()) + 1
            for name, m in data.modalities.items()
            if factor in m.factors and name in model.modalities
        }
        if not known:
            has = sorted({f for m in data.modalities.values() for f in m.factors})
            raise ConfigError(
                f"no modality knows the factor {factor!r}",
                fix=f"the data know: {', '.join(has) or 'none'}",
            )
        self.on_shared, self.on_private = nn.ModuleDict(), nn.ModuleDict()
        for name, count in known.items():
            self.on_shared[f"of {name}"] = _head(model.shared, count)
            private = model.sizes(name).latent - model.shared
            if private:
                self.on_private[f"of {name}"] = nn.Linear(private, count)
        self.names = tuple(known)

    def penalty(self, found: Pass, rows: Rows, share: float) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the critics' cost of each row, (B,), and their accuracies.

        Parameters
        ----------
        share
            How far the training is, from 0 to 1: the reversal grows with it, as in the source.
        """
        total = torch.zeros(len(rows), device=rows.labels.device)
        logs: dict[str, Tensor] = {}
        strength = 2 / (1 + torch.tensor(-10 * share).exp().item()) - 1
        for name in self.names:
            truth = rows.factors[self.factor][name]
            seen = reversed_gradient(found.shared[name], self.hide * strength)
            total = total + _cost(self.on_shared[f"of {name}"](seen), truth)
            logs[f"{self.factor}_in_shared_{name}"] = _right(
                self.on_shared[f"of {name}"], found.shared[name], truth
            )
            if f"of {name}" in self.on_private and name in found.private:
                head = self.on_private[f"of {name}"]
                total = total + self.keep * _cost(head(found.private[name]), truth)
        return total, logs


def _head(width: int, count: int) -> nn.Module:
    return nn.Sequential(nn.Linear(width, 64), nn.ReLU(), nn.Linear(64, count))


def _cost(scores: Tensor, truth: Tensor) -> Tensor:
    """Return the cross-entropy of rows whose truth is known, 0 elsewhere, (B,)."""
    return F.cross_entropy(scores, truth, ignore_index=-1, reduction="none")


@torch.no_grad()
def _right(head: nn.Module, codes: Tensor, truth: Tensor) -> Tensor:
    known = truth >= 0
    right = (head(codes).argmax(1) == truth) & known
    share: Tensor = right.sum() / known.sum().clamp_min(1)
    return share
