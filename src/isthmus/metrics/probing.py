"""Are labels written in single latents? Probes on sparse codes that never become dense."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from isthmus.errors import ConfigError, DataError
from isthmus.metrics.arrays import Array, Floats, as_labels
from isthmus.metrics.bootstrap import BootstrapInterval, bootstrap_mean
from isthmus.metrics.similarity import most_similar, sparse_or_dense
from isthmus.metrics.sparse_codes import Codes, as_csr, column_sums
from isthmus.metrics.stats import PairedDifference, paired_bootstrap

if TYPE_CHECKING:
    from scipy.sparse import csr_array

__all__ = [
    "CodeProbe",
    "NeighbourRetention",
    "SparseProbe",
    "code_probe",
    "neighbour_retention",
    "sparse_probe",
]

Labels = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class SparseProbe:
    """One class against the rest, told by a few latents each; mean over the classes."""

    latents: tuple[int, ...]
    """How many latents each probe sees."""
    balanced_accuracy: dict[int, float]
    """Mean of true positive and true negative rate, mean over classes, by number of latents;
    chance is .5."""
    interval: dict[int, BootstrapInterval]
    """`balanced_accuracy` with its bootstrap interval over classes."""
    f1: dict[int, float]
    """F1 of the class, mean over classes, by number of latents."""
    f1_chance: float
    """F1 of always saying yes, mean over classes."""
    best_latents: NDArray[np.int64]
    """The latents chosen for each class (C, largest number), best first."""
    classes: Labels
    """The classes that were probed (C,): those with samples to train and to test on."""
    per_class: Floats
    """Balanced accuracy of each class by number of latents (C, len(latents))."""


def sparse_probe(
    train_codes: Codes,
    train_labels: Array,
    codes: Codes,
    labels: Array,
    *,
    latents: Sequence[int] = (1, 2, 5, 16, 64),
    negatives: int = 1000,
    seed: int = 0,
) -> SparseProbe:
    """Tell each class from all others by its k' best latents (k-sparse probing).

    For each class the k' latents whose mean activation differs most between the class and the
    rest are chosen on the training samples; a logistic regression on them (C = 1, classes
    balanced, latents scaled to unit deviation) is tested on the others. Source: Gurnee et al.,
    "Finding neurons in a haystack", arXiv:2305.01610; means as in SAEBench.

    Parameters
    ----------
    train_codes, train_labels
        Codes (R, N), sparse or dense, and labels (R,): choosing and training.
    codes, labels
        Codes (Q, N) and labels (Q,): testing.
    latents
        Numbers of latents k'; those above N are dropped.
    negatives
        Samples of the rest that train a probe (or five times the class, if that is more), drawn
        with ``seed``. Default 1000.

    Raises
    ------
    ConfigError
        If no number of latents lies in 1 to N, or ``negatives`` is below 1.
    DataError
        If codes and labels do not fit, or fewer than two classes can be trained and tested.
    """
    train, known, test, wanted = _checked(train_codes, train_labels, codes, labels)
    sizes = tuple(sorted({int(k) for k in latents if k <= train.shape[1]}))
    if not sizes or sizes[0] < 1 or negatives < 1:
        raise ConfigError(
            "a probe needs at least one latent and one negative sample",
            why=f"latents = {tuple(latents)} of {train.shape[1]}, negatives = {negatives}",
        )
    classes = np.intersect1d(known, wanted)
    classes = classes[[(known == c).sum() < known.size for c in classes]]
    if np.unique(known).size < 2 or not classes.size or np.unique(wanted).size < 2:
        raise DataError("a probe needs two labels to tell apart, in training and in testing")
    best = _separating(train, known, classes, sizes[-1])
    rng = np.random.default_rng(seed)
    rates, f1 = np.empty((2, len(classes), len(sizes)))
    for row, label in enumerate(classes):
        chosen = _chosen_rows(known == label, negatives, rng)
        inside = train[:, best[row]].toarray(), test[:, best[row]].toarray()
        for column, size in enumerate(sizes):
            said = _said(inside[0][chosen, :size], known[chosen] == label, inside[1][:, :size])
            rates[row, column], f1[row, column] = _rates(said, wanted == label)
    shares = np.array([(wanted == c).mean() for c in classes])
    return SparseProbe(
        latents=sizes,
        balanced_accuracy={k: float(rates[:, i].mean()) for i, k in enumerate(sizes)},
        interval={k: bootstrap_mean(rates[:, i], seed=seed) for i, k in enumerate(sizes)},
        f1={k: float(f1[:, i].mean()) for i, k in enumerate(sizes)},
        f1_chance=float((2 * shares / (1 + shares)).mean()),
        best_latents=best,
        classes=classes,
        per_class=rates,
    )


def _separating(codes: csr_array, labels: Labels, classes: Labels, count: int) -> NDArray[np.int64]:
    """Return for each class the latents of largest |mean inside - mean outside| (C, count)."""
    total = column_sums(codes)
    chosen = np.empty((len(classes), count), dtype=np.int64)
    for row, label in enumerate(classes):
        inside = labels == label
        held = column_sums(codes[np.flatnonzero(inside)])
        gap = held / inside.sum() - (total - held) / (~inside).sum()
        chosen[row] = np.argsort(-np.abs(gap), kind="stable")[:count]
    return chosen


def _chosen_rows(
    inside: NDArray[np.bool_], negatives: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Return the rows of a class and a sample of the others."""
    own, others = np.flatnonzero(inside), np.flatnonzero(~inside)
    limit = max(negatives, 5 * own.size)
    if others.size > limit:
        others = rng.choice(others, limit, replace=False)
    return np.sort(np.concatenate([own, others]))


