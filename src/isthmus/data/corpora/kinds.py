"""Every kind of place that a corpus is read from: what it takes, and how a pass goes."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Protocol

from isthmus.data.corpora.choices import Choices, FileReader, Found
from isthmus.data.corpora.documents import Skipped
from isthmus.data.corpora.folders import files_under, reason
from isthmus.data.corpora.gathered import Gathered
from isthmus.data.corpora.json_lines import read_json_lines
from isthmus.data.corpora.parquet_rows import read_parquet_rows
from isthmus.data.corpora.text_files import read_text_file
from isthmus.data.corpora.text_tables import read_text_table
from isthmus.errors import ConfigError, DataError, in_a_line

__all__ = ["FILES", "KINDS", "Kind", "beir_file", "ending_of", "file_reader", "read_file"]

FILES: Mapping[str, FileReader] = MappingProxyType(
    {
        ".jsonl": read_json_lines,
        ".ndjson": read_json_lines,
        ".csv": read_text_table,
        ".tsv": read_text_table,
        ".parquet": read_parquet_rows,
        ".pq": read_parquet_rows,
    }
)
"""How files with these endings (and .gz after them) are read; all others are texts."""

_FIELDS = frozenset({"text", "title", "id", "metadata"})
_LIMITS = frozenset({"limit", "largest", "unpacked"})


class Kind(Protocol):
    """One kind of place: says what it takes, and opens it."""

    name: str
    """What it is called in messages."""

    def accepts(self, path: Path) -> bool:
        """Say whether a file or folder is of this kind; cheap, and never raises."""

    def settings(self, path: Path, choices: Choices) -> frozenset[str]:
        """Return the choices that mean something for it."""

    def open(self, path: Path, choices: Choices) -> Gathered:
        """Open it; nothing is read before the first pass."""


def ending_of(path: Path) -> str:
    """Return a file's ending in lower case, that before .gz where it has one."""
    name = path.name.lower()
    return Path(name.removesuffix(".gz")).suffix


def file_reader(path: Path) -> FileReader:
    """Return how a file is read, by its ending."""
    return FILES.get(ending_of(path), read_text_file)


def read_file(path: Path, source: str, choices: Choices) -> Iterator[Found]:
    """Yield what a file holds; when it can't be read any further, why."""
    row = None
    try:
        for found in file_reader(path)(path, source, choices):
            row = found.row
            yield found
    except ConfigError:
        raise  # something is missing here, not in the file
    except DataError as error:
        yield Skipped(source, error.what + (f": {error.why}" if error.why else ""), _after(row))
    except (EOFError, zlib.error, MemoryError, UnicodeError) as error:
        yield Skipped(source, f"damaged: {in_a_line(error)}", _after(row))
    except OSError as error:
        yield Skipped(source, reason(error), _after(row))


def _after(row: int | None) -> int | None:
    return None if row is None else row + 1


def beir_file(folder: Path) -> Path | None:
    """Return the documents of a folder in BEIR's layout, or None."""
    candidates = (folder / "corpus.jsonl", folder / "corpus.jsonl.gz")
    return next((path for path in candidates if path.is_file()), None)


class BeirFolder:
    """A folder with corpus.jsonl, and queries and judgements that no corpus needs."""

    name = "a folder in BEIR's layout"

    def accepts(self, path: Path) -> bool:
        """Say whether ``path`` is a folder that holds corpus.jsonl, packed or not."""
        return path.is_dir() and beir_file(path) is not None

    def settings(self, path: Path, choices: Choices) -> frozenset[str]:
        """Return the choices that mean something."""
        return _FIELDS | _LIMITS | {"encoding"}

    def open(self, path: Path, choices: Choices) -> Gathered:
        """Open the folder."""
        file = beir_file(path) or path / "corpus.jsonl"
        find = partial(read_file, file, file.name, choices)
        looked = f"rows with a text in {file.name}"
        return Gathered(
            path.resolve().name, str(path), find, looked_for=looked, limit=choices.limit
        )


class Folder:
    """A folder of files, gone through with all its folders."""

    name = "a folder of files"

    def accepts(self, path: Path) -> bool:
        """Say whether ``path`` is a folder."""
        return path.is_dir()

    def settings(self, path: Path, choices: Choices) -> frozenset[str]:
        """Return the choices that mean something: fields only where rows may be read."""
        rows = any(ending_of(Path(pattern)) not in _TEXTS for pattern in choices.patterns)
        return _LIMITS | {"encoding", "patterns"} | (_FIELDS if rows else frozenset())

    def open(self, path: Path, choices: Choices) -> Gathered:
        """Open the folder."""
        looked = f"{', '.join(choices.patterns)} in the folder and those in it"
        find = partial(_read_folder, path, choices)
        return Gathered(
            path.resolve().name, str(path), find, looked_for=looked, limit=choices.limit
        )


_TEXTS = frozenset({".txt", ".text", ".md", ".markdown", ".rst"})


def _read_folder(root: Path, choices: Choices) -> Iterator[Found]:
    for found in files_under(root, choices.patterns):
        if isinstance(found, Skipped):
            yield found
        else:
            yield from read_file(*found, choices)


class File:
    """A file: JSON lines, a table, or else a text."""

    name = "a file of text, JSON lines, CSV or Parquet"

    def accepts(self, path: Path) -> bool:
        """Say whether ``path`` is a file."""
        return path.is_file()

    def settings(self, path: Path, choices: Choices) -> frozenset[str]:
        """Return the choices that mean something: fields only where there are rows."""
        ending = ending_of(path)
        if ending in (".parquet", ".pq"):
            return _LIMITS | _FIELDS
        return _LIMITS | {"encoding"} | (_FIELDS if ending in FILES else frozenset())

    def open(self, path: Path, choices: Choices) -> Gathered:
        """Open the file.

        Raises
        ------
        DataError
            If it is a .json file, which would pass for one text.
        """
        ending = ending_of(path)
        if ending == ".json":
            raise DataError(
                "a .json file is one value, not a row for each document",
                where=str(path),
                fix="write one object a line into a .jsonl file",
            )
        find = partial(read_file, path, path.name, choices)
        looked = "rows with a text" if ending in FILES else "a text"
        name = path.name[: len(path.name.lower().removesuffix(".gz"))]
        return Gathered(
            Path(name).stem, str(path.parent), find, looked_for=looked, limit=choices.limit
        )


KINDS: tuple[Kind, ...] = (BeirFolder(), Folder(), File())
"""Every kind of place, in the order in which they are asked."""
