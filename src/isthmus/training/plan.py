"""What a training would do: parameters, memory and time, before it is done."""

from __future__ import annotations

import copy
import math
import time
from dataclasses import dataclass

import torch

from isthmus.data.dataset import Dataset
from isthmus.models.autoencoder import Autoencoder
from isthmus.training.batches import IN_MEMORY_BYTES, Batches
from isthmus.training.config import Training
from isthmus.training.device import chosen_device
from isthmus.training.optimiser import optimiser_for

__all__ = ["Plan", "plan"]


@dataclass(frozen=True)
class Plan:
    """An estimate; times come from a few steps taken on a copy of the model."""

    parameters: int
    """Trained parameters."""
    steps: int
    """Optimiser steps in all."""
    memory_bytes: int
    """Weights, gradients, Adam's two moments, and the training data kept in memory."""
    disk_bytes: int
    """The run folder: weights and one checkpoint."""
    seconds: float
    """Training steps alone, all epochs."""
    samples_per_second: float
    """Measured speed of a step."""
    device: str
    """Where it would run."""
    words: tuple[str, ...]
    """What the objective amounts to."""


def plan(model: Autoencoder, dataset: Dataset, config: Training, probes: int = 5) -> Plan:
    """Estimate a training by taking ``probes`` steps on a copy; nothing given is changed."""
    device = chosen_device(config.device)
    trial = copy.deepcopy(model).to(device).train()
    train = dataset["train"]
    batches = Batches(train, trial.preprocessing, device, limit=0)
    optimiser = optimiser_for(trial, config, device)
    index = torch.arange(min(config.batch_size, len(train)))
    with torch.random.fork_rng(devices=[]):
        generator = torch.Generator(device).manual_seed(config.seed)
        x = batches.at(index)
        times = []
        for _ in range(probes + 1):
            start = time.perf_counter()
            optimiser.zero_grad(set_to_none=True)
            trial.terms(x, generator).loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            times.append(time.perf_counter() - start)
    step = sorted(times[1:])[probes // 2]
    steps = config.epochs * math.ceil(len(train) / config.batch_size)
    weights = 4 * model.parameters_count
    data = 4 * len(train) * math.prod(train.shape)
    return Plan(
        parameters=model.parameters_count,
        steps=steps,
        memory_bytes=4 * weights + (data if data <= IN_MEMORY_BYTES else 0),
        disk_bytes=4 * weights,
        seconds=step * steps,
        samples_per_second=len(index) / step,
        device=str(device),
        words=tuple(model.describe()),
    )