def _said(x: Floats, y: NDArray[np.bool_], tests: Floats) -> NDArray[np.bool_]:
    """Train one small probe and return what it says of the tests."""
    from sklearn.linear_model import LogisticRegression

    scale = x.std(axis=0)
    scale[scale == 0] = 1.0
    probe = LogisticRegression(class_weight="balanced", max_iter=200).fit(x / scale, y)
    return np.asarray(probe.predict(tests / scale), dtype=np.bool_)


def _rates(said: NDArray[np.bool_], truth: NDArray[np.bool_]) -> tuple[float, float]:
    """Return balanced accuracy and F1."""
    hits = int((said & truth).sum())
    accuracy = (float(said[truth].mean()) + float((~said[~truth]).mean())) / 2
    return accuracy, 2 * hits / (int(said.sum()) + int(truth.sum()))


@dataclass(frozen=True, eq=False)
class CodeProbe:
    """Accuracy of one linear classifier over all latents."""

    accuracy: float
    """Share of codes whose label was found, in [0, 1]."""
    interval: BootstrapInterval
    """`accuracy` with its bootstrap interval over the tested codes."""
    chance: float
    """What always answering the commonest training label would reach."""
    correct: NDArray[np.bool_]
    """Whether each code's label was found (Q,), for paired comparisons."""
    converged: bool
    """Whether the solver finished within its iterations."""


def code_probe(
    train_codes: Codes,
    train_labels: Array,
    codes: Codes,
    labels: Array,
    *,
    strength: float = 10.0,
    iterations: int = 300,
    seed: int = 0,
) -> CodeProbe:
    """Train multinomial logistic regression (L-BFGS) on sparse codes and test it.

    Codes are divided by the root mean square of the training codes' lengths, so that the penalty
    means the same for codes of any scale and for dense vectors. Latents are not scaled one by
    one, which would make the rarest the loudest.

    Parameters
    ----------
    train_codes, train_labels, codes, labels
        As in `sparse_probe`.
    strength
        scikit-learn's C: the inverse of the penalty. Default 10: on sentence embeddings and their
        codes accuracy hardly changes from there to 100, and falls below.
    iterations
        Most iterations of the solver. Default 300.

    Raises
    ------
    ConfigError
        If ``strength`` or ``iterations`` is not above 0.
    DataError
        If codes and labels do not fit, or there are fewer than two training labels.
    """
    import warnings

    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    train, known, test, wanted = _checked(train_codes, train_labels, codes, labels)
    if not strength > 0 or iterations < 1:
        raise ConfigError(
            "strength and iterations must be above 0", why=f"got {strength} and {iterations}"
        )
    if np.unique(known).size < 2:
        raise DataError("a probe needs two labels to tell apart")
    scale = float(np.sqrt((train.data**2).sum() / train.shape[0])) or 1.0
    with warnings.catch_warnings():
        # Not converging is reported in the result instead.
        warnings.simplefilter("ignore", ConvergenceWarning)
        probe = LogisticRegression(C=strength, max_iter=iterations)
        probe.fit(_for_sklearn(train / scale), known)
    correct = np.asarray(probe.predict(_for_sklearn(test / scale)) == wanted)
    values, counts = np.unique(known, return_counts=True)
    return CodeProbe(
        accuracy=float(correct.mean()),
        interval=bootstrap_mean(correct, seed=seed),
        chance=float((wanted == values[counts.argmax()]).mean()),
        correct=correct,
        converged=bool(int(np.max(probe.n_iter_)) < iterations),
    )


