"""Does this sound belong to this picture: how well a score tells pairs from mismatches."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from isthmus.errors import DataError
from isthmus.metrics.arrays import Array, Floats, as_float64, check_finite

__all__ = ["Detection", "detection"]


@dataclass(frozen=True)
class Detection:
    """How well a score tells matched from mismatched pairs."""

    auc: float
    """Area under the ROC curve: the probability that a matched pair scores above a mismatched
    one, ties counting half."""
    low: float
    """Lower end of the 95 % interval."""
    high: float
    """Upper end of the 95 % interval."""
    matched: int
    """Matched pairs."""
    mismatched: int
    """Mismatched pairs."""


def detection(matched: Array, mismatched: Array) -> Detection:
    """Return the area under the ROC curve with DeLong's interval.

    Parameters
    ----------
    matched, mismatched
        Scores (n,) and (m,); higher means that the two belong together.

    Raises
    ------
    DataError
        If a side is empty, or a score isn't finite.

    Notes
    -----
    Source of the interval: DeLong, DeLong and Clarke-Pearson, Biometrics 44, 1988.

    Examples
    --------
    >>> detection(np.array([3.0, 2.0]), np.array([1.0, 2.0])).auc
    0.875
    """
    from scipy.stats import norm, rankdata

    good, bad = as_float64(matched).ravel(), as_float64(mismatched).ravel()
    if not good.size or not bad.size:
        raise DataError("detection needs matched and mismatched pairs")
    check_finite(good, "the matched scores")
    check_finite(bad, "the mismatched scores")
    ranks: Floats = rankdata(np.concatenate([good, bad]))
    # how many of the other side each score stands above, ties half, as a share
    above = (ranks[: good.size] - rankdata(good)) / bad.size
    below = 1 - (ranks[good.size :] - rankdata(bad)) / good.size
    auc = float(above.mean())
    variance = sum(float(v.var(ddof=1)) / v.size for v in (above, below) if v.size > 1)
    half = float(norm.ppf(0.975)) * np.sqrt(variance)
    low, high = max(0.0, auc - half), min(1.0, auc + half)
    return Detection(auc, float(low), float(high), good.size, bad.size)
