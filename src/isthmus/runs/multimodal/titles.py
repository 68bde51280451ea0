"""What measures of several modalities are called in tables that people read."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

__all__ = ["title_of"]

_TITLES: Mapping[str, str] = MappingProxyType(
    {
        "map": "mAP",
        "p@1": "P@1",
        "p@10": "P@10",
        "auc": "ROC area",
        "paired": "paired neighbour",
        "cca": "CCA",
        "relative": "of the judge's",
        "frechet": "Frechet",
        "frechet_floor": "Frechet floor",
        "heard": "audible",
        "coherence*entropy": "coherence x evenness",
        "entropy": "evenness of classes",
        "least_class": "rarest class",
    }
)


def title_of(key: str) -> str:
    """Return what a measure of the report is called.

    Examples
    --------
    >>> title_of("map"), title_of("calibration_error")
    ('mAP', 'calibration error')
    """
    return _TITLES.get(key, key.replace("_", " "))
