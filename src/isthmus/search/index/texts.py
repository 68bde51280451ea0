"""The texts of a segment: documents, passages and words, in one SQLite file that never changes."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from isthmus.data.corpora.documents import Document, Metadata
from isthmus.errors import RunError
from isthmus.files import written_whole
from isthmus.search.passages import Passage, byte_spans

__all__ = [
    "TEXTS",
    "Lines",
    "StoredPassage",
    "Texts",
    "lines_of",
    "storable",
    "write_lines",
]

TEXTS = "texts.sqlite"
"""The file's name."""
_BATCH = 500
_SCHEMA = """
CREATE TABLE documents (
    row INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, title TEXT NOT NULL, source TEXT NOT NULL,
    line INTEGER, metadata TEXT NOT NULL, fingerprint TEXT NOT NULL);
CREATE TABLE passages (
    row INTEGER PRIMARY KEY, document INTEGER NOT NULL, number INTEGER NOT NULL,
    first INTEGER NOT NULL, last INTEGER NOT NULL, first_byte INTEGER, last_byte INTEGER,
    tokens INTEGER NOT NULL, titled INTEGER NOT NULL, text TEXT NOT NULL);
CREATE INDEX passages_of_documents ON passages (document);
CREATE TABLE words (word TEXT PRIMARY KEY, term INTEGER NOT NULL) WITHOUT ROWID;
"""


@dataclass(frozen=True)
class StoredPassage:
    """A passage as a segment keeps it."""

    row: int
    """Its row in the segment."""
    document: str
    """The document's id."""
    number: int
    """Its place among the document's passages."""
    start: int
    """First character in the document's text."""
    end: int
    """The one behind the last."""
    start_byte: int | None
    """First byte in the file, where it stands there word for word."""
    end_byte: int | None
    """The one behind the last."""
    tokens: int
    """Tokens by the embedder's count."""
    titled: bool
    """Whether it was embedded with its title before it."""
    text: str
    """The text."""
    title: str
    """The document's title."""
    source: str
    """The document's file."""
    line: int | None
    """The document's row in that file."""
    metadata: Metadata
    """The document's metadata."""

    @property
    def id(self) -> str:
        """Document and number."""
        return f"{self.document}#{self.number}"


Lines = tuple[Iterable[tuple[Any, ...]], Iterable[tuple[Any, ...]]]
"""Rows of the tables of documents and of passages."""


def lines_of(documents: Sequence[tuple[Document, Sequence[Passage]]]) -> Lines:
    """Return the rows for documents with their passages, both counting up in this order."""
    heads = (_document(row, document) for row, (document, _) in enumerate(documents))
    return heads, _passages(documents)


def write_lines(
    folder: Path,
    documents: Iterable[tuple[Any, ...]],
    passages: Iterable[tuple[Any, ...]],
    vocabulary: Mapping[str, int],
) -> None:
    """Write the rows of the two tables, such as `Texts.lines` returns, and the words.

    Raises
    ------
    RunError
        If the file can't be written.
    """
    with written_whole(folder / TEXTS) as temporary:
        base = sqlite3.connect(temporary)
        try:
            base.executescript(f"PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; {_SCHEMA}")
            with base:
                for table, width, lines in (
                    ("documents", 7, documents),
                    ("passages", 10, passages),
                    ("words", 2, sorted(vocabulary.items())),
                ):
                    places = ", ".join("?" * width)
                    base.executemany(f"INSERT INTO {table} VALUES ({places})", lines)
        except sqlite3.Error as error:
            raise RunError(
                "the texts could not be written; the index is unchanged",
                where=str(folder / TEXTS),
                why=str(error),
                fix="make room on the disk",
            ) from error
        finally:
            base.close()


def _document(row: int, d: Document) -> tuple[Any, ...]:
    facts = json.dumps(dict(d.metadata), ensure_ascii=True)
    said = (d.id, d.title, d.source)
    return (row, *map(storable, said), d.row, facts, d.fingerprint)


def _passages(
    documents: Iterable[tuple[Document, Sequence[Passage]]],
) -> Iterable[tuple[Any, ...]]:
    row = 0
    for number, (document, passages) in enumerate(documents):
        for passage, places in zip(passages, byte_spans(document, passages), strict=True):
            first, last = places if places is not None else (None, None)
            text = storable(passage.text)
            where = (passage.start, passage.end, first, last, passage.tokens, passage.titled)
            yield (row, number, passage.number, *where, text)
            row += 1


def storable(text: str) -> str:
    """Return a text that SQLite can keep: lone surrogates can't be written as UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace").decode()
    return text


_SELECT = """
SELECT p.row, d.id, p.number, p.first, p.last, p.first_byte, p.last_byte, p.tokens, p.titled,
       p.text, d.title, d.source, d.line, d.metadata
