"""The digits that come with scikit-learn: real images on every machine."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from isthmus.data.options import WHOLE, LoadOptions, Part, Raw

__all__ = ["read_digits"]


def read_digits(folder: Path, options: LoadOptions) -> Raw:
    """Return 1,797 images of 8 x 8 with values 0 to 16, to be split by class shares.

    Parameters
    ----------
    folder
        Not used; the set lies in the installed package.
    options
        Not used.
    """
    from sklearn.datasets import load_digits

    bunch = load_digits()
    return Raw(
        name="digits",
        source="scikit-learn's digits",
        parts={WHOLE: Part(bunch.images.astype(np.uint8), bunch.target.astype(np.int64), "digits")},
        kind="image",
        range=(0.0, 16.0),
        stratify=True,
    )
