"""Vectors that were made elsewhere: a row for each document."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isthmus.errors import ConfigError, DataError, MissingDataError, in_a_line
from isthmus.search.embedders.base import Embedder, Floats, Progress, Spans
from isthmus.search.embedders.counting import word_spans
from isthmus.search.embedders.rows import VectorError, unit_rows

__all__ = ["ReadyVectors"]


class ReadyVectors:
    """Vectors in a ``.npy`` file: row i belongs to document i, which is not cut.

    Parameters
    ----------
    path
        The file (n, D), any kind of float. With ``known`` it is opened when it is first needed.
    queries
        The embedder that made them, for queries; None: there can be no queries in words.
    known
        SHA-256 of the file and length of its vectors, where they are on record.

    Raises
    ------
    DataError
        If the file is damaged, no table of floats, or of another width than ``queries``' vectors.
    MissingDataError
        If there is no such file.
    """

    def __init__(
        self, path: Path, queries: Embedder | None = None, known: tuple[str, int] | None = None
    ) -> None:
        self.path, self.queries = Path(path), queries
        self._sha256, self._dim = known or (_sha256(self.path), int(self.table.shape[1]))
        if queries is not None and queries.dim != self._dim:
            raise DataError(
                "the vectors were not made by this embedder",
                where=str(self.path),
                why=f"they have {self._dim} numbers, those of {queries.name} have {queries.dim}",
                fix="name the embedder that made them, with --query-embedder or as FILE@EMBEDDER",
            )

    @property
    def name(self) -> str:
        """The file's name."""
        return self.path.name

    @property
    def dim(self) -> int:
        """Numbers in a vector."""
        return self._dim

    @property
    def digest(self) -> str:
        """That of the embedder for queries; without one, the SHA-256 of the file."""
        return self._sha256 if self.queries is None else self.queries.digest

    @property
    def max_tokens(self) -> int | None:
        """None: a document stays whole, since its vector is of all of it."""
        return None

    @property
    def description(self) -> str:
        """One line: the file, and who embeds the queries."""
        made = (
            "no embedder for queries" if self.queries is None else f"queries by {self.queries.name}"
        )
        return f"{self.name}: vectors made elsewhere, {self.dim} numbers, {made}"

    @cached_property
    def table(self) -> NDArray[np.floating[Any]]:
        """The file's rows (n, D), mapped into memory, not yet scaled."""
        return _opened(self.path)

    def take(self, rows: Sequence[int] | NDArray[np.integer[Any]]) -> Floats:
        """Return the vectors of documents by their positions (n, D), each of length 1.

        Raises
        ------
        DataError
            If there is no such row, or one is zero or not finite.
        """
        wanted = np.asarray(rows, dtype=np.int64)
        if wanted.size and not (wanted.min() >= 0 and wanted.max() < len(self.table)):
            raise DataError(
                f"there is no vector for document {int(wanted.max())}",
                where=str(self.path),
                why=f"it holds {len(self.table)} rows",
                fix="give a file with a row for each document, in their order",
            )
        found = np.empty((len(wanted), self.dim), dtype=np.float32)
        for first in range(0, len(wanted), 1 << 14):
            part = slice(first, first + (1 << 14))
            chosen = np.asarray(self.table[wanted[part]])
            try:
                found[part] = unit_rows(chosen, str(self.path), first=first)
            except VectorError as error:
                raise error.renumbered(int(wanted[error.number])) from error
        return found

    def token_spans(self, texts: Sequence[str]) -> list[Spans]:
        """Return spans of the query embedder's tokens; without one, of words (T, 2)."""
        return word_spans(texts) if self.queries is None else self.queries.token_spans(texts)

    def embed(self, texts: Sequence[str], *, progress: Progress | None = None) -> Floats:
        """Return all vectors (n, D): ``texts`` must be all documents, in the order of the rows.

        Raises
        ------
        DataError
            If there are not as many texts as rows, or a row is zero or not finite.
        """
        if len(texts) != len(self.table):
            raise DataError(
                "there must be one vector for each document",
                where=str(self.path),
                why=f"{len(self.table)} rows for {len(texts)} documents",
                fix="give a file with a row for each document, in their order",
            )
        found = self.take(np.arange(len(texts)))
        if progress is not None:
            progress(len(texts), len(texts))
        return found

    def embed_queries(self, texts: Sequence[str]) -> Floats:
        """Return the vectors of queries, made by the embedder for queries.

        Raises
        ------
        ConfigError
            If there is none.
        """
        if self.queries is None:
            raise ConfigError(
                "vectors made elsewhere can't embed a query",
                where=str(self.path),
                fix="name the embedder that made them: --query-embedder minilm, or FILE@minilm",
            )
        return self.queries.embed_queries(texts)

    def config(self) -> dict[str, Any]:
        """Return the file, its SHA-256, and the embedder for queries."""
        return {
            "kind": "vectors",
            "file": str(self.path.absolute()),
            "sha256": self._sha256,
            "dim": self.dim,
            "queries": None if self.queries is None else self.queries.config(),
        }


def _opened(path: Path) -> NDArray[np.floating[Any]]:
    if not path.is_file():
        raise MissingDataError("there is no such file of vectors", where=str(path))
    try:
        table = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DataError(
            "the file of vectors can't be read", where=str(path), why=in_a_line(error)
        ) from error
    if not isinstance(table, np.ndarray) or table.ndim != 2 or 0 in table.shape:
        shape = getattr(table, "shape", "an archive")
        raise DataError(
            "the file holds no table of vectors", where=str(path), why=f"its shape is {shape}"
        )
    if not np.issubdtype(table.dtype, np.floating):
        raise DataError(
            "the vectors are not of floating-point numbers",
            where=str(path),
            why=f"they are {table.dtype}",
            fix="save them as float16 or float32",
        )
    return table


def _sha256(path: Path) -> str:
    if not path.is_file():
        raise MissingDataError("there is no such file of vectors", where=str(path))
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
