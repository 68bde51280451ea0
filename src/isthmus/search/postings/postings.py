"""Exact search over sparse codes: for every term, the rows that hold it."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from isthmus.errors import RunError
from isthmus.search.postings.layout import Layout
from isthmus.search.postings.making import Kept, facts, laid_out
from isthmus.search.postings.query import checked_query, checked_rows, laid_on_rows
from isthmus.search.postings.reading import all_codes, codes_of, sums_of_rows, values_at
from isthmus.search.postings.searching import scored, searched
from isthmus.search.postings.storage import MADE_AGAIN, opened, verified, written
from isthmus.search.postings.weighting import Saturation

if TYPE_CHECKING:
    from scipy.sparse import csr_array

    from isthmus.kernels.team import Team

__all__ = ["Postings", "write_postings"]

Array = NDArray[Any]
Ints = NDArray[np.int64]
Scores = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Postings:
    """Rows (passages) of sparse codes, laid out by term (concept or word) for exact search.

    ``score(row) = scaling[row] * (constant + sum over the query's terms of weight * value)``, all
    in float64, the terms in rising order, the constant last. A row that shares no term with the
    query is never found; one that shares any is, even if its score is 0 or below. Hits are ordered
    by falling score, then by rising row. Neither threads nor blocks change a bit of the result.

    Examples
    --------
    >>> postings = Postings.of(np.array([[3.0, 0.0, 1.0], [0.0, 2.0, 0.0], [1.0, 0.0, 0.0]]))
    >>> rows, scores = postings.search([0, 2], [1.0, -4.0])
    >>> rows.tolist(), scores.tolist()
    ([2, 0], [1.0, -1.0])
    >>> terms, parts = postings.contributions(0, [0, 2], [1.0, -4.0])
    >>> terms.tolist(), parts.tolist()
    ([0, 2], [3.0, -4.0])
    """

    layout: Layout
    """The arrays."""
    folder: Path | None = None
    """Where they lie; None: in memory only."""

    @classmethod
    def of(cls, codes: Any, *, values: Kept = "rounded", block: int | None = None) -> Postings:
        """Make postings in memory.

        Parameters
        ----------
        codes
            Codes (R, T), sparse or dense, any real type; zeros are left out.
        values
            "rounded" keeps 12 significant bits of each value, none negative, in 4 bytes a posting
            (`isthmus.search.postings.values`); "float32" keeps all 24 and the sign, in 6 bytes.
        block
            Rows that are scored at a time, 16,384 or 65,536; None: the smaller one unless most
            terms are rare.

        Raises
        ------
        DataError
            If a value is infinite, not a number, or negative where it may not be.
        ConfigError
            If there are too many rows for one index, or ``block`` is another number.
        """
        return cls(laid_out(codes, values, block))

    @classmethod
    def open(cls, folder: str | Path) -> Postings:
        """Open the postings in ``folder``, memory-mapped.

        Sizes, types, the manifest and every array but the postings themselves are checked; those
        can't lead outside their block whatever they hold, and :meth:`verify` checks them too.

        Raises
        ------
        RunError
            If a file is missing, damaged, cut short, or contradicts the others.
        """
        return cls(opened(Path(folder)), Path(folder))

    def write(self, folder: str | Path) -> None:
        """Write to a new folder, whole or not at all.

        Raises
        ------
        RunError
            If there is something in that place already, or it can't be written.
        """
        written(Path(folder), self.layout)

    def verify(self) -> None:
        """Read everything: check the digests, and what must hold between the postings.

        Raises
        ------
        RunError
            If anything differs.
        """
        if self.folder is not None:
            verified(self.folder)
        self._well(all_codes(self.layout))
        values = self.layout.values
        if values.dtype != np.uint16:
            if not (np.isfinite(values) & (values != 0)).all():
                raise self._damaged("values", "some are 0, infinite or not a number")
            if not self.layout.signed and (values < 0).any():
                raise self._damaged("values", "some are negative")
        maxima, sums = facts(self.layout.term_start, values, self.layout.lowest)
        if not (np.array_equal(maxima, self.maxima) and np.array_equal(sums, self.sums)):
            raise self._damaged("maxima, sums", "they are not those of the values")

    @property
    def rows(self) -> int:
        """Rows there are, R."""
        return self.layout.rows

    @property
    def terms(self) -> int:
        """Terms there are, T."""
        return self.layout.terms

    @property
    def count(self) -> int:
        """Postings there are."""
        return len(self.layout.low)

    @property
    def bytes(self) -> int:
        """Size of all arrays."""
        return sum(array.nbytes for _, array in self.layout.arrays())

    @functools.cached_property
    def frequency(self) -> Ints:
        """Rows that hold each term (T,)."""
        return np.diff(self.layout.term_start)

    @property
    def sums(self) -> Scores:
        """Sum of each term's values (T,)."""
        return self.layout.sums

    @property
    def maxima(self) -> NDArray[np.float32]:
        """Largest value of each term (T,), 0 where no row holds it."""
        return self.layout.maxima

    def row_sums(self) -> Scores:
        """Return the sum of each row's values (R,): its length, for BM25."""
        return sums_of_rows(self.layout, squared=False)

    def row_norms(self) -> Scores:
        """Return the Euclidean norm of each row's values (R,), for cosines."""
        return np.sqrt(sums_of_rows(self.layout, squared=True))

    def search(
        self,
        terms: ArrayLike,
        weights: ArrayLike,
        *,
        limit: int = 10,
        allowed: NDArray[np.bool_] | None = None,
        scaling: NDArray[np.float32] | None = None,
        saturation: Saturation | None = None,
        constant: float = 0.0,
        threads: int | Team = 1,
    ) -> tuple[Ints, Scores]:
        """Return the best rows (H,) int64 and their scores (H,) float64, H at most ``limit``.

        Parameters
        ----------
        terms, weights
            The query (K,): each term once, in any order, with weights of either sign; weights
            below 1e-200 in size count as 0, and a term of weight 0 is no part of the query.
        limit
            Most hits to return.
        allowed
            Rows that may be found (R,); None: all.
        scaling
            A finite factor for each row (R,), float32; None: 1.
        saturation
            Count a value v of row r as ``v / (v + norms[r])``; None: as v.
        constant
            What is added to every row's sum.
        threads
            Threads, or a team of them that is there already: worth it from some million
            postings of the query's terms.

        Raises
        ------
        ConfigError
            If the query, the limit or the number of threads is impossible, or an array does not
            fit the rows.
        """
        query = checked_query(terms, weights, self.terms)
        laid = laid_on_rows(self.layout, allowed, scaling, saturation, constant)
        return searched(self.layout, query, laid, limit, threads)

    def scores(
        self,
        terms: ArrayLike,
        weights: ArrayLike,
        *,
        allowed: NDArray[np.bool_] | None = None,
        scaling: NDArray[np.float32] | None = None,
        saturation: Saturation | None = None,
        constant: float = 0.0,
        threads: int | Team = 1,
    ) -> tuple[Ints, Scores]:
        """Return all rows that share a term with the query (H,), rising, and their scores (H,).

        The parameters and errors are those of :meth:`search`; nothing is sorted.
        """
        query = checked_query(terms, weights, self.terms)
        laid = laid_on_rows(self.layout, allowed, scaling, saturation, constant)
        return scored(self.layout, query, laid, threads)

    def contributions(
        self,
        row: int,
        terms: ArrayLike,
        weights: ArrayLike,
        *,
        scaling: NDArray[np.float32] | None = None,
        saturation: Saturation | None = None,
    ) -> tuple[Ints, Scores]:
        """Return the query's terms that ``row`` holds (S,), rising, and what each adds (S,).

        Without ``scaling`` and ``constant``, their sum from left to right is the score to the last
        bit. With both, the score is ``scaling[row] * constant`` more, within rounding.

        Raises
        ------
        ConfigError
            If the query is impossible, or there is no such row.
        """
        from isthmus.search.postings.finding import places_of

        query = checked_query(terms, weights, self.terms)
        laid = laid_on_rows(self.layout, None, scaling, saturation)
        here = checked_rows(row, self.rows)
        places = np.empty((1, len(query.terms)), np.int64)
        places_of(here, query.terms, self.layout.block, *self.layout.lists(), places)
        held = np.flatnonzero(places[0] >= 0)
        values = values_at(self.layout, places[0, held]).astype(np.float64)
        parts = query.weights[held] * values
        if saturation is not None:
            parts /= values + np.float64(laid.norms[row])
        if scaling is not None:
            parts *= np.float64(laid.scaling[row])
        return query.terms[held], parts

    def codes(self, rows: ArrayLike | None = None) -> csr_array:
        """Return the stored codes of ``rows``, or all, as a CSR array (len(rows), T), float32.

        Making postings of them again gives the same codes.

        Raises
        ------
        ConfigError
            If there is no such row.
        RunError
            If the postings turn out to be damaged.
        """
        if rows is None:
            return self._well(all_codes(self.layout))
        return self._well(codes_of(self.layout, checked_rows(rows, self.rows)))

    def _well(self, codes: csr_array | None) -> csr_array:
        if codes is None:
            raise self._damaged("low", "the rows of a term do not rise")
        return codes

    def _damaged(self, name: str, why: str) -> RunError:
        where = name if self.folder is None else f"{self.folder}: {name}"
        return RunError("the postings are damaged", where=where, why=why, fix=MADE_AGAIN)


def write_postings(
    folder: str | Path, codes: Any, *, values: Kept = "rounded", block: int | None = None
) -> Postings:
    """Write the postings of ``codes`` (R, T) to a new folder and open them.

    The parameters are those of :meth:`Postings.of`. The folder appears whole or not at all.

    Raises
    ------
    DataError, ConfigError
        As :meth:`Postings.of`.
    RunError
        If there is something in that place already, or it can't be written.
    """
    Postings.of(codes, values=values, block=block).write(folder)
    return Postings.open(folder)