FROM passages p JOIN documents d ON d.row = p.document WHERE p.row IN ({})
"""


class Texts:
    """Reads what `write_texts` wrote; any number of threads and processes may.

    Raises
    ------
    RunError
        If the file is missing or damaged, whenever that shows.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / TEXTS
        self._lock = threading.Lock()
        self._base: sqlite3.Connection | None = None

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            if self._base is not None:
                self._base.close()
                self._base = None

    def passages(self, rows: Sequence[int]) -> list[StoredPassage]:
        """Return passages by their rows, in that order."""
        found: dict[int, StoredPassage] = {}
        wanted = list(dict.fromkeys(int(row) for row in rows))
        for first in range(0, len(wanted), _BATCH):
            part = wanted[first : first + _BATCH]
            for line in self._ask(_SELECT.format(",".join("?" * len(part))), part):
                found[line[0]] = self._passage(line)
        missing = [row for row in wanted if row not in found]
        if missing:
            raise self._damaged(f"there is no passage {missing[0]}")
        return [found[int(row)] for row in rows]

    def texts(self) -> list[str]:
        """Return the text of every passage, in the order of the rows."""
        return [text for (text,) in self._ask("SELECT text FROM passages ORDER BY row")]

    def owners(self) -> list[int]:
        """Return the document's row of every passage, in the order of the rows."""
        return [row for (row,) in self._ask("SELECT document FROM passages ORDER BY row")]

    def documents(self) -> list[tuple[str, str]]:
        """Return id and fingerprint of every document, in the order of their rows."""
        found = self._ask("SELECT id, fingerprint FROM documents ORDER BY row")
        if not all(isinstance(id_, str) for id_, _ in found):
            raise self._damaged("a document has no id")
        return found

    def facts(self) -> list[Metadata]:
        """Return what conditions may ask about every document, in the order of their rows."""
        lines = self._ask("SELECT id, title, source, metadata FROM documents ORDER BY row")
        return [
            {**self._metadata(facts), "document": id_, "title": title, "source": source}
            for id_, title, source, facts in lines
        ]

    def terms(self, words: Sequence[str]) -> dict[str, int]:
        """Return the term of each word that is known here."""
        found: dict[str, int] = {}
        for first in range(0, len(words), _BATCH):
            part = list(words[first : first + _BATCH])
            query = f"SELECT word, term FROM words WHERE word IN ({','.join('?' * len(part))})"
            found.update(self._ask(query, part))
        return found

    def vocabulary(self) -> dict[str, int]:
        """Return the term of every word, in the order of the terms."""
        return dict(self._ask("SELECT word, term FROM words ORDER BY term"))

    def lines(self) -> tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]]:
        """Return all rows of the tables of documents and of passages, as they are."""
        return (
            self._ask("SELECT * FROM documents ORDER BY row"),
            self._ask("SELECT * FROM passages ORDER BY row"),
        )

    def verify(self) -> None:
        """Read the whole file and check that it is sound."""
        if self._ask("PRAGMA quick_check") != [("ok",)]:
            raise self._damaged("its own check failed")

    def _passage(self, line: tuple[Any, ...]) -> StoredPassage:
        row, document, number, start, end, first, last, tokens, titled, *said = line
        text, title, source, at, facts = said
        numbers = (row, number, start, end, tokens, titled)
        if not all(type(value) is int for value in numbers) or not all(
            isinstance(value, str) for value in (document, text, title, source)
        ):
            raise self._damaged(f"passage {row} is none")
        return StoredPassage(
            row,
            document,
            number,
            start,
            end,
            first,
            last,
            tokens,
            bool(titled),
            text,
            title,
            source,
            at,
            self._metadata(facts),
        )

    def _metadata(self, facts: str) -> Metadata:
        try:
            said = json.loads(facts)
        except (TypeError, ValueError, RecursionError) as error:
            raise self._damaged(str(error)) from error
        if not isinstance(said, dict):
            raise self._damaged("metadata are no mapping")
        return said

    def _ask(self, query: str, values: Sequence[Any] = ()) -> list[Any]:
        try:
            with self._lock:
                return self._opened().execute(query, values).fetchall()
        except (sqlite3.Error, UnicodeDecodeError) as error:
            raise self._damaged(str(error)) from error

    def _opened(self) -> sqlite3.Connection:
        if self._base is None:
            if not self.path.is_file():
                raise self._damaged("the file is missing")
            # immutable: no lock is taken and no other file looked for
            address = f"{self.path.absolute().as_uri()}?mode=ro&immutable=1"
            self._base = sqlite3.connect(address, uri=True, check_same_thread=False)
        return self._base

    def _damaged(self, why: str) -> RunError:
        return RunError(
            "the texts of the index are damaged",
            where=str(self.path),
            why=why,
            fix="make the index again",
        )