@dataclass(frozen=True, eq=False)
class NeighbourRetention:
    """1-NN accuracy of codes beside that of the vectors that they were made of."""

    codes: float
    """Share of codes whose nearest training code (cosine) has their label."""
    dense: float
    """The same of the dense vectors."""
    share: float | None
    """`codes` over `dense`; None where `dense` is 0."""
    difference: PairedDifference
    """Codes less dense, sample by sample, with a bootstrap interval."""
    chance: float
    """What always answering the commonest training label would reach."""


def neighbour_retention(
    train: tuple[Codes, Array],
    train_labels: Array,
    test: tuple[Codes, Array],
    labels: Array,
    *,
    seed: int = 0,
) -> NeighbourRetention:
    """Compare 1-NN accuracy by cosine on codes and on dense vectors.

    Parameters
    ----------
    train, test
        Codes (R, N) and dense vectors (R, D) of the same samples; the same of those tested.
    train_labels, labels
        Labels (R,) and (Q,).
    seed
        Seed of the order of equals and of the bootstrap.

    Raises
    ------
    DataError
        If rows and labels differ in number, there is no row, or a value is not finite.
    """
    correct = []
    for pair in zip(train, test, strict=True):
        given, tested = (sparse_or_dense(rows, "the code") for rows in pair)
        known = as_labels(train_labels, given.shape[0], "the training labels")
        wanted = as_labels(labels, tested.shape[0], "the labels")
        if not known.size or not wanted.size:
            raise DataError("no code was given, so there is no accuracy")
        hits = most_similar(given, tested, 1, seed=seed).index[:, 0]
        correct.append(known[hits] == wanted)
    values, counts = np.unique(known, return_counts=True)
    codes, dense = (float(c.mean()) for c in correct)
    return NeighbourRetention(
        codes=codes,
        dense=dense,
        share=codes / dense if dense else None,
        difference=paired_bootstrap(*(c.astype(np.float64) for c in correct), seed=seed),
        chance=float((wanted == values[counts.argmax()]).mean()),
    )


def _checked(
    train_codes: Codes, train_labels: Array, codes: Codes, labels: Array
) -> tuple[csr_array, Labels, csr_array, Labels]:
    train = as_csr(train_codes, "the training code").astype(np.float64)
    test = as_csr(codes, latents=train.shape[1]).astype(np.float64)
    known = as_labels(train_labels, train.shape[0], "the training labels")
    wanted = as_labels(labels, test.shape[0], "the labels")
    if not known.size or not wanted.size:
        raise DataError("a probe needs codes to train on and codes to test")
    return train, known, test, wanted


def _for_sklearn(codes: csr_array) -> Any:
    """Return the codes with 32-bit indices, which its solvers want; dense where they are dense."""
    from scipy.sparse import csr_array

    if codes.nnz > 0.2 * codes.shape[0] * codes.shape[1]:
        return codes.toarray()
    rows = csr_array(codes)
    rows.indices, rows.indptr = rows.indices.astype(np.int32), rows.indptr.astype(np.int32)
    return rows
