"""Train a judge on real items: a few hundred steps, seeded, on one thread or many."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from isthmus.data.modalities.audio import AudioAdapter
from isthmus.data.modalities.augment import (
    ImageAugment,
    SoundAugment,
    SoundChanger,
    augment_images,
)
from isthmus.data.modalities.base import Adapter
from isthmus.data.modalities.image import ImageAdapter
from isthmus.errors import ConfigError, DataError
from isthmus.runs.multimodal.judge import NetworkJudge, judge_network

__all__ = ["JudgeSettings", "train_judge"]

Labels = NDArray[np.int64]
Changer = Callable[[Tensor, torch.Generator], Tensor]


@dataclass(frozen=True)
class JudgeSettings:
    """How judges are trained."""

    steps: int = 600
    """Optimiser steps of each member."""
    batch: int = 128
    """Items a step."""
    lr: float = 4e-3
    """Largest learning rate; it rises and falls once."""
    seeds: tuple[int, ...] = (0, 1)
    """Seeds of the members, which judge together."""
    augment: bool = True
    """Change pictures and sounds a little while training."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "seeds", tuple(self.seeds))
        if self.steps < 1 or self.batch < 2 or not self.lr > 0 or not self.seeds:
            raise ConfigError("judges need steps, batches of two or more, a rate and a seed")


def train_judge(
    items: Tensor,
    labels: Labels,
    classes: int,
    adapter: Adapter,
    settings: JudgeSettings | None = None,
) -> NetworkJudge:
    """Train the judge of one modality.

    Parameters
    ----------
    items
        Real transformed items (n, *shape), and nothing that a model made.
    labels
        Their classes (n,), none unknown.
    classes
        How many there are.
    adapter
        Of the modality: says how its items may be changed.
    settings
        How.

    Raises
    ------
    DataError
        If there are no items, or a class is out of range.
    """
    settings = settings or JudgeSettings()
    if len(items) != len(labels) or not len(labels):
        raise DataError("a judge needs items and the class of each", why=f"{len(items)} items")
    if labels.min() < 0 or labels.max() >= classes:
        raise DataError("a class is out of range", why=f"there are {classes} classes")
    change = _changer(adapter) if settings.augment else None
    truth = torch.from_numpy(np.ascontiguousarray(labels))
    shape = tuple(items.shape[1:])
    members = tuple(
        _member(items, truth, shape, classes, change, settings, seed) for seed in settings.seeds
    )
    return NetworkJudge(members, shape, classes)


def _member(
    items: Tensor,
    truth: Tensor,
    shape: tuple[int, ...],
    classes: int,
    change: Changer | None,
    settings: JudgeSettings,
    seed: int,
) -> nn.Module:
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)  # weights and dropout
        member = judge_network(shape, classes).train()
        # momentum of the weights' scale would undo decay on normalisations; Adam's is decoupled
        optimiser = torch.optim.AdamW(member.parameters(), settings.lr, weight_decay=1e-2)
        order = torch.empty(0, dtype=torch.int64)
        for step in range(settings.steps):
            if len(order) < settings.batch:
                fresh = torch.randperm(len(items), generator=generator)
                order = torch.cat([order, fresh])
                while len(order) < settings.batch:
                    order = torch.cat([order, torch.randperm(len(items), generator=generator)])
            rows, order = order[: settings.batch], order[settings.batch :]
            batch = items[rows].float()
            if change is not None:
                batch = change(batch, generator)
            for group in optimiser.param_groups:
                group["lr"] = settings.lr * _one_cycle(step / settings.steps)
            optimiser.zero_grad(set_to_none=True)
            loss = F.cross_entropy(member(batch), truth[rows], label_smoothing=0.02)
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
    return member.eval().requires_grad_(False)


def _one_cycle(share: float) -> float:
    """Return the learning rate's factor: a short rise, then a cosine to zero."""
    if share < 0.1:
        return (share + 0.01) / 0.11
    return 0.5 * (1 + math.cos(math.pi * (share - 0.1) / 0.9))


def _changer(adapter: Adapter) -> Changer | None:
    if isinstance(adapter, AudioAdapter):
        return SoundChanger(adapter, SoundAugment(tract=0.08, tilt=3.0, bumps=1.5, gain=3.0))
    if isinstance(adapter, ImageAdapter):
        amounts = ImageAugment(elastic=0.0, shear=0.05, rotation=5.0, scale=0.05, shift=0.05)
        return lambda batch, generator: augment_images(batch, generator, amounts)
    return None
