"""How varied what is generated is, beside what is real: the other half of coherence."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from isthmus.errors import DataError
from isthmus.metrics.arrays import Array, Floats, as_labels, as_matrix, same_shape

__all__ = ["Diversity", "diversity", "spread_per_condition", "within_class_variance"]


@dataclass(frozen=True)
class Diversity:
    """Variance inside classes, generated over real."""

    ratio: float | None
    """Generated over real; near 0 where a model draws class means; None where real items of a
    class are all alike (words)."""
    generated: float
    """Variance inside classes of generated items, summed over their values."""
    real: float
    """The same of real items."""


def within_class_variance(items: Array, labels: Array) -> float:
    """Return the pooled variance inside classes, summed over values.

    ``sum_c sum_i |x_i - mean_c|^2 / sum_c (n_c - 1)``; classes of one item say nothing.

    Parameters
    ----------
    items
        (n, *shape), at least two of one class.
    labels
        Classes (n,).

    Raises
    ------
    DataError
        If no class has two items.

    Examples
    --------
    >>> within_class_variance(np.array([[0.0], [2.0], [5.0], [5.0]]), np.array([0, 0, 1, 1]))
    1.0
    """
    rows = as_matrix(items, "the items")
    classes = as_labels(labels, len(rows), "the items' labels")
    squares, freedom = 0.0, 0
    for number in np.unique(classes):
        inside = rows[classes == number]
        squares += float(((inside - inside.mean(axis=0)) ** 2).sum())
        freedom += len(inside) - 1
    if not freedom:
        raise DataError("variance inside classes needs two items of one class")
    return squares / freedom


def diversity(
    generated: Array, generated_labels: Array, real: Array, real_labels: Array
) -> Diversity:
    """Compare the variance inside classes of generated with that of real items.

    Classes that only one side has are left out.

    Parameters
    ----------
    generated, generated_labels
        (n, *shape) and the classes they were generated for (n,).
    real, real_labels
        (m, *shape) and their classes (m,).

    Raises
    ------
    DataError
        If the shapes differ, or no class has two items on both sides.
    """
    made, truth = as_matrix(generated, "the generated"), as_matrix(real, "the real items")
    same_shape(made[:1], truth[:1], "generated and real items")
    drawn = as_labels(generated_labels, len(made), "the generated items' labels")
    known = as_labels(real_labels, len(truth), "the real items' labels")
    both = np.intersect1d(drawn, known)
    ours, theirs = np.isin(drawn, both), np.isin(known, both)
    variance = within_class_variance(made[ours], drawn[ours])
    about = within_class_variance(truth[theirs], known[theirs])
    return Diversity(variance / about if about > 1e-12 else None, variance, about)


def spread_per_condition(samples: Array) -> float:
    """Return the mean distance between two samples of one condition.

    Parameters
    ----------
    samples
        (conditions, n, *shape), n at least 2.
    """
    count = len(samples)
    shape = tuple(samples.shape)
    if len(shape) < 3 or not count or shape[1] < 2:
        raise DataError("spread needs at least two samples of each condition", why=f"{shape}")
    rows: Floats = as_matrix(samples, "the samples").reshape(count, shape[1], -1)
    total = 0.0
    for own in rows:
        squares = ((own[:, None] - own[None]) ** 2).sum(axis=2)
        total += float(np.sqrt(squares).sum()) / (shape[1] * (shape[1] - 1))
    return total / count
