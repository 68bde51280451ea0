"""One dictionary in training: its engine, its clocks, its history."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from isthmus.errors import DivergedError
from isthmus.kernels.chosen import kernels_for
from isthmus.kernels.cpu import CPUKernels
from isthmus.models.dictionary import SparseDictionary
from isthmus.training.dictionary.config import DictionaryTraining
from isthmus.training.dictionary.dense import DenseEngine
from isthmus.training.dictionary.engines import Engine, Orders, SparseEngine
from isthmus.training.dictionary.rules import k_at, rate_at
from isthmus.training.dictionary.tensors import TensorEngine
from isthmus.training.dictionary.together import Together

__all__ = ["Member", "Standing"]

Array = NDArray[Any]


@dataclass
class Standing:
    """Where one dictionary's training stands."""

    sums: dict[str, float] = field(default_factory=dict)
    """Sums over rows of the epoch's terms so far."""
    rows: list[dict[str, float]] = field(default_factory=list)
    """The history so far."""
    best_loss: float = math.inf
    """Smallest held-out error so far."""
    best_epoch: int = 0
    """The epoch that reached it."""


class Member:
    """A dictionary in training; its weights are in the units of training until it is finished.

    Parameters
    ----------
    scale
        Root of the data's total variance: rows are divided by it.
    mean_D
        Mean of the training rows in their own units, which held-out errors are measured about.
    clean_BD
        Some training rows, on which thresholds are set where the training itself adds noise.
    """

    def __init__(
        self,
        model: SparseDictionary,
        config: DictionaryTraining,
        scale: float,
        mean_D: Array,
        kernels: CPUKernels,
        together: Together,
        clean_BD: Array | None = None,
    ) -> None:
        self.model, self.config, self.scale, self.mean = model, config, scale, mean_D
        noisy = config.noise > 0 and model.objective.watches
        self.clean = clean_BD[:4096].copy() if noisy and clean_BD is not None else None
        self.kernels, self.together = kernels, together
        self.at = Standing()
        self.last_fired = np.zeros(model.latent, np.int64)
        self.seen = 0
        self.l0 = float(model.objective.k or model.latent / 2)
        asked = model.objective.k or getattr(model.bottleneck, "l0", None) or 0
        # below the mean rate no limit can be kept: all biases would fall for good
        self.limit = max(config.max_rate, 2 * float(asked) / model.latent)
        self.fired = np.zeros(model.latent, np.int64)
        self.rate = np.zeros(model.latent, np.float64)
        self.best: dict[str, Tensor] = {}
        generator = torch.Generator().manual_seed(config.seed + 1)
        self.engine: Engine
        if not model.objective.sparse:
            self.engine = DenseEngine(model, config, kernels, together, generator)
        elif model.device.type == "cpu":
            self.engine = SparseEngine(model, config, kernels, together)
        else:
            self.engine = TensorEngine(model, config, kernels_for(model.device), together)

    @property
    def dead(self) -> Array:
        """Numbers of the latents that have been silent for too long, rising."""
        return self._silent_at(self.seen)

    def _silent_at(self, seen: int) -> Array:
        """Return the latents that are dead after ``seen`` rows, if they stay silent until then."""
        patience = self.config.dead_after * self.model.latent / max(self.l0, 1e-3)
        return np.flatnonzero(seen - self.last_fired > patience)

    def step(self, x_BD: Array, number: int, steps: int) -> None:
        """Take one step on this process' rows of a batch.

        Raises
        ------
        DivergedError
            If the loss is not finite.
        """
        first, total = self.together.share(len(x_BD))
        objective = self.model.objective
        orders = Orders(
            rate=rate_at(number - 1, steps, self.config),
            k=min(k_at(objective.k, number - 1, steps, self.config), self.model.latent)
            if objective.k and self.config.anneal_k != 1
            else None,
            dead=self._silent_at(self.seen + total),
            revival=self.config.revival,
            stride=self._stride(total),
            total=total,
            number=number,
            factor=1 / self.scale,
            first=first,
        )
        held = np.flatnonzero(self.rate > self.limit) if objective.limited else np.empty(0, int)
        bias = self.model.bias.detach()[held].clone()
        report = self.engine.step(self._prepared(x_BD), orders)
        self._hold(held, bias, max(0.1 * self.config.lr, 0.8 / steps))
        names = sorted(report.losses)
        sums = np.concatenate([report.fired_N, [report.losses[name] for name in names]])
        sums = self.together.add_up(sums.astype(np.float64))
        fired = sums[: self.model.latent].astype(np.int64)
        losses = dict(zip(names, sums[self.model.latent :].tolist(), strict=True))
        if not math.isfinite(sum(losses.values())):
            self._diverged(number)
        self._note(fired, losses, total, len(orders.dead))
        # a running mean over 20,000 rows, or over a fiftieth of a short training
        window = min(20_000, max(8, steps / 50) * total)
        self.rate += min(1.0, total / window) * (fired / total - self.rate)

    def _hold(self, held: Array, bias: Tensor, speed: float) -> None:
        """Lower the bias of latents that fire too often, whatever the step did to it.

        Like the offsets that balance experts (Wang et al., arXiv:2408.15664), but in the bias
        itself, so that inference needs nothing beside the weights.
        """
        if not len(held):
            return
        with torch.no_grad():
            excess = torch.from_numpy(self.rate[held] / self.limit - 1)
            faster = (1 + 8 * excess).to(self.model.bias)
            now = self.model.bias[held]
            self.model.bias[held] = torch.minimum(now, bias) - speed * faster

    def _stride(self, total: int) -> int:
        """Return every how many rows dead latents are revived on."""
        asked = max(1, round(1 / self.config.revival_rows))
        return asked if asked == 1 else max(asked, total // 128)

    def _prepared(self, x_BD: Array) -> Array:
        if self.model.normalise == "none":
            return x_BD
        return self.model.prepared(torch.from_numpy(x_BD))[0].numpy()

    def _note(self, fired: Array, losses: dict[str, float], total: int, dead: int) -> None:
        self.seen += total
        self.last_fired[fired > 0] = self.seen
        self.fired += fired
        self.l0 += 0.1 * (float(fired.sum()) / total - self.l0)
        whole = losses.pop("whole", losses["distortion"])
        parts = losses | {"fvu": whole, "l0": float(fired.sum()) / total, "dead": dead}
        loss = sum(losses.values())
        for name, value in (parts | {"loss": loss, "count": 1.0}).items():
            self.at.sums[name] = self.at.sums.get(name, 0.0) + total * value

    def end_epoch(self, held_out_VD: Array, head: dict[str, float]) -> dict[str, float]:
        """Measure on held-out rows, write the epoch's row, remember the best weights."""
        self._calibrate()
        sums = self.at.sums
        row = dict(head)
        means = {name: value / sums["count"] for name, value in sums.items() if name != "count"}
        row |= {f"train_{name}": value for name, value in means.items() if name != "dead"}
        row["dead"] = float(len(self.dead))
        row["max_firing_rate"] = float(self.fired.max() / sums["count"])
        if len(held_out_VD):
            fvu, l0 = self.measured(held_out_VD)
            row |= {"validation_loss": fvu, "validation_fvu": fvu, "validation_l0": l0}
            settled = self._is_settled(l0)
            # until an L0 that was asked for is reached, the latest weights are the best
            if fvu < self.at.best_loss if settled else not math.isfinite(self.at.best_loss):
                self.at.best_loss = fvu if settled else math.inf
                self.at.best_epoch = int(head["epoch"])
                self.best = {k: v.detach().clone() for k, v in self.model.state_dict().items()}
        self.at.rows.append(row)
        self.at.sums, self.fired = {}, np.zeros_like(self.fired)
        return row

    def _is_settled(self, l0: float) -> bool:
        """Say whether L0 has come down to the one that was asked for, where one was.

        A code that is still too dense has a smaller error, which says nothing.
        """
        asked = getattr(self.model.bottleneck, "l0", None)
        return asked is None or l0 <= 1.1 * asked

    def _calibrate(self) -> None:
        """Set the thresholds of inference on rows without noise."""
        if self.clean is None:
            return
        weights = self.model.weights()
        rows = self._prepared(self.clean)
        x = rows * np.float32(1 / self.scale) - weights.pre_bias_D
        objective = self.model.objective
        objective.calibrate(self.kernels.select(x, weights, objective.rule()))

    def measured(self, rows_VD: Array) -> tuple[float, float]:
        """Return the FVU about the training mean and L0 on rows in the data's units."""
        model, errors, squares, active = self.model, 0.0, 0.0, 0
        factor = np.float32(1 / self.scale)
        for start in range(0, len(rows_VD), 2048):
            x = self._prepared(rows_VD[start : start + 2048]) * factor
            if model.objective.always_dense:
                with torch.no_grad():
                    given = torch.from_numpy(x).to(model.device)
                    codes = model.objective.codes(model.preactivations(given))
                    output = model.decoded(codes).cpu().numpy()
                active += codes.numel()
            else:
                weights = model.weights()
                code = self.kernels.select(
                    x - weights.pre_bias_D, weights, model.objective.inference()
                )
                code = model.objective.values(code, weights)
                output = self.kernels.decode(code, weights.decoder_ND, weights.pre_bias_D)
                active += int((code.values > 0).sum())
            errors += float(np.square(output - x, dtype=np.float64).sum())
            squares += float(np.square(x - self.mean * factor, dtype=np.float64).sum())
        return errors / max(squares, 1e-300), active / len(rows_VD)

    def finish(self) -> None:
        """Take the best epoch's weights, and bring them into the units of the data."""
        if self.best:
            self.model.load_state_dict(self.best)
        self.model.rescale(self.scale)
        self.model.eval()

    def notes(self) -> list[str]:
        """Say what the history shows and a user should know."""
        rows = self.at.rows
        found: list[str] = []
        if not rows or "validation_fvu" not in rows[-1]:
            return found
        last, best = rows[-1], self.at.best_loss
        if not math.isfinite(best):
            asked = getattr(self.model.bottleneck, "l0", None)
            return [
                f"the L0 that was asked for, {asked:g}, was not reached: it is "
                f"{last['validation_l0']:.4g}; more --epochs would help"
            ]
        if last["validation_fvu"] > 1.01 * best:
            found.append(
                f"the held-out error rose from {best:.4g} after epoch {self.at.best_epoch} to "
                f"{last['validation_fvu']:.4g}: the dictionary over-fits, and epoch "
                f"{self.at.best_epoch}'s weights were kept"
            )
        if best > 1.25 * last["train_fvu"]:
            found.append(
                f"the held-out FVU, {best:.4g}, is well above the training's, "
                f"{last['train_fvu']:.4g}: more rows or fewer latents would help"
            )
        return found

    # --- the checkpoint -----------------------------------------------------------------------

    def tensors(self) -> dict[str, Tensor]:
        """Return everything that has to be saved."""
        held = {f"model.{k}": v for k, v in self.model.state_dict().items()}
        held |= {f"engine.{k}": v for k, v in self.engine.state().items()}
        held |= {f"best.{k}": v for k, v in self.best.items()}
        held["clock.last_fired"] = torch.from_numpy(self.last_fired)
        held["clock.fired"] = torch.from_numpy(self.fired)
        held["clock.rate"] = torch.from_numpy(self.rate)
        held["clock.l0"] = torch.tensor(self.l0, dtype=torch.float64)
        held["clock.seen"] = torch.tensor(self.seen)
        held["clock.scale"] = torch.tensor(self.scale, dtype=torch.float64)
        return held

    def restore(self, held: dict[str, Tensor], standing: Standing) -> None:
        """Take everything back, in place: the engine's arrays are the model's memory."""
        with torch.no_grad():
            for name, value in self.model.state_dict().items():
                value.copy_(held[f"model.{name}"])
        self.engine.restore(_under(held, "engine."))
        self.best = _under(held, "best.")
        self.last_fired = held["clock.last_fired"].numpy().copy()
        self.fired = held["clock.fired"].numpy().copy()
        self.rate = held["clock.rate"].numpy().copy()
        self.l0, self.seen = float(held["clock.l0"]), int(held["clock.seen"])
        self.scale = float(held["clock.scale"])
        self.at = standing

    def _diverged(self, number: int) -> None:
        raise DivergedError(
            f"the loss is no longer finite at step {number}",
            why="the steps were too large for these data",
            fix=f"lower --lr (it was {self.config.lr:g}) or add --warmup 0.05",
        )


def _under(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
