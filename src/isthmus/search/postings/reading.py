"""Stored codes, read back from postings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from isthmus.search.postings.layout import Layout
from isthmus.search.postings.values import dequantised

if TYPE_CHECKING:
    from scipy.sparse import csr_array

__all__ = ["all_codes", "codes_of", "kernel_values", "some_codes", "sums_of_rows", "values_at"]

Array = NDArray[Any]
Ints = NDArray[np.int64]

_MOST_PLACES = 1 << 22
_WHOLE = 16  # reading all rows costs about as much as looking up a sixteenth of them


def values_at(layout: Layout, places: Array) -> NDArray[np.float32]:
    """Return the values of the postings at ``places``."""
    found = layout.values[places]
    if found.dtype == np.uint16:
        return dequantised(found, layout.lowest)
    return np.asarray(found, np.float32)


def kernel_values(layout: Layout) -> tuple[Array, int, Array]:
    """Return the values as compiled loops want them: words and their base, or floats."""
    empty: Array = np.empty(0, np.float32 if layout.values.dtype == np.uint16 else np.uint16)
    empty.setflags(write=False)
    base = (1023 + layout.lowest) << 52
    if layout.values.dtype == np.uint16:
        return layout.values, base, empty
    return empty, base, layout.values


def codes_of(layout: Layout, rows: Ints) -> csr_array | None:
    """Return codes (len(rows), T) float32; None where the lists turn out to be damaged."""
    if len(rows) * _WHOLE > layout.rows:
        found = all_codes(layout)
        return None if found is None else found[rows]
    return some_codes(layout, rows)


def some_codes(layout: Layout, rows: Ints) -> csr_array:
    """Look rows up in the list of each term."""
    from scipy.sparse import csr_array

    from isthmus.search.postings.finding import places_of

    terms = np.arange(layout.terms)
    counts = np.zeros(len(rows) + 1, np.int64)
    columns: list[Array] = []
    values: list[Array] = []
    step = max(1, _MOST_PLACES // max(1, layout.terms))
    for start in range(0, len(rows), step):
        chosen = rows[start : start + step]
        places_RT = np.empty((len(chosen), layout.terms), np.int64)
        places_of(chosen, terms, layout.block, *layout.lists(), places_RT)
        held_R, held_T = np.nonzero(places_RT >= 0)
        counts[start + 1 : start + 1 + len(chosen)] = np.bincount(held_R, minlength=len(chosen))
        columns.append(held_T)
        values.append(values_at(layout, places_RT[held_R, held_T]))
    data = np.concatenate([np.empty(0, np.float32), *values])
    indices = np.concatenate([np.empty(0, np.int64), *columns])
    return csr_array((data, indices, np.cumsum(counts)), shape=(len(rows), layout.terms))


def all_codes(layout: Layout) -> csr_array | None:
    """Turn all lists back into rows; None where the rows of a term do not rise."""
    from scipy.sparse import csr_array

    from isthmus.search.postings.finding import count_rows, place_rows

    counts = np.zeros(layout.rows, np.int64)
    if not count_rows(layout.block, layout.rows, *layout.lists(), counts):
        return None
    indptr = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    indices = np.empty(indptr[-1], np.int32 if layout.terms < 1 << 31 else np.int64)
    places = np.empty(indptr[-1], np.int64)
    place_rows(layout.block, *layout.lists(), indptr, indices, places)
    values = values_at(layout, places)
    return csr_array((values, indices, indptr), shape=(layout.rows, layout.terms))


def sums_of_rows(layout: Layout, squared: bool) -> NDArray[np.float64]:
    """Return the sum of each row's values, or of their squares, (R,)."""
    from isthmus.search.postings.finding import sum_rows

    found = np.zeros(layout.rows, np.float64)
    sum_rows(layout.block, *layout.lists(), *kernel_values(layout), squared, found)
    return found
