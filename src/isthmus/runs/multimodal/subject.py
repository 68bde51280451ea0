"""What is measured: a model with its mixture, on the test items of a data set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from isthmus.data.multimodal import MultimodalData
from isthmus.errors import ConfigError
from isthmus.models.multimodal import MultimodalAutoencoder
from isthmus.models.multimodal.codes import Codes
from isthmus.models.multimodal.joint_mixture import JointMixture
from isthmus.models.multimodal.mixture_use import translations
from isthmus.runs.multimodal.judges import Judges

__all__ = ["Measurable", "MultimodalEvaluation", "Subject"]

Labels = NDArray[np.int64]


class Measurable(Protocol):
    """What a model must do to be measured; those of other libraries may be wrapped so."""

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the modalities."""

    def encode(
        self, items: Mapping[str, Tensor], mask: Mapping[str, Tensor] | None = None
    ) -> Codes:
        """Return codes."""

    def decode(
        self, shared: Tensor, private: Mapping[str, Tensor] | None, to: list[str]
    ) -> dict[str, Tensor]:
        """Return items for codes."""

    def translate(
        self,
        items: Mapping[str, Tensor],
        to: str,
        *,
        style: Tensor | None,
        sample: bool,
        generator: torch.Generator | None,
    ) -> Tensor:
        """Return items of a modality for items of others."""


@dataclass(frozen=True)
class MultimodalEvaluation:
    """How much is measured."""

    queries: int = 1000
    """Most items that are translated in a direction."""
    samples: int = 5
    """Draws for each of them; more where there are few, so that there are 500 in all."""
    gallery: int = 10_000
    """Most test items of a modality in retrieval."""
    train_rows: int = 5000
    """Training rows that probes learn from, and training items that are retrieved."""
    joint: int = 2000
    """Rows drawn for joint coherence."""
    round_trip: int = 300
    """Most sounds that are made audible and heard again, real and generated."""
    rates: tuple[float, ...] = (0.0, 0.2, 0.5, 0.8)
    """Shares of test items that are taken away for the robustness curve."""
    baselines: bool = True
    """Whether the ladder of baselines is measured beside."""
    seed: int = 0
    """Seed of everything that is drawn."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "rates", tuple(self.rates))
        sizes = (self.queries, self.samples, self.gallery, self.train_rows, self.joint)
        if min(sizes) < 2 or self.round_trip < 0:
            raise ConfigError("numbers of items to measure on must be at least 2")
        if list(self.rates) != sorted(set(self.rates)) or not all(0 <= r <= 1 for r in self.rates):
            raise ConfigError("missing rates must rise within [0, 1]", where=f"{self.rates}")


@dataclass(frozen=True, eq=False)
class Subject:
    """A model with everything that measuring it needs."""

    model: Measurable
    """The model."""
    data: MultimodalData
    """The data, of the model's modalities."""
    mixture: JointMixture | None = None
    """The joint mixture of its codes, if there is one."""
    judges: Judges | None = None
    """The judges; None where there are no classes."""
    options: MultimodalEvaluation = MultimodalEvaluation()
    """How much is measured."""
    _codes: dict[tuple[str, str], Codes] = field(default_factory=dict, repr=False)

    def items(self, name: str, rows: Labels) -> Tensor:
        """Return items of a modality by number."""
        return self.data[name].items[torch.from_numpy(np.ascontiguousarray(rows))]

    def encoded(self, name: str, rows: Labels) -> Codes:
        """Return the codes of items by their modality alone; the last are remembered."""
        key = (name, rows.tobytes().hex() if len(rows) < 64 else str(hash(rows.tobytes())))
        if key not in self._codes:
            self._codes[key] = self.model.encode({name: self.items(name, rows)})
        return self._codes[key]

    def shared(self, name: str, rows: Labels) -> NDArray[np.float64]:
        """Return the shared codes of items by their modality alone, float64."""
        return self.encoded(name, rows).shared.double().cpu().numpy()

    def test_rows(self, name: str, most: int) -> Labels:
        """Return test items of known class (of any, where there are no classes), spread evenly."""
        modality = self.data[name]
        rows = modality.rows("test")
        if self.judges is not None:
            rows = rows[modality.labels[rows] >= 0]
        return spread(rows, most)

    def table(self, split: str, most: int) -> Labels:
        """Return rows of a pair table in which nothing is missing, evenly spread."""
        table = self.data.table(split, self.options.seed)
        return spread(table[(table >= 0).all(axis=1)], most)

    def translated(
        self,
        items: Mapping[str, Tensor],
        to: str,
        *,
        samples: int = 0,
        style: Tensor | None = None,
    ) -> Tensor:
        """Return translations (n, samples or 1, *shape), by the mixture where there is one."""
        seed = self.options.seed
        if self.mixture is not None and isinstance(self.model, MultimodalAutoencoder):
            found = translations(
                self.model, self.mixture, items, to, samples=samples, style=style, seed=seed
            )
            return found.items
        each = max(samples, 1)
        repeated = {name: value.repeat_interleave(each, 0) for name, value in items.items()}
        generator = torch.Generator().manual_seed(seed)
        kept = None if style is None or len(style) == 1 else style.repeat_interleave(each, 0)
        out = self.model.translate(
            repeated,
            to,
            style=style if kept is None else kept,
            sample=samples > 0,
            generator=generator,
        )
        return out.reshape(len(out) // each, each, *out.shape[1:])


def spread(rows: Labels, most: int) -> Labels:
    """Return at most so many rows, evenly spread."""
    if len(rows) <= most:
        return rows
    return np.asarray(rows[np.linspace(0, len(rows) - 1, most).astype(np.int64)])
