"""Coherence of what is generated, from the classes that judges see in it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from isthmus.errors import DataError
from isthmus.metrics.arrays import Array, Floats, as_float64, as_labels
from isthmus.metrics.bootstrap import BootstrapInterval, bootstrap_ratio

__all__ = ["CrossCoherence", "JointCoherence", "cross_coherence", "joint_coherence"]


@dataclass(frozen=True)
class CrossCoherence:
    """How often what was generated is of the class that it was generated from."""

    coherence: float
    """Mean over classes of the share that the judge sees as their class."""
    overall: float
    """The same share over all items."""
    relative: float | None
    """`coherence` over the judge's own accuracy on real items, where that is known."""
    interval: BootstrapInterval
    """`overall` with its bootstrap interval over conditions."""
    per_class: tuple[float, ...]
    """The share for each class that occurs, in the order of class numbers."""
    items: int
    """Items that were judged."""


def cross_coherence(
    judged: Array,
    wanted: Array,
    *,
    judge_accuracy: float | None = None,
    conditions: Array | None = None,
    seed: int = 0,
) -> CrossCoherence:
    """Compare judged with wanted classes, both (n,).

    Parameters
    ----------
    judge_accuracy
        Of the judge on real test items.
    conditions
        What each item was generated from (n,): samples of one condition are resampled together;
        default: each by itself.

    Raises
    ------
    DataError
        If lengths differ, nothing was judged, or a wanted class is unknown (-1).

    Examples
    --------
    >>> found = cross_coherence(np.array([0, 0, 1, 0]), np.array([0, 0, 1, 1]))
    >>> found.coherence, found.overall
    (0.75, 0.75)
    """
    count = len(judged)
    seen, truth = as_labels(judged, count, "judged"), as_labels(wanted, count, "wanted")
    if not count or truth.min() < 0:
        raise DataError("coherence needs items, and the class wanted of every one")
    right = (seen == truth).astype(np.float64)
    per_class = tuple(float(right[truth == c].mean()) for c in np.unique(truth))
    above, below = right, np.ones(count)
    if conditions is not None:
        numbers = as_float64(conditions)
        if numbers.shape != (count,):
            raise DataError("there must be one condition an item", why=f"{numbers.shape}")
        _, index = np.unique(numbers, return_inverse=True)
        above, below = np.bincount(index, right), np.bincount(index).astype(np.float64)
    macro = float(np.mean(per_class))
    return CrossCoherence(
        macro,
        float(right.mean()),
        macro / judge_accuracy if judge_accuracy else None,
        bootstrap_ratio(above, below, seed=seed),
        per_class,
        count,
    )


@dataclass(frozen=True)
class JointCoherence:
    """Whether items that were generated together belong together, and to which classes."""

    coherence: float
    """Share of rows whose modalities are all judged alike."""
    entropy: float
    """Entropy of the classes of those rows over that of even classes, 0 to 1."""
    least: float
    """Share of the rarest class among those rows."""
    product: float
    """``coherence * entropy``: a model that always draws one class gets 0."""
    share: tuple[float, ...]
    """Share of each class among those rows."""
    rows: int
    """Rows that were judged."""

    def as_json(self) -> dict[str, float | int]:
        """Return the numbers under their names."""
        return {
            "coherence": self.coherence,
            "entropy": self.entropy,
            "least_class": self.least,
            "coherence*entropy": self.product,
            "rows": self.rows,
        }


def joint_coherence(judged: Array, classes: int) -> JointCoherence:
    """Score rows of items drawn together.

    Parameters
    ----------
    judged
        The class that each modality's judge sees, (n, M); -1: none.
    classes
        How many classes there are; the even distribution over them has entropy 1.

    Raises
    ------
    DataError
        If there are no rows, fewer than two modalities or classes, or a class out of range.

    Examples
    --------
    >>> joint_coherence(np.array([[0, 0], [1, 1], [0, 1], [1, 1]]), 2).coherence
    0.75
    """
    values: Floats = as_float64(judged)
    if values.ndim != 2 or not len(values) or values.shape[1] < 2 or classes < 2:
        raise DataError("joint coherence needs rows of two modalities and two classes at least")
    if values.min() < -1 or values.max() >= classes:
        raise DataError("a judged class is out of range", why=f"there are {classes}")
    alike = (values == values[:, :1]).all(axis=1) & (values[:, 0] >= 0)
    if not alike.any():
        return JointCoherence(0.0, 0.0, 0.0, 0.0, (0.0,) * classes, len(values))
    counts = np.bincount(values[alike, 0].astype(np.int64), minlength=classes)
    share = counts / counts.sum()
    entropy = float(-(share[share > 0] * np.log(share[share > 0])).sum() / np.log(classes))
    entropy = max(entropy, 0.0)
    rate = float(alike.mean())
    return JointCoherence(
        rate, entropy, float(share.min()), rate * entropy, tuple(share.tolist()), len(values)
    )
