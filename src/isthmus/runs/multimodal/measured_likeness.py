"""How much what is made looks like what is real: Frechet distances of a judge's features."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from isthmus.metrics.multimodal import frechet, principal
from isthmus.runs.multimodal.judge import NetworkJudge
from isthmus.runs.multimodal.subject import Subject, spread

__all__ = ["Likeness"]

_COMPONENTS, _MOST = 32, 1000
"""Components of the features that count; items of a set at most."""


class Likeness:
    """Frechet distances to real test items, with that of real training items beside them.

    Features are what the judge's first member reads its classes from, along their first 32
    principal components over training items: with some hundred sounds more could not be told from
    noise. Sets that are compared have as many items each, 1,000 at most.
    """

    def __init__(self, subject: Subject, name: str, judge: Any) -> None:
        self.judge = judge if isinstance(judge, NetworkJudge) else None
        if self.judge is None:
            return
        train = subject.data[name].rows("train")
        self.space = principal(
            self.judge.features(subject.items(name, spread(train, 2 * _MOST))), _COMPONENTS
        )
        test = spread(subject.test_rows(name, subject.options.gallery), _MOST)
        self.test = self._seen(subject.items(name, test))
        self.train = self._seen(subject.items(name, spread(train, _MOST)))

    def report(self, made: Tensor) -> dict[str, float]:
        """Return the distance of made items and the floor; nothing where it can't be told."""
        if self.judge is None:
            return {}
        count = min(len(self.test), len(self.train), len(made))
        if count < 2 * _COMPONENTS:
            return {}
        real = self.test[spread(np.arange(len(self.test)), count)]
        others = self.train[spread(np.arange(len(self.train)), count)]
        some = torch.from_numpy(spread(np.arange(len(made)), count))
        return {
            "frechet": frechet(self._seen(made[some]), real),
            "frechet_floor": frechet(others, real),
        }

    def _seen(self, items: Tensor) -> NDArray[np.float64]:
        """Return the coordinates of items."""
        if self.judge is None:  # pragma: no cover - asked before
            raise RuntimeError("there is no judge of features")
        return self.space(self.judge.features(items))
