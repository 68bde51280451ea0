"""A step by automatic differentiation, for objectives that are not sparse while they train."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from isthmus.kernels.cpu import CPUKernels
from isthmus.models.dictionary import SparseDictionary
from isthmus.training.dictionary.config import DictionaryTraining
from isthmus.training.dictionary.engines import Noise, Orders, Report, auxiliary_k, still_dead
from isthmus.training.dictionary.together import Together

__all__ = ["DenseEngine", "auxiliary_loss"]

Array = NDArray[Any]


def auxiliary_loss(
    model: SparseDictionary,
    pre_BN: Tensor,
    error_BD: Tensor,
    dead: Tensor,
    k: int,
    add_up: Callable[[Array], Array] = lambda sums: sums,
) -> Tensor:
    """Return ``sum ||e - e_hat||^2 / sum ||e - mean e||^2`` of dead latents alone, a scalar.

    Parameters
    ----------
    error_BD
        ``x - x_hat``, held constant.
    add_up
        Adds sums over the processes that share the batch.

    Source: Gao et al., arXiv:2406.04093, A.2; no bias in the auxiliary reconstruction.
    """
    error = error_BD.detach()
    rows = error.cpu().numpy().astype(np.float64)
    sums = add_up(np.concatenate([[len(rows), np.square(rows).sum()], rows.sum(0)]))
    spread = float(sums[1] - np.square(sums[2:]).sum() / max(sums[0], 1))
    if spread <= 1e-9 * sums[1]:  # rows that are alike: what differs is rounding
        return pre_BN.sum() * 0
    top = pre_BN[:, dead].topk(min(k, len(dead)), dim=1, sorted=False)
    guess = torch.einsum("bk,bkd->bd", top.values.relu(), model.decoder[dead[top.indices]])
    return (error - guess).square().sum() / spread


class DenseEngine:
    """The whole loss by autograd; the decoder is treated as by the kernels."""

    def __init__(
        self,
        model: SparseDictionary,
        config: DictionaryTraining,
        kernels: CPUKernels,
        together: Together,
        generator: torch.Generator,
    ) -> None:
        self.model, self.config, self.kernels = model, config, kernels
        self.together, self.generator = together, generator
        self.noise = Noise(config, model.dim)
        model.objective.add_up = together.add_up_tensor
        self.optimiser = torch.optim.Adam(
            model.parameters(),
            lr=config.lr,
            betas=(config.beta1, config.beta2),
            eps=config.eps,
            fused=True,
        )
        for p in model.parameters():  # which Adam would make in its first step
            self.optimiser.state[p] = {
                "step": torch.zeros((), device=p.device),
                "exp_avg": torch.zeros_like(p),
                "exp_avg_sq": torch.zeros_like(p),
            }

    def step(self, x_BD: Array, orders: Orders) -> Report:
        """Take one step."""
        model, objective = self.model, self.model.objective
        scaled = np.multiply(x_BD, np.float32(orders.factor))
        self.noise.add_to(scaled, orders, self.kernels)
        x = torch.from_numpy(scaled).to(model.device)
        for group in self.optimiser.param_groups:
            group["lr"] = orders.rate
        charge = objective.loss(model, x, 1.0, self.generator)
        # sums over this process' rows: those of an empty part are zero
        parts = {
            "distortion": charge.distortion.sum() / orders.total,
            "penalty": charge.penalty.sum() / orders.total,
        }
        fired = (charge.codes.detach() > 0).sum(0).cpu().numpy()
        orders = still_dead(orders, fired, self.together)
        if orders.revival and len(orders.dead):
            revived = orders.revived_rows
            some = x[revived]
            with torch.no_grad():
                error = some - model.decoded(charge.codes[revived])
            parts["revival"] = orders.revival * auxiliary_loss(
                model,
                model.preactivations(some),
                error,
                torch.from_numpy(orders.dead).to(model.device),
                auxiliary_k(model.dim),
                self.together.add_up,
            )
        loss = torch.stack(list(parts.values())).sum()
        before = [p.detach().clone() for p in objective.shared(model)]
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self._move(orders.rate)
        objective.steer(model, before)
        return Report(fired, {name: float(p.detach()) for name, p in parts.items()})

    @torch.no_grad()
    def _move(self, rate: float) -> None:
        """Step, with decoder gradients that leave norms alone and rows of unit norm after."""
        model = self.model
        if self.together.world > 1:
            for p in model.parameters():
                if p.grad is not None:
                    torch.distributed.all_reduce(p.grad)
        rows = model.decoder
        if model.objective.unit_decoder and rows.grad is not None:
            rows.grad -= (rows.grad * rows).sum(1, keepdim=True) * rows
        model.encoder.mul_(1 - rate * max(0.0, self.config.encoder_decay))
        self.optimiser.step()
        if model.objective.unit_decoder:
            rows.div_(rows.norm(dim=1, keepdim=True).clamp_min(1e-12))

    def state(self) -> dict[str, Tensor]:
        """Return Adam's moments and steps, and the generator's state."""
        held = {"generator": self.generator.get_state()}
        for index, state in self.optimiser.state_dict()["state"].items():
            held |= {f"{index}.{name}": value for name, value in state.items()}
        return held

    def restore(self, state: dict[str, Tensor]) -> None:
        """Take them back."""
        self.generator.set_state(state["generator"])
        held: dict[int, dict[str, Tensor]] = {}
        for name, value in state.items():
            if name != "generator":
                index, key = name.split(".", 1)
                held.setdefault(int(index), {})[key] = value
        groups = self.optimiser.state_dict()["param_groups"]
        self.optimiser.load_state_dict({"state": held, "param_groups": groups})
