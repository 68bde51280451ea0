"""Critics that watch the codes: what shared codes must not tell, and private codes must."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from isthmus.data.multimodal import MultimodalData
from isthmus.errors import ConfigError
from isthmus.models.multimodal.model import MultimodalAutoencoder
from isthmus.models.multimodal.objective import Pass
from isthmus.models.multimodal.rows import Rows
from isthmus.training.multimodal.config import MultimodalTraining

__all__ = ["Critics", "separation"]

APART = 3.0
"""What a variance that lies wholly between the groups costs, beside a nat of a critic's."""


class Critics(nn.Module):
    """Classifiers that watch the codes of every modality for which there is something to tell.

    Those that are to learn nothing are trained on codes that they can't change, and encoders
    learn to leave them undecided: the cross-entropy of their answer with the even one, which is
    bounded below, where a reversed gradient (Ganin and Lempitsky, arXiv:1409.7495) rewards codes
    that are told apart wrongly, and are told apart all the same. Those that are to learn, learn
    together with their encoder. All are part of the training, not of the model.

    Parameters
    ----------
    model, data
        What is trained, and on what.
    config
        ``hide``, ``hide_weight``, ``keep_weight`` and ``pure_weight``.

    Raises
    ------
    ConfigError
        If no modality of the data knows the factor that is to be hidden.

    Source: Tzeng, Hoffman, Darrell and Saenko, "Simultaneous deep transfer across domains and
    tasks", arXiv:1510.02192 (confusion).
    """

    def __init__(
        self, model: MultimodalAutoencoder, data: MultimodalData, config: MultimodalTraining
    ) -> None:
        super().__init__()
        self.posts: list[_Post] = []
        self.heads = nn.ModuleDict()
        factors: tuple[str, ...] = (config.hide,) if config.hide else ()
        if config.hide == "auto":
            known = (factor for name in model.names for factor in data[name].factors)
            factors = tuple(dict.fromkeys(known))
        for factor in factors:
            self._watch_factor(factor, model, data, config)
        if config.pure_weight and data.classes:
            for name in model.names:
                seen = _seen(data[name].labels[data[name].rows("train")])
                self._add(model, _Post("", name, "private", True, config.pure_weight, seen))

    def _watch_factor(
        self,
        factor: str,
        model: MultimodalAutoencoder,
        data: MultimodalData,
        config: MultimodalTraining,
    ) -> None:
        known = [n for n in model.names if factor in data[n].factors]
        if not known:
            has = sorted({f for name in model.names for f in data[name].factors})
            raise ConfigError(
                f"no modality knows the factor {factor!r}",
                fix=f"the data know: {', '.join(has) or 'none'}",
            )
        for name in known:
            values = data[name].factors[factor]
            seen = _seen(values[data[name].rows("train")])
            for codes, hides, weight in (
                ("shared", True, config.hide_weight),
                ("private", False, config.keep_weight),
            ):
                self._add(model, _Post(factor, name, codes, hides, weight, seen))

    def _add(self, model: MultimodalAutoencoder, post: _Post) -> None:
        count = len(post.seen)
        private = model.sizes(post.modality).latent - model.shared
        width = model.shared if post.codes == "shared" else private
        if width and count > 1:
            self.posts.append(post)
            self.heads[post.key] = _head(width, count) if post.hides else nn.Linear(width, count)

    def penalty(self, found: Pass, rows: Rows, share: float) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the critics' cost of each row, (B,), and how often they are right.

        Parameters
        ----------
        share
            How far the training is, from 0 to 1: critics are heeded more and more at its start.
        """
        total = torch.zeros(len(rows), device=rows.labels.device)
        logs: dict[str, Tensor] = {}
        for post in self.posts:
            truth, head = post.truth(rows), self.heads[post.key]
            codes = (found.shared if post.codes == "shared" else found.private)[post.modality]
            if not post.hides:
                total = total + post.weight * _cost(head(codes), truth)
                continue
            told = head(codes.detach())
            heed = post.weight * min(1.0, 10 * share)
            apart = APART * separation(codes, truth, rows.labels if post.factor else None)
            total = total + _cost(told, truth) + heed * (_doubt(head, codes, truth) + apart)
            logs[f"told_{post.key}"] = _right(told, truth)
        return total, logs


@dataclass(frozen=True)
class _Post:
    """What a critic watches."""

    factor: str
    """The factor that it tells; empty: the class."""
    modality: str
    codes: str
    hides: bool
    weight: float
    seen: tuple[int, ...]
    """Numbers that occur in training: a critic that may name others is never undecided."""

    @property
    def key(self) -> str:
        return f"{self.factor or 'class'}_{self.codes}_{self.modality}"

    def truth(self, rows: Rows) -> Tensor:
        """Return the place in ``seen`` of what each row is, -1 where nobody knows, (B,)."""
        if self.factor:
            said = rows.factors[self.factor][self.modality]
        else:
            there = rows.mask[self.modality]
            said = torch.where(there, rows.labels, rows.labels.new_tensor(-1))
        found = torch.full_like(said, -1)
        for place, number in enumerate(self.seen):
            found = torch.where(said == number, place, found)
        return found


def _seen(values: NDArray[np.int64]) -> tuple[int, ...]:
    """Return the numbers that occur, those of what is unknown (-1) left out."""
    return tuple(int(value) for value in np.unique(values) if value >= 0)


def _head(width: int, count: int) -> nn.Module:
    return nn.Sequential(nn.Linear(width, 64), nn.ReLU(), nn.Linear(64, count))


def _cost(scores: Tensor, truth: Tensor) -> Tensor:
    """Return the cross-entropy of rows whose truth is known, 0 elsewhere, (B,)."""
    return F.cross_entropy(scores, truth, ignore_index=-1, reduction="none")


def _doubt(head: nn.Module, codes: Tensor, truth: Tensor) -> Tensor:
    """Return how far a critic is from undecided, in nats, (B,); only the codes have a gradient."""
    fixed = {name: value.detach() for name, value in head.named_parameters()}
    scores: Tensor = functional_call(head, fixed, (codes,))
    away = -scores.log_softmax(1).mean(1) - math.log(scores.shape[1])
    return torch.where(truth >= 0, away, away.new_zeros(()))


def separation(codes: Tensor, truth: Tensor, labels: Tensor | None) -> Tensor:
    """Return the share of the codes' variance that lies between groups, above chance, ().

    ``eta^2 = sum_g n_g (mean_g - mean)^2 / sum_i (x_i - mean)^2`` of each coordinate, averaged,
    less its expectation ``(G - 1)/(n - 1)`` where groups mean nothing; at least 0. A critic that
    lags behind its codes misses what this sees at once; it sees means only.

    Parameters
    ----------
    codes, truth
        (B, Z), and the group of each row, -1: unknown.
    labels
        Class of each row, whose means are taken out first; None: no classes.
    """
    known = truth >= 0
    x, groups = codes[known], truth[known]
    count = len(torch.unique(groups))
    if count < 2 or len(x) < count + 1:
        return codes.new_zeros(())
    if labels is not None:
        x = x - _group_means(x, labels[known])
    x = x - x.mean(0)
    between = _group_means(x, groups).square().sum(0)
    share = between / x.square().sum(0).clamp_min(1e-8)
    return (share.mean() - (count - 1) / (len(x) - 1)).clamp_min(0)


def _group_means(x: Tensor, groups: Tensor) -> Tensor:
    """Return for each row the mean of its group, (B, Z)."""
    _, index = torch.unique(groups, return_inverse=True)
    sums = x.new_zeros(int(index.max()) + 1, x.shape[1]).index_add(0, index, x)
    counts = torch.bincount(index).unsqueeze(1)
    means: Tensor = (sums / counts)[index]
    return means


@torch.no_grad()
def _right(told: Tensor, truth: Tensor) -> Tensor:
    known = truth >= 0
    right = (told.argmax(1) == truth) & known
    share: Tensor = right.sum() / known.sum().clamp_min(1)
    return share
