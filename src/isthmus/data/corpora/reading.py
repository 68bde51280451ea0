"""`open_corpus`: from a name, a path or texts in memory to a corpus."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from isthmus.data.corpora.choices import TEXT_PATTERNS, Choices
from isthmus.data.corpora.documents import Corpus
from isthmus.data.corpora.held import in_memory
from isthmus.data.corpora.kinds import KINDS
from isthmus.data.corpora.named import find_corpus
from isthmus.data.fetching import Progress
from isthmus.data.named_sets import CATALOGUE
from isthmus.errors import ConfigError, DataError, MissingDataError

__all__ = ["open_corpus"]


def open_corpus(
    source: str | PathLike[str] | Corpus | Sequence[Any],
    *,
    text: str | None = None,
    title: str | None = None,
    id: str | None = None,
    metadata: Sequence[str] | None = None,
    patterns: Sequence[str] | None = None,
    encoding: str | None = None,
    limit: int | None = None,
    largest: int | None = None,
    unpacked: int | None = None,
    progress: Progress | None = None,
) -> Corpus:
    """Open texts as a corpus; nothing is read before the first pass, and nothing ever written.

    Parameters
    ----------
    source
        A named corpus (``docstrings``, ``scifact``, ...); a path to a folder of texts, which is
        gone through with all its folders, to a folder in BEIR's layout, to a file of JSON lines
        (.jsonl, .ndjson), CSV or TSV, each perhaps packed (.gz), to a Parquet file, or to any
        file of text; a list of texts, mappings or documents; or a corpus, which is returned as
        it is.
    text
        The field or column of texts. None: the first of ``text``, ``body``, ``content``,
        ``contents``, ``passage``, ``document``, ``article``, ``abstract``, ``description``,
        ``summary``, ``review``, ``comment``, ``message``, ``sentence``, ``claim``, ``question``.
    title
        The field or column of titles. None: ``title``, ``heading``, ``headline``, ``subject``.
    id
        The field or column of names, which must differ. None: ``_id``, ``id``, ``doc_id``,
        ``docid``, ``document_id``, ``docno``, ``uid``, ``uuid``; else file and row are the name.
    metadata
        The fields or columns that become metadata. None: all others that hold single values of
        at most 1,000 characters, and those of a nested ``metadata``.
    patterns
        Which files of a folder are read, such as ``["*.md", "reports/*.jsonl"]``; each is read
        as its ending says. None: .txt, .text, .md, .markdown and .rst. Hidden files and folders
        are left out, links to places outside not followed.
    encoding
        How to decode what is not UTF-8 and has no byte order mark. None: it is skipped.
    limit
        Documents at most: the first ones; of ``docstrings``, some that are evenly spread.
    largest
        Bytes that a text file, a line or a cell may have. None: 32 MiB.
    unpacked
        Bytes that a .gz file may unpack to. None: 16 GiB.
    progress
        Called with (file, bytes here, bytes in all or None) when a named corpus is fetched.

    Returns
    -------
    Corpus
        Can be gone through any number of times. What can't be read is named in ``skipped``
        after a pass and never fatal; a pass that finds no document at all raises
        :class:`~isthmus.errors.DataError`.

    Raises
    ------
    MissingDataError
        If there is no such name, file or folder.
    ConfigError
        If a choice makes no sense, or none for this kind of source.
    DataError
        If this kind of file can't be a corpus.

    Examples
    --------
    >>> corpus = open_corpus(["An apple a day.", {"title": "Pears", "text": "Sweet.", "n": 2}])
    >>> [(document.id, document.title, dict(document.metadata)) for document in corpus]
    [('1', '', {}), ('2', 'Pears', {'n': 2})]
    """
    choices = Choices(
        text,
        title,
        id,
        None if metadata is None else _names(metadata, "metadata"),
        TEXT_PATTERNS if patterns is None else _names(patterns, "patterns"),
        encoding,
        limit,
        Choices.largest if largest is None else largest,
        Choices.unpacked if unpacked is None else unpacked,
    )
    if isinstance(source, str | PathLike):
        return _from_path(source, choices, progress)
    if isinstance(source, Sequence):
        allowed = frozenset({"text", "title", "id", "metadata", "limit"})
        _check_choices(choices, "texts in memory", allowed)
        return in_memory(source, choices)
    if isinstance(source, Corpus):
        _check_choices(choices, "a corpus that is open already", frozenset())
        return source
    raise DataError(
        f"a {type(source).__name__} can't be read as a corpus",
        fix="give a name, a path, or a list of texts",
    )


def _names(given: Sequence[str], what: str) -> tuple[str, ...]:
    if isinstance(given, str):
        raise ConfigError(f"{what} must be a list of texts", fix=f"write {what}=[{given!r}]")
    return tuple(given)


def _from_path(source: str | PathLike[str], choices: Choices, progress: Progress | None) -> Corpus:
    named = find_corpus(source)
    if named is not None:
        _check_choices(choices, "a named corpus", named.settings())
        return named.open(choices, progress)
    if not str(source):
        raise ConfigError("the path is empty", fix="give a name, a file or a folder")
    # absolute: a later change of the working directory must not lose the texts
    path = Path(source).expanduser().absolute()
    for kind in KINDS:
        if kind.accepts(path):
            _check_choices(choices, kind.name, kind.settings(path, choices))
            return kind.open(path, choices)
    if path.exists():
        raise DataError("this is neither a plain file nor a folder", where=str(path))
    names = [entry.name for entry in CATALOGUE if entry.kind == "corpus"]
    close = difflib.get_close_matches(str(source), names, 1)
    raise MissingDataError(
        f"there is no corpus, file or folder called {str(source)!r}",
        where=str(Path.cwd()),
        fix=(f"did you mean {close[0]!r}? " if close else "")
        + f"named corpora are: {', '.join(names)}",
    )


def _check_choices(choices: Choices, title: str, allowed: frozenset[str]) -> None:
    """Refuse a choice that would be ignored."""
    ignored = sorted(choices.chosen() - allowed)
    if ignored:
        raise ConfigError(f"{', '.join(ignored)} can't be chosen for {title}", fix="leave it out")
