"""The errors that other libraries report under the names FVU and explained variance.

No two of them can be compared, and only the first is ours. Here they are side by side on the same
samples, so that a published number can be held against the right one. What each library computes
was read in its source; the versions are those of 2025.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from isthmus.errors import ConfigError, DataError
from isthmus.metrics.arrays import Array, Floats, as_float64, as_matrix, same_shape
from isthmus.metrics.reconstruction import ReconstructionSums

__all__ = ["PublishedErrors", "published_errors"]


@dataclass(frozen=True)
class PublishedErrors:
    """One reconstruction, unexplained by seven definitions; None where one divides by zero."""

    pooled: float | None
    """Squared errors over squares about the fixed training mean, both summed: our `fvu`."""
    batch_mean: float | None
    """The same about each batch's own mean, averaged over batches (sparsify, latent-sae): too
    large for small batches, for their mean fits them."""
    sample_ratios: float | None
    """Mean over samples of error over squares about the batch's mean (SAELens and SAEBench,
    "legacy"): samples near the mean count most."""
    ratios_about_zero: float | None
    """Mean over samples of error over |x|^2 (openai/sparse_autoencoder, loss.py): answering the
    mean already earns a small number where vectors share a direction."""
    about_zero: float | None
    """Squared errors over |x|^2, both summed (SAELens and SAEBench in 2025, by mistake)."""
    without_bias: float | None
    """Variance of the errors over variance of the inputs, summed over elements
    (dictionary_learning): a constant error is forgiven."""
    scalar_mean: float | None
    """Squared errors over squares about one number, the mean of all elements (overcomplete):
    differences between the elements' means count as explained."""


def published_errors(
    x: Array, reconstruction: Array, train_mean: Array | float, *, batch: int | None = None
) -> PublishedErrors:
    """Return the unexplained share of the variance by seven definitions.

    Parameters
    ----------
    x, reconstruction
        Inputs and what was made of them (N, D).
    train_mean
        Mean of the training split (D,), or one number.
    batch
        Samples of a batch, for the definitions that depend on it; None: all at once.

    Raises
    ------
    ConfigError
        If ``batch`` is below 1.
    DataError
        If the shapes differ, there is no sample, or a value is not finite.
    """
    same_shape(x, reconstruction, "inputs and reconstructions")
    inputs = as_matrix(x, "the input")
    outputs = as_matrix(reconstruction, "the reconstruction")
    if not len(inputs):
        raise DataError("no sample was given, so there is no error")
    if batch is not None and batch < 1:
        raise ConfigError("a batch holds at least one sample", why=f"batch = {batch}")
    sums = ReconstructionSums(as_float64(train_mean))
    sums.update(inputs, outputs)
    error = outputs - inputs
    squared = (error**2).sum(axis=1)
    cuts = range(0, len(inputs), batch or len(inputs))
    blocks = [slice(start, start + (batch or len(inputs))) for start in cuts]
    centred = [((inputs[b] - inputs[b].mean(axis=0)) ** 2).sum(axis=1) for b in blocks]
    lengths = (inputs**2).sum(axis=1)
    return PublishedErrors(
        pooled=sums.result().fvu,
        batch_mean=_mean(
            np.array([squared[b].sum() for b in blocks]), np.array([c.sum() for c in centred])
        ),
        sample_ratios=_mean(squared, np.concatenate(centred)),
        ratios_about_zero=_mean(squared, lengths),
        about_zero=_mean(squared.sum(keepdims=True), lengths.sum(keepdims=True)),
        without_bias=_mean(
            error.var(axis=0).sum(keepdims=True), inputs.var(axis=0).sum(keepdims=True)
        ),
        scalar_mean=_mean(
            squared.sum(keepdims=True), ((inputs - inputs.mean()) ** 2).sum(keepdims=True)
        ),
    )


def _mean(above: Floats, below: Floats) -> float | None:
    """Mean of ratios; None where one divides by zero."""
    return float((above / below).mean()) if (below > 0).all() else None
