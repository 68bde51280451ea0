"""The kernels' step on tensors: on a GPU, or wherever only the plain kernels run."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from isthmus.errors import ConfigError
from isthmus.kernels.gpu_tensors import TensorMoments, TensorWeights
from isthmus.kernels.optimiser import Knobs
from isthmus.models.dictionary import SparseDictionary
from isthmus.training.dictionary.config import DictionaryTraining
from isthmus.training.dictionary.engines import Noise, Orders, Report, revival_of, still_dead
from isthmus.training.dictionary.together import Together

__all__ = ["TensorEngine"]

Array = NDArray[Any]


class TensorEngine:
    """As :class:`~isthmus.training.dictionary.engines.SparseEngine`, on any device.

    Raises
    ------
    ConfigError
        If several processes are to share the batches: only CPU processes do so far.
    """

    def __init__(
        self,
        model: SparseDictionary,
        config: DictionaryTraining,
        kernels: Any,
        together: Together,
    ) -> None:
        if together.world > 1:
            raise ConfigError(
                "several processes train a dictionary together on the CPU only",
                fix="add --device cpu, or start a single process",
            )
        self.model, self.config, self.kernels = model, config, kernels
        parts = (model.encoder, model.bias, model.decoder, model.pre_bias)
        self.weights = TensorWeights(*(p.data for p in parts))
        self.moments = TensorMoments.zeros(self.weights)
        self.noise = Noise(config, model.dim)
        self.pool = torch.from_numpy(self.noise.pool).to(model.device)

    @torch.no_grad()
    def step(self, x_BD: Array, orders: Orders) -> Report:
        """Select, reconstruct, sum gradients by latent, move the weights."""
        kernels, weights, objective = self.kernels, self.weights, self.model.objective
        given = torch.from_numpy(x_BD).to(self.model.device)
        x = kernels.centred(given, orders.factor, weights.pre_bias_D)
        if self.noise.size:
            first, shift, sizes = self.noise.place(orders, len(x))
            kernels.add_noise(x, self.pool, first, shift, torch.from_numpy(sizes).to(x.device))
        code = kernels.select(x, weights, objective.rule(orders.k))
        active = code.indices[code.values > 0].long()
        fired = torch.bincount(active, minlength=code.latents).cpu().numpy()
        orders = still_dead(orders, fired, Together())
        found = kernels.backward(
            x,
            code,
            weights,
            1.0,
            objective.levels(),
            revival_of(orders, self.model.dim),
            total=orders.total,
        )
        config = self.config
        knobs = Knobs(
            orders.rate,
            orders.number,
            config.beta1,
            config.beta2,
            config.eps,
            max(0.0, config.encoder_decay),
        )
        kernels.step(found, weights, self.moments, knobs)
        if objective.watches:
            objective.observed(code.sparse())
        return Report(fired.astype(np.int64), {k: float(v) for k, v in found.losses.items()})

    def state(self) -> dict[str, Tensor]:
        """Return Adam's moments."""
        names = ("encoder_ND", "bias_N", "decoder_ND", "pre_bias_D")
        return {
            f"{moment}.{name}": getattr(getattr(self.moments, moment), name)
            for moment in ("mean", "square")
            for name in names
        }

    def restore(self, state: dict[str, Tensor]) -> None:
        """Take Adam's moments back."""
        for name, held in self.state().items():
            held.copy_(state[name])
