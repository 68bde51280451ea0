"""Where a long text is cut: at sentences, evenly, never inside a token."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from isthmus.data.corpora.sentences import sentences

__all__ = ["pieces"]

Ints = NDArray[np.int64]

Cut = tuple[int, int, int]
"""A piece: its first atom, the first that the piece before it lacks, the one behind its last."""

_SCRAP = 8
_CLAUSE = re.compile(r"[,;:)\]}—–]\s*$|\n\s*$")


def pieces(
    text: str, token_spans: NDArray[np.int32], room: int, overlap: int
) -> list[tuple[int, int, int]]:
    """Cut a text into pieces of at most ``room`` tokens.

    Parameters
    ----------
    text
        The text; it holds more than white space.
    token_spans
        Characters (T, 2) of each token, in order.
    room
        Tokens of a piece at most.
    overlap
        Tokens that a piece may repeat of the one before it, less than ``room``.

    Returns
    -------
    list
        Of each piece its first character, the one behind its last, and its tokens.
    """
    atoms = _Atoms.of(np.asarray(token_spans, np.int64).reshape(-1, 2))
    total = atoms.tokens(0, len(atoms))
    whole = [(0, 0, len(atoms))]
    cuts = whole if total <= room else _Plan(text, atoms, room, overlap).cuts()
    found = []
    for first, _, last in cuts:
        start = atoms.starts[first] if first else 0
        end = atoms.starts[last] if last < len(atoms) else len(text)
        part = text[start:end]
        start += len(part) - len(part.lstrip())
        found.append((start, start + len(part.strip()), atoms.tokens(first, last)))
    return found


@dataclass(frozen=True, eq=False)
class _Atoms:
    """Tokens that share characters, together: a text can be cut between atoms only."""

    starts: list[int]
    """First character of each atom."""
    before: list[int]
    """Tokens before each atom, and all tokens at the end."""

    @classmethod
    def of(cls, spans: Ints) -> _Atoms:
        if not len(spans):
            return cls([], [0])
        behind = np.maximum.accumulate(spans[:, 1])
        first = np.flatnonzero(np.append(True, spans[1:, 0] >= behind[:-1]))
        return cls(spans[first, 0].tolist(), [*first.tolist(), len(spans)])

    def __len__(self) -> int:
        return len(self.starts)

    def tokens(self, first: int, last: int) -> int:
        return self.before[last] - self.before[first]

    def at(self, place: int) -> int:
        """Return the first atom that begins at ``place`` or later."""
        return bisect_left(self.starts, place)


class _Plan:
    """Decides on the cuts of one text; all positions are atoms."""

    def __init__(self, text: str, atoms: _Atoms, room: int, overlap: int) -> None:
        self.text, self.atoms, self.room, self.overlap = text, atoms, room, overlap
        self.sentences = [0, *self._sentences(), len(atoms)]
        self.units = [0]
        for first, last in pairwise(self.sentences):
            self.units += self._split(first, last)
        self.ends = [atoms.before[unit] for unit in self.units]

    def cuts(self) -> list[Cut]:
        """Return the pieces: as few as possible, and about equally long."""
        count = len(self._filled(self.room))
        # The smallest room that needs no more pieces spreads the text evenly.
        low, high = -(-self.atoms.before[-1] // count), self.room
        while low < high:
            middle = (low + high) // 2
            if len(self._filled(middle)) <= count:
                high = middle
            else:
                low = middle + 1
        return self._without_scraps(self._filled(high))

    def _sentences(self) -> list[int]:
        """Return where sentences begin, the first left out; headings stay with what follows."""
        found: set[int] = set()
        headed = True
        for start, _ in sentences(self.text):
            if not headed:
                found.add(self.atoms.at(start))
            headed = self.text.startswith("#", start)
        return sorted(found - {0, len(self.atoms)})

    def _filled(self, room: int) -> list[Cut]:
        """Fill one piece after the other with as many units as go in."""
        found: list[Cut] = []
        place = 0
        while place < len(self.units) - 1:
            new = self.units[place]
            first = self._first(found, new, room - self.atoms.tokens(new, self.units[place + 1]))
            reach = bisect_right(self.ends, self.atoms.before[first] + room) - 1
            place = max(place + 1, reach)
            found.append((first, new, self.units[place]))
        return found

    def _first(self, found: list[Cut], new: int, spare: int) -> int:
        """Return where a piece begins that says something new from ``new`` on.

        Behind the beginning of the piece before it, whole sentences, ``spare`` tokens at most.
        """
        tokens = min(spare, self.overlap)
        if tokens <= 0 or not found:
            return new
        least = bisect_left(self.atoms.before, self.atoms.before[new] - tokens)
        least = max(least, found[-1][0] + 1)
        sentence = self.sentences[bisect_left(self.sentences, least)]
        if sentence <= new:
            return sentence
        # Inside a sentence that is longer than a piece: whole words.
        return next((a for a in range(least, new) if self._ahead(a)[-1:].isspace()), new)

    def _without_scraps(self, cuts: list[Cut]) -> list[Cut]:
        """Give a piece with very little of its own some of its neighbour's."""
        news = [*(new for _, new, _ in cuts), len(self.atoms)]
        scrap = min(max(_SCRAP, self.room // 8), self.room // 3)
        for place in reversed(range(len(cuts))):
            if len(cuts) > 1 and self.atoms.tokens(news[place], news[place + 1]) < scrap:
                left = max(place - 1, 0)
                news[left + 1] = self._middle(news[left], news[left + 2], scrap)
        found: list[Cut] = []
        for new, last in pairwise(news):
            first = self._first(found, new, self.room - self.atoms.tokens(new, last))
            found.append((first, new, last))
        return found

    def _middle(self, first: int, last: int, scrap: int) -> int:
        """Cut two pieces anew: between units if neither is a scrap then, else inside a unit."""
        both = self.atoms.tokens(first, last)
        least = max(both - self.room, scrap)
        inside = self.units[bisect_right(self.units, first) : bisect_left(self.units, last)]
        sizes = [(self.atoms.tokens(first, unit), unit) for unit in inside]
        fitting = [(abs(2 * n - both), unit) for n, unit in sizes if least <= n <= both - least]
        return min(fitting)[1] if fitting else self._best(first, last, least, both // 2)

    def _split(self, first: int, last: int) -> list[int]:
        """Cut a sentence that does not fit into units that do, evenly; return where they end."""
        ends: list[int] = []
        room = max(self.room - self.overlap, -(-self.room // 2))  # the rest is for what is repeated
        left = self.atoms.tokens(first, last)
        while left > (room if ends else self.room) and last - first > 1:
            parts = -(-left // room)
            first = self._best(first, last, left - (parts - 1) * room, left // parts)
            ends.append(first)
            left = self.atoms.tokens(first, last)
        return [*ends, last]

    def _best(self, first: int, last: int, least: int, ideal: int) -> int:
        """Choose a cut inside a sentence: at a clause's end, a word's, or a token's."""
        before = self.atoms.before
        low = max(first + 1, bisect_left(before, before[first] + least))
        high = min(last - 1, bisect_right(before, before[first] + self.room) - 1)
        if high <= low:
            return max(high, first + 1)
        middle = before[first] + ideal
        near = sorted(range(low, high + 1), key=lambda atom: abs(before[atom] - middle))
        for atom in near:
            if abs(before[atom] - middle) * 3 <= ideal and _CLAUSE.search(self._ahead(atom)):
                return atom
        return next((atom for atom in near if self._ahead(atom)[-1:].isspace()), near[0])

    def _ahead(self, atom: int) -> str:
        """Return the last characters before an atom."""
        place = self.atoms.starts[atom]
        return self.text[max(0, place - 8) : place]
