"""A corpus made of what a reader finds: ids are unique, texts are not empty, gaps are counted."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from isthmus.data.corpora.choices import Found
from isthmus.data.corpora.documents import Document, Skipped
from isthmus.errors import DataError

__all__ = ["MOST_NAMED", "Gathered", "place"]

MOST_NAMED = 10_000
"""Of what could not be read, so many are named; the rest is counted."""


class Gathered:
    """Documents that a function finds anew at every pass.

    A pass keeps the ids that it has seen (some 200 bytes each) and nothing else.

    Parameters
    ----------
    name
        What the corpus is called.
    root
        The folder that sources are relative to; empty where there is none.
    find
        Starts a pass: yields documents, and what could not be read.
    looked_for
        What a pass looks for, in words, for the message of an empty corpus.
    limit
        Documents at most; None: all.
    """

    def __init__(
        self,
        name: str,
        root: str,
        find: Callable[[], Iterator[Found]],
        *,
        looked_for: str,
        limit: int | None = None,
    ) -> None:
        self._name, self._root, self._find = name, root, find
        self._looked_for, self._limit = looked_for, limit
        self._skips = _Skips()

    @property
    def name(self) -> str:
        """What it is called."""
        return self._name

    @property
    def root(self) -> str:
        """The folder that sources are relative to; empty where there is none."""
        return self._root

    @property
    def skipped(self) -> tuple[Skipped, ...]:
        """What the last complete pass could not read; beyond `MOST_NAMED` only counted."""
        return self._skips.named()

    @property
    def skipped_count(self) -> int:
        """How many the last complete pass could not read."""
        return self._skips.count

    def __iter__(self) -> Iterator[Document]:
        """Go through the documents.

        Raises
        ------
        DataError
            At the end, if there was no document at all.
        """
        skips, seen = _Skips(), dict[str, tuple[str, int | None]]()
        for found in self._find():
            checked = _checked(found, seen)
            if isinstance(checked, Skipped):
                skips.add(checked)
                continue
            seen[checked.id] = (checked.source, checked.row)
            yield checked
            if len(seen) == self._limit:
                break
        self._skips = skips
        if not seen:
            raise self._empty(skips)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._name!r})"

    def _empty(self, skips: _Skips) -> DataError:
        reasons = [f"{place(s.source, s.row)}: {s.why}" for s in skips.first[:3]]
        more = skips.count - len(reasons)
        reasons += [f"and {more:,} more"] if more else []
        told = f"; {skips.count:,} could not be read:" if skips.count else ""
        return DataError(
            "the corpus holds no document",
            where=self._root or self._name,
            why="\n         ".join([f"looked for {self._looked_for}{told}", *reasons]),
            fix="check the path; for files with other endings or encodings choose patterns=... or "
            "encoding=...",
        )


class _Skips:
    """What a pass could not read: the first ones by name, all by count."""

    def __init__(self) -> None:
        self.first: list[Skipped] = []
        self.count = 0

    def add(self, skipped: Skipped) -> None:
        self.count += 1
        if self.count <= MOST_NAMED:
            self.first.append(skipped)

    def named(self) -> tuple[Skipped, ...]:
        more = self.count - len(self.first)
        return (*self.first, Skipped("", f"and {more:,} more")) if more else tuple(self.first)


def place(source: str, row: int | None) -> str:
    """Write a file and a row for people.

    Examples
    --------
    >>> place("a.jsonl", 3), place("a.txt", None)
    ('a.jsonl, row 3', 'a.txt')
    """
    return source if row is None else f"{source}, row {row}"


def _checked(found: Found, seen: dict[str, tuple[str, int | None]]) -> Found:
    """Return a document as it is, or why it is left out."""
    if isinstance(found, Skipped):
        return found
    if not found.text or found.text.isspace():
        return Skipped(found.source, "empty text", found.row)
    first = seen.get(found.id)
    if first is None:
        return found
    why = f"the id {found.id!r} was taken already by {place(*first)}"
    return Skipped(found.source, why, found.row)
