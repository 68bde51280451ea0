"""The stores' border: what comes in is checked here, once, before anything is sent."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from isthmus.data.corpora.documents import Metadata
from isthmus.errors import ConfigError, DataError
from isthmus.search.filters import Condition

if TYPE_CHECKING:
    from scipy.sparse import csr_array

__all__ = [
    "HUGE",
    "TINY",
    "Query",
    "Rows",
    "checked_conditions",
    "checked_ids",
    "checked_latents",
    "checked_limit",
    "checked_query",
    "checked_rows",
    "missing_passages",
    "peaks",
]

TINY, HUGE = 2.0**-56, 2.0**56
"""Values below `TINY`, and weights below `TINY` times the largest one, count as zero; values above
`HUGE` are refused. So products and their sums stay within the normal numbers of float32, in which
servers calculate."""
_LEAST, _MOST = 1e-200, 1e200

_WHOLE = 2**63
_FAULTS = {
    "kind": "it is no text, truth or number",
    "finite": "it is not finite",
    "whole": "it does not fit into 64 bits",
    "text": "it holds a NUL character or half a surrogate pair",
}


@dataclass(frozen=True, eq=False)
class Rows:
    """Passages that may be stored."""

    ids: NDArray[np.int64]
    """Ids (R,), each once."""
    codes: csr_array
    """Codes (R, N), float32, indices ascending, all values above zero."""
    metadata: tuple[dict[str, Any], ...]
    """Facts of each."""


@dataclass(frozen=True, eq=False)
class Query:
    """A query that may be asked: concepts of non-zero weight."""

    concepts: NDArray[np.int32]
    """Latents (K,), ascending, at least one."""
    weights: NDArray[np.float64]
    """Their weights (K,)."""


def checked_latents(latents: int) -> int:
    """Return the width of codes, or refuse it.

    Raises
    ------
    ConfigError
        If it is no whole number from 1 to 1,000,000,000.
    """
    if isinstance(latents, bool) or not isinstance(latents, int | np.integer):
        raise ConfigError("the number of latents must be a whole number", where=f"{latents!r}")
    if not 1 <= latents <= 1_000_000_000:
        raise ConfigError("latents must be from 1 to 1,000,000,000", where=f"latents={latents}")
    return int(latents)


def checked_limit(limit: int) -> int:
    """Return how many hits are wanted, or refuse it.

    Raises
    ------
    ConfigError
        If it is no whole number from 1 to 1,000,000,000.
    """
    sound = not isinstance(limit, bool) and isinstance(limit, int | np.integer)
    if not sound or not 1 <= limit <= 1_000_000_000:
        raise ConfigError("the limit must be from 1 to 1,000,000,000", where=f"limit={limit!r}")
    return int(limit)


def checked_ids(ids: ArrayLike, *, unique: bool = True) -> NDArray[np.int64]:
    """Return ids as (R,) int64, or refuse them.

    Raises
    ------
    DataError
        If they are no list of whole numbers from 0, or one stands twice where it must not.
    """
    try:
        found = np.asarray(ids)
    except (ValueError, OverflowError) as error:
        raise DataError("the ids are no list of whole numbers", why=str(error)) from error
    if found.size == 0:
        found = found.astype(np.int64)
    if found.ndim != 1 or found.dtype.kind not in "iu":
        raise DataError(
            "the ids are no list of whole numbers",
            why=f"they have shape {found.shape} and type {found.dtype}",
        )
    wrong = np.flatnonzero((found < 0) | (found >= _WHOLE))
    if len(wrong):
        raise DataError(
            "ids must be from 0 and fit into 64 bits",
            where=f"id {found[wrong[0]]} at place {int(wrong[0])}",
        )
    found = found.astype(np.int64)
    if unique:
        ordered = np.sort(found)
        twice = ordered[1:][ordered[1:] == ordered[:-1]]
        if len(twice):
            raise DataError("an id stands twice", where=f"id {int(twice[0])}")
    return found


def checked_rows(ids: ArrayLike, codes: Any, metadata: Sequence[Metadata], latents: int) -> Rows:
    """Return what is to be stored in one form, copied; see `Store.put` for what is refused."""
    numbers = checked_ids(ids)
    found = _checked_codes(codes, latents)
    if not len(numbers) == found.shape[0] == len(metadata):
        raise DataError(
            "ids, codes and metadata do not belong together",
            why=f"{len(numbers)} ids, {found.shape[0]} rows, {len(metadata)} metadata",
        )
    facts = tuple(_checked_metadata(one, row) for row, one in enumerate(metadata))
    return Rows(numbers, found, facts)


def _checked_codes(codes: Any, latents: int) -> csr_array:
    from scipy.sparse import csr_array, issparse

    if not issparse(codes) or codes.ndim != 2 or codes.dtype.kind not in "fiub":
        raise DataError("the codes are no sparse matrix of numbers", why=f"{type(codes).__name__}")
    if codes.shape[1] != latents:
        raise DataError(
            "the codes have another width than the store",
            why=f"{codes.shape[1]} instead of {latents} latents",
        )
    try:
        found = csr_array(codes, copy=True)
        found.check_format(full_check=True)
    except (ValueError, IndexError) as error:
        raise DataError("the codes are no sound sparse matrix", why=str(error)) from error
    found.sort_indices()
    of_row = np.repeat(np.arange(found.shape[0]), np.diff(found.indptr))
    same = (found.indices[1:] == found.indices[:-1]) & (of_row[1:] == of_row[:-1])
    if same.any():
        entry = int(np.flatnonzero(same)[0])
        raise DataError(
            "a latent stands twice in a code",
            where=f"row {int(of_row[entry])}, latent {int(found.indices[entry])}",
        )
    values = found.data.astype(np.float64)
    bad = np.flatnonzero(~((values >= 0) & (values <= HUGE)))
    if len(bad):
        raise DataError(
            "a value of a code is negative, not finite, or too large",
            where=f"row {int(of_row[bad[0]])}, latent {int(found.indices[bad[0]])}: "
            f"{found.data[bad[0]]}",
            why="activations are from 0 to 2**56, so that sums in float32 stay finite",
        )
    found = found.astype(np.float32)
    found.data[found.data < TINY] = 0
    found.eliminate_zeros()
    return found


def _checked_metadata(facts: Metadata, row: int) -> dict[str, Any]:
    if not isinstance(facts, Mapping):
        raise DataError(
            "metadata must be a mapping", where=f"row {row}", why=f"it is {type(facts).__name__}"
        )
    for field, value in facts.items():
        fault = ("" if isinstance(field, str) else "kind") or _fault(field) or _fault(value)
        if fault:
            raise DataError(
                "metadata that can't be kept",
                where=f"row {row}, field {field!r}: {value!r}",
                why=_FAULTS[fault],
            )
    return dict(facts)


def _fault(value: Any) -> str:
    """Name what is wrong with a field's name or value; nothing: it is sound."""
    if isinstance(value, str):
        return "text" if "\0" in value or any("\ud800" <= c <= "\udfff" for c in value) else ""
    if isinstance(value, bool):
        return ""
    if isinstance(value, int):
        return "" if -_WHOLE <= value < _WHOLE else "whole"
    if isinstance(value, float):
        return "" if math.isfinite(value) else "finite"
    return "kind"


