"""What codes tell: classes from every subset of modalities, speakers that should be hidden."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from isthmus.errors import DataError
from isthmus.metrics.arrays import Array, Floats, as_labels, as_matrix

__all__ = ["Clusters", "Leak", "Probe", "clusters", "leak", "probe", "subsets"]


def subsets(names: Iterable[str]) -> list[tuple[str, ...]]:
    """Return every subset of modalities that isn't empty, small ones first.

    Examples
    --------
    >>> subsets(["image", "audio"])
    [('image',), ('audio',), ('image', 'audio')]
    """
    known = tuple(names)
    return [s for size in range(1, len(known) + 1) for s in combinations(known, size)]


@dataclass(frozen=True, eq=False)
class Probe:
    """A trained linear probe, to be tested on several sets of codes."""

    shift: Floats
    """Mean of the training codes (Z,)."""
    scale: Floats
    """Their standard deviation (Z,)."""
    weights: Floats
    """(classes, Z)."""
    offset: Floats
    """(classes,)."""
    classes: NDArray[np.int64]
    """Class of each row of weights."""

    def __call__(self, codes: Array) -> NDArray[np.int64]:
        """Return the class of each code (n, Z)."""
        rows = (as_matrix(codes, "the codes") - self.shift) / self.scale
        return np.asarray(self.classes[(rows @ self.weights.T + self.offset).argmax(axis=1)])

    def accuracy(self, codes: Array, labels: Array) -> float:
        """Return the share of codes whose class is found."""
        wanted = as_labels(labels, len(codes), "the labels")
        return float((self(codes) == wanted).mean())


def probe(codes: Array, labels: Array, *, iterations: int = 200) -> Probe:
    """Train multinomial logistic regression (L-BFGS, C = 1) on standardised codes.

    The same as :func:`~isthmus.metrics.latent.linear_probe`, kept for several tests.

    Raises
    ------
    DataError
        If there are fewer than two classes.
    """
    import warnings

    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    rows = as_matrix(codes, "the training codes")
    known = as_labels(labels, len(rows), "the training labels")
    if np.unique(known).size < 2:
        raise DataError("a probe needs two labels to tell apart")
    shift, scale = rows.mean(axis=0), rows.std(axis=0)
    scale[scale == 0] = 1.0
    with warnings.catch_warnings():
        # the accuracy of a probe that has not settled yet is a lower bound, and said to be one
        warnings.simplefilter("ignore", ConvergenceWarning)
        found = LogisticRegression(max_iter=iterations).fit((rows - shift) / scale, known)
    weights, offset = found.coef_, found.intercept_
    if len(found.classes_) == 2:  # scikit-learn keeps one row for two classes
        weights, offset = np.vstack([-weights, weights]) / 2, np.concatenate([-offset, offset]) / 2
    return Probe(shift, scale, weights, offset, found.classes_.astype(np.int64))


@dataclass(frozen=True)
class Leak:
    """How well a factor is read from codes by a linear probe."""

    accuracy: float
    """Share of codes whose factor was found."""
    chance: float
    """One over the number of values."""
    values: int
    """Values of the factor."""
    codes: int
    """Codes it was tested on."""


def leak(train_codes: Array, train_factor: Array, codes: Array, factor: Array) -> Leak:
    """Probe codes for a factor, such as the speaker; unknown values (-1) are left out.

    Parameters
    ----------
    train_codes, train_factor
        (R, Z) and (R,), to train the probe on.
    codes, factor
        (Q, Z) and (Q,), to test it on; values that training lacks are left out.

    Raises
    ------
    DataError
        If fewer than two values are known in training, or none of them is to be tested.
    """
    known = as_labels(train_factor, len(train_codes), "the training factor")
    wanted = as_labels(factor, len(codes), "the factor")
    points, tests = as_matrix(train_codes, "the training codes"), as_matrix(codes, "the codes")
    values = np.unique(known[known >= 0])
    kept = np.isin(wanted, values)
    if len(values) < 2 or not kept.any():
        raise DataError("a leak needs two values of the factor, and codes to test on")
    trained = probe(points[known >= 0], known[known >= 0])
    right = trained.accuracy(tests[kept], wanted[kept])
    return Leak(right, 1 / len(values), len(values), int(kept.sum()))


@dataclass(frozen=True)
class Clusters:
    """How well k-means finds the classes in codes."""

    accuracy: float
    """Share of codes in the cluster that is matched with their class, one to one."""
    information: float
    """Mutual information of clusters and classes, over the mean of their entropies."""


def clusters(codes: Array, labels: Array, *, seed: int = 0) -> Clusters:
    """Cluster codes into as many clusters as there are classes, and match them.

    Raises
    ------
    DataError
        If there are fewer codes than classes, or fewer than two classes.
    """
    import warnings

    from scipy.optimize import linear_sum_assignment
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.metrics import normalized_mutual_info_score

    rows = as_matrix(codes, "the codes")
    truth = as_labels(labels, len(rows), "the labels")
    names, classes = np.unique(truth, return_inverse=True)
    if len(names) < 2 or len(rows) < len(names):
        raise DataError("clusters need two classes, and a code for each")
    with warnings.catch_warnings():
        # collapsed codes have fewer places than clusters, and score accordingly
        warnings.simplefilter("ignore", ConvergenceWarning)
        found = KMeans(len(names), n_init=4, random_state=seed).fit_predict(rows)
    table = np.zeros((len(names), len(names)))
    np.add.at(table, (found, classes), 1)
    return Clusters(
        float(table[linear_sum_assignment(-table)].sum() / len(rows)),
        float(normalized_mutual_info_score(classes, found)),
    )
