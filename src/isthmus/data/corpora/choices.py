"""What the caller may choose when a corpus is opened, and what readers hand on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from pathlib import Path

from isthmus.data.corpora.documents import Document, Skipped
from isthmus.errors import ConfigError

__all__ = ["TEXT_PATTERNS", "Choices", "FileReader", "Found"]

Found = Document | Skipped
"""What a reader comes upon: a document, or something that it could not read."""

TEXT_PATTERNS = ("*.txt", "*.text", "*.md", "*.markdown", "*.rst")
"""The files of a folder that are read unless others are chosen."""


@dataclass(frozen=True)
class Choices:
    """Choices of :func:`isthmus.data.corpora.open_corpus`."""

    text: str | None = None
    """The field or column that holds the texts; None: by the usual names."""
    title: str | None = None
    """The field or column that holds titles; None: by the usual names."""
    id: str | None = None
    """The field or column that names documents; None: by the usual names, else by position."""
    metadata: tuple[str, ...] | None = None
    """The fields that become metadata; None: all that hold single values."""
    patterns: tuple[str, ...] = TEXT_PATTERNS
    """The files of a folder that are read, as patterns of names; capitals don't matter."""
    encoding: str | None = None
    """How to decode what is not UTF-8; None: it is skipped and named."""
    limit: int | None = None
    """Documents at most; None: all."""
    largest: int = 32 << 20
    """Bytes that one file of text, one line or one cell may have; larger ones are skipped."""
    unpacked: int = 16 << 30
    """Bytes that a gzip file may unpack to; what follows is skipped."""

    def __post_init__(self) -> None:
        for name in ("limit", "largest", "unpacked"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigError(f"{name} must be at least 1", where=f"{name}={value}")
        if not self.patterns:
            raise ConfigError("there must be at least one pattern of file names")
        if self.encoding is not None:
            _check_encoding(self.encoding)

    def chosen(self) -> set[str]:
        """Return the names of the choices that differ from their defaults."""
        plain = Choices()
        return {
            item.name
            for item in fields(self)
            if getattr(self, item.name) != getattr(plain, item.name)
        }


FileReader = Callable[[Path, str, Choices], Iterator[Found]]
"""Reads one file: its path, its name relative to the corpus' root, and the choices."""


def _check_encoding(encoding: str) -> None:
    """Refuse an encoding that Python does not know as one of texts."""
    try:
        b"a".decode(encoding, "replace")
    except LookupError as error:
        raise ConfigError(
            f"the encoding {encoding!r} is not known",
            why=str(error),
            fix="choose one that Python knows, such as latin-1, cp1252 or shift_jis",
        ) from error