def checked_query(concepts: ArrayLike, weights: ArrayLike, latents: int) -> Query:
    """Return a query in ascending order without zeros; see `Store.search` for what is refused."""
    numbers, sizes = np.asarray(concepts), np.asarray(weights)
    if numbers.ndim != 1 or numbers.shape != sizes.shape:
        raise ConfigError(
            "a query is a list of concepts with a weight each",
            why=f"shapes are {numbers.shape} and {sizes.shape}",
        )
    if numbers.size and (numbers.dtype.kind not in "iu" or sizes.dtype.kind not in "fiu"):
        raise ConfigError(
            "concepts must be whole numbers, and weights numbers",
            why=f"types are {numbers.dtype} and {sizes.dtype}",
        )
    sizes = sizes.astype(np.float64)
    bad = np.flatnonzero(~(np.abs(sizes) <= _MOST))
    if len(bad):
        raise ConfigError(
            "a weight is not finite, or above 1e200 in size",
            where=f"concept {numbers[bad[0]]}: {sizes[bad[0]]}",
        )
    wrong = np.flatnonzero((numbers < 0) | (numbers >= latents))
    if len(wrong):
        raise ConfigError(
            "there is no such concept",
            where=f"concept {numbers[wrong[0]]}",
            why=f"they count from 0 to {latents - 1}",
        )
    order = np.argsort(numbers, kind="stable")
    numbers, sizes = numbers[order], sizes[order]
    twice = numbers[1:][numbers[1:] == numbers[:-1]]
    if len(twice):
        raise ConfigError("a concept stands twice in the query", where=f"concept {twice[0]}")
    kept = np.abs(sizes) >= max(_LEAST, TINY * np.abs(sizes).max(initial=0.0))
    if not kept.any():
        raise ConfigError(
            "a search needs a concept",
            why="no concept of the query has a weight other than zero",
            fix="name a concept, or search for words that the dictionary knows",
        )
    return Query(numbers[kept].astype(np.int32), sizes[kept])


def checked_conditions(where: Sequence[Condition]) -> tuple[Condition, ...]:
    """Return conditions, or refuse those that no store could hold metadata against.

    Raises
    ------
    ConfigError
        If one is of another type, or its field or a value could not stand in metadata.
    """
    for condition in where:
        if not isinstance(condition, Condition):
            raise ConfigError("filters are conditions", why=f"{condition!r} is none")
        value = condition.value
        parts = value if isinstance(value, tuple) else (value,)
        fault = next(filter(None, map(_fault, (condition.field, *parts))), "")
        if fault:
            raise ConfigError(
                "a condition that metadata can't be held against",
                where=f"{condition.field!r} {condition.operator} {condition.value!r}",
                why=_FAULTS[fault],
            )
    return tuple(where)


def peaks(codes: csr_array) -> NDArray[np.float32]:
    """Return the largest value of each row (R,), 0 where it holds none."""
    found = np.zeros(codes.shape[0], np.float32)
    filled = np.diff(codes.indptr) > 0
    if filled.any():
        found[filled] = np.maximum.reduceat(codes.data, codes.indptr[:-1][filled])
    return found


def missing_passages(ids: NDArray[np.int64]) -> DataError:
    """Return the error that says which passages are not there."""
    named = ", ".join(str(int(one)) for one in ids[:5])
    more = f" and {len(ids) - 5} more" if len(ids) > 5 else ""
    return DataError("there is no such passage", where=f"id {named}{more}")
