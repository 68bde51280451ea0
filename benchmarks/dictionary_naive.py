"""A TopK dictionary in plain PyTorch, as one writes it in ten minutes."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dictionary_face import Peer, Task, Weights, copies


class _Naive(Peer):
    def __init__(self, task: Task, data: Tensor) -> None:
        self.task = task
        torch.manual_seed(task.seed)
        start = F.normalize(torch.randn(task.latents, task.dim))
        self.encoder = nn.Parameter(start.clone())
        self.bias = nn.Parameter(torch.zeros(task.latents))
        self.decoder = nn.Parameter(start.clone())
        self.pre_bias = nn.Parameter(data.mean(0))
        parameters = [self.encoder, self.bias, self.decoder, self.pre_bias]
        self.optimiser = torch.optim.Adam(parameters, lr=task.lr or 4e-4)

    def codes(self, x_BD: Tensor) -> Tensor:
        pre_BN = F.linear(x_BD - self.pre_bias, self.encoder, self.bias)
        values, indices = pre_BN.topk(self.task.k)
        return torch.zeros_like(pre_BN).scatter(1, indices, values.relu())

    def step(self, x_BD: Tensor) -> None:
        loss = F.mse_loss(self.codes(x_BD) @ self.decoder + self.pre_bias, x_BD)
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()

    def weights(self) -> Weights:
        return copies(self.encoder, self.bias, self.decoder, self.pre_bias)

    encode = torch.no_grad()(codes)


def naive(task: Task, data: Tensor) -> Peer:
    """Dense encode, ``torch.topk``, scatter, dense decode, default Adam; no revival."""
    return _Naive(task, data)
