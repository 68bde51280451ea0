"""Isthmus' own trainer behind the face of the benchmarks: its defaults, but for what is asked."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from dictionary_face import Peer, Task, Weights
from isthmus.bottlenecks import TopK
from isthmus.kernels.cpu import CPUKernels
from isthmus.kernels.rules import RowTopK
from isthmus.models.dictionary import SparseDictionary
from isthmus.training.dictionary import DictionaryTraining, Together
from isthmus.training.dictionary.member import Member
from isthmus.training.dictionary.rules import completed
from isthmus.training.dictionary.start import started


class _Ours(Peer):
    """The trainer of ``isthmus.training.dictionary``, float32."""

    precision = "float32"

    def __init__(self, task: Task, data: Tensor, **settings: float) -> None:
        self.task, self.number = task, 0
        rows = data.numpy()
        self.model = SparseDictionary(task.dim, TopK(task.latents, k=task.k), seed=task.seed)
        asked = {} if task.lr is None else {"lr": task.lr}
        asked |= {} if task.aux is None else {"revival": task.aux / 32}
        passes = max(1, round(task.steps * task.batch / len(rows)))
        chosen: dict[str, Any] = {
            "precision": self.precision,
            "seed": task.seed,
            **asked,
            **settings,
        }
        config = DictionaryTraining(epochs=passes, batch_size=task.batch, **chosen)
        config = completed(config, task.steps * task.batch // passes, task.latents)
        scale = started(self.model, rows[:32_768], task.seed)
        self.kernels = CPUKernels(torch.get_num_threads(), fast=self.precision == "fast")
        mean = rows[:32_768].mean(0)
        self.member = Member(self.model, config, scale, mean, self.kernels, Together())
        self.encoder, self.bias = self.model.encoder.data, self.model.bias.data

    def step(self, x_BD: Tensor) -> None:
        self.number += 1
        with self.kernels.team.at_work():
            self.member.step(x_BD.numpy(), self.number, self.task.steps)

    def encode(self, x_BD: Tensor) -> tuple[Tensor, Tensor]:
        weights = self.model.weights()
        x = self.kernels.centred(x_BD.numpy(), 1 / self.member.scale, weights.pre_bias_D)
        code = self.kernels.select(x, weights, RowTopK(self.task.k))
        shape = (len(x), self.task.k)
        indices = torch.from_numpy(code.indices.astype(np.int64)).view(shape)
        return indices, torch.from_numpy(code.values).view(shape)

    def weights(self) -> Weights:
        with torch.no_grad():
            model, scale = self.model, self.member.scale
            parts = (model.encoder, model.bias * scale, model.decoder, model.pre_bias * scale)
            return Weights(*(part.detach().clone() for part in parts))

    def run_out(self, count: int) -> None:
        self.member.last_fired[:count] = -(1 << 60)


class _Fast(_Ours):
    """The same with bf16 screening and exact rescoring."""

    precision = "fast"


def ours(task: Task, data: Tensor, **settings: float) -> Peer:
    """Isthmus in float32; ``settings`` are fields of ``DictionaryTraining`` to change."""
    return _Ours(task, data, **settings)


def fast(task: Task, data: Tensor) -> Peer:
    """Isthmus' fast mode."""
    return _Fast(task, data)
