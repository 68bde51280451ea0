"""Tell texts from other data."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

from isthmus.data.corpora.choices import TEXT_PATTERNS
from isthmus.data.corpora.documents import Corpus, Skipped
from isthmus.data.corpora.fields import TEXTS, field_called
from isthmus.data.corpora.folders import files_under
from isthmus.data.corpora.kinds import beir_file, ending_of
from isthmus.data.corpora.named import find_corpus
from isthmus.data.corpora.parquet_rows import column_names
from isthmus.data.corpora.reading import open_corpus
from isthmus.data.fetching import Progress
from isthmus.data.loading import READERS
from isthmus.errors import DataError

__all__ = ["corpus_at"]

_TEXTS = frozenset(pattern.removeprefix("*") for pattern in TEXT_PATTERNS)
_ROWS = frozenset({".jsonl", ".ndjson"})
_LOOKED_AT = 20


def corpus_at(data: str, progress: Progress | None = None) -> Corpus | None:
    """Return the corpus that a name or a path stands for; None: it is something else.

    A table, CSV or Parquet, is a corpus where a column is called like a text and holds words; a
    folder is one where it holds files of text and nothing else reads it, or most files are texts.

    Parameters
    ----------
    data
        A name or a path.
    progress
        Called as a named corpus is fetched.
    """
    path = Path(data).expanduser()
    told = find_corpus(data) is not None or _is_texts(path)
    return open_corpus(data, progress=progress) if told else None


def _is_texts(path: Path) -> bool:
    if path.is_dir():
        return beir_file(path) is not None or _folder_of_texts(path)
    if not path.is_file():
        return False
    ending = ending_of(path)
    if ending in (".csv", ".tsv"):
        return _has_words(path)
    if ending in (".parquet", ".pq"):
        try:
            return field_called(column_names(path), TEXTS) is not None
        except DataError:
            return False
    return ending in _TEXTS | _ROWS


def _folder_of_texts(path: Path) -> bool:
    found = files_under(path, ("*",))
    texts = (ending_of(f[0]) in _TEXTS for f in found if not isinstance(f, Skipped))
    if not any(reader.accepts(path) for reader in READERS):
        return any(texts)
    counted = list(texts)  # notes among pictures, or pictures among notes
    return 2 * sum(counted) > len(counted)


def _has_words(path: Path) -> bool:
    """Say whether a table has texts of several words among its first rows."""
    try:
        return any(len(d.text.split()) > 1 for d in islice(iter(open_corpus(path)), _LOOKED_AT))
    except DataError:
        return False
