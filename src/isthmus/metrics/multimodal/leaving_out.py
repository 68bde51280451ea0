"""Who moves the joint code: each modality's share of what leaving it out changes."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from isthmus.errors import DataError
from isthmus.metrics.arrays import Array, Floats, as_matrix, same_shape, unit_rows

__all__ = ["leave_one_out"]


def leave_one_out(whole: Array, without: Mapping[str, Array]) -> dict[str, Floats]:
    """Return each modality's share of the joint code's movement where one is left out, (n,).

    Movement is one minus the cosine between the joint code of all modalities and that of all but
    one; shares of a row sum to 1, or are all 0 where nothing moves. It tells modalities apart
    that count alike in a mean, if there are at least three.

    Parameters
    ----------
    whole
        Joint codes of whole rows, (n, Z).
    without
        By modality, the joint codes of the same rows without it, (n, Z).

    Raises
    ------
    DataError
        If shapes differ, or fewer than three modalities are left out in turn: of two, both shares
        are one half whatever the codes.

    Examples
    --------
    >>> import numpy as np
    >>> whole = np.array([[1.0, 0.0]])
    >>> rest = {"a": [[0.0, 1.0]], "b": [[1.0, 0.0]], "c": [[3.0, 4.0]]}
    >>> shares = leave_one_out(whole, {name: np.array(codes) for name, codes in rest.items()})
    >>> {name: float(share[0].round(3)) for name, share in shares.items()}
    {'a': 0.714, 'b': 0.0, 'c': 0.286}
    """
    if len(without) < 3:
        raise DataError("leaving one out tells nothing of fewer than three modalities")
    a = unit_rows(as_matrix(whole, "joint codes"))
    moved = {}
    for name, codes in without.items():
        b = unit_rows(as_matrix(codes, f"joint codes without {name}"))
        same_shape(a, b, "joint codes with and without a modality")
        moved[name] = np.clip(1 - (a * b).sum(axis=1), 0, None)
    total = np.stack(list(moved.values())).sum(axis=0)
    return {name: one / np.where(total > 0, total, 1) for name, one in moved.items()}
