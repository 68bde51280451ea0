"""The arrays that postings are made of, and what must hold between them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["BLOCKS", "MOST_BLOCKS", "Layout", "fault"]

Array = NDArray[Any]

BLOCKS = (16_384, 65_536)
"""Rows a block may have: row numbers inside one take 16 bits, its sums fit a core's cache."""
MOST_BLOCKS = 1 << 16
"""Blocks there may be."""

_DTYPES = MappingProxyType(
    {
        "term_start": ("<i8",),
        "piece_start": ("<i8",),
        "piece_block": ("<u2",),
        "piece_end": ("<u4",),
        "low": ("<u2",),
        "values": ("<u2", "<f4"),
        "maxima": ("<f4",),
        "sums": ("<f8",),
    }
)


@dataclass(frozen=True, eq=False)
class Layout:
    """Postings term by term; those of one term in pieces, one for each block of rows it is in.

    All arrays are read-only. T terms, R rows, N postings, P pieces.
    """

    rows: int
    """R."""
    block: int
    """Rows a block has, one of `BLOCKS`."""
    lowest: int
    """Exponent of the smallest 16-bit value; see ``values.py``."""
    signed: bool
    """Whether there may be negative values."""
    term_start: Array
    """Where each term's postings begin (T + 1,), int64."""
    piece_start: Array
    """Where each term's pieces begin (T + 1,), int64."""
    piece_block: Array
    """The block of each piece (P,), uint16, rising within a term."""
    piece_end: Array
    """Where each piece ends (P,), uint32, counted from the term's beginning."""
    low: Array
    """Row of each posting inside its block (N,), uint16, rising within a piece."""
    values: Array
    """Value of each posting (N,): uint16, see ``values.py``, or float32."""
    maxima: Array
    """Largest value of each term (T,), float32; 0 where it has no posting."""
    sums: Array
    """Sum of each term's values (T,), float64."""

    @property
    def terms(self) -> int:
        """T."""
        return len(self.term_start) - 1

    def lists(self) -> tuple[Array, ...]:
        """Return what says where postings stand, in the order that the compiled loops want."""
        return self.term_start, self.piece_start, self.piece_block, self.piece_end, self.low

    def arrays(self) -> Iterator[tuple[str, Array]]:
        """Yield the arrays and their names."""
        for each in fields(self):
            if each.name in _DTYPES:
                yield each.name, getattr(self, each.name)

    @staticmethod
    def dtypes(name: str) -> tuple[str, ...]:
        """Return the types that an array may have; none for a name that is none of them."""
        return _DTYPES.get(name, ())

    @staticmethod
    def names() -> tuple[str, ...]:
        """Return the names of all arrays."""
        return tuple(_DTYPES)


def fault(layout: Layout) -> tuple[str, str] | None:
    """Return the first array that contradicts the others, and how; None where all is well.

    What is checked here keeps every look-up inside the arrays, whatever the postings hold, and
    takes time by terms and pieces only.
    """
    terms, pieces, postings = layout.terms, len(layout.piece_block), len(layout.low)
    lengths = {
        "piece_start": terms + 1,
        "piece_end": pieces,
        "values": postings,
        "maxima": terms,
        "sums": terms,
    }
    for name, length in lengths.items():
        if len(getattr(layout, name)) != length:
            return name, f"{len(getattr(layout, name))} entries, not {length}"
    for name, count in (("term_start", postings), ("piece_start", pieces)):
        starts = getattr(layout, name)
        if starts[0] != 0 or starts[-1] != count or (starts[1:] < starts[:-1]).any():
            return name, f"starts do not rise from 0 to {count}"
    blocks = -(-layout.rows // layout.block)
    return _fault_of_pieces(layout, blocks)


def _fault_of_pieces(layout: Layout, blocks: int) -> tuple[str, str] | None:
    """Check that a term's pieces follow each other and end where the term ends."""
    lengths = np.diff(layout.piece_start)
    held = np.flatnonzero(lengths)
    counts = np.diff(layout.term_start)
    if (counts[lengths == 0] != 0).any():
        return "piece_start", "a term has postings and no piece"
    if len(held) == 0:
        return None
    last = layout.piece_start[held + 1] - 1
    if (layout.piece_end[last] != counts[held]).any():
        return "piece_end", "the last piece does not end where its term does"
    inside = np.ones(len(layout.piece_block), bool)
    inside[layout.piece_start[held]] = False  # the first piece of a term follows nothing
    inside = inside[1:]
    ends, numbers = layout.piece_end, layout.piece_block
    if (ends[1:] <= ends[:-1])[inside].any() or (ends[layout.piece_start[held]] == 0).any():
        return "piece_end", "the ends of a term's pieces do not rise"
    if (numbers[1:] <= numbers[:-1])[inside].any() or int(numbers.max()) >= blocks:
        return "piece_block", f"the blocks of a term's pieces do not rise below {blocks}"
    return None
