"""The embedder, the dictionary and the further vectors that an index is made with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from isthmus.errors import ConfigError, RunError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from isthmus.models.dictionary import SparseDictionary
    from isthmus.search.embedders import Embedder, EmbedderOptions

__all__ = ["Chosen", "chosen_embedder", "further_vectors", "saved_dictionary"]


@dataclass(frozen=True)
class Chosen:
    """An embedder, and whether a new index is made with it."""

    embedder: Embedder
    """The embedder; what it makes is kept where that was asked for."""
    new: bool
    """Whether there is no index yet."""


def chosen_embedder(
    name: str | None,
    options: EmbedderOptions,
    index: Path | None,
    cache: Path | None,
    notify: Callable[[str], None],
) -> Chosen:
    """Open the embedder that was named, that of an index, or the default one.

    Parameters
    ----------
    name
        What was typed; None: nothing.
    index
        Folder of the index that is brought up to date; None: there is none.
    cache
        Where vectors are kept; None: nowhere.
    notify
        Told what is wrong with that folder.
    """
    from isthmus.data.named_sets import vectors_called
    from isthmus.search.embedders import cached, open_embedder
    from isthmus.search.index.index import Index

    if name is None and index is not None:
        with Index(index, options=options) as opened:
            found = opened.embedder
    else:
        named = None if name is None else vectors_called(name)
        found = open_embedder(str(named) if named is not None else name or "minilm", options)
    # the lexical one learns from the corpus as it is made, and is as quick as any cache
    if cache is not None and found.config().get("kind") != "lexical":
        found = cached(found, cache, notify=notify)
    return Chosen(found, index is None)


def saved_dictionary(path: Path) -> SparseDictionary:
    """Open the dictionary of a run, of a saved model or of an index.

    Raises
    ------
    RunError
        If there is none.
    """
    from isthmus.models.dictionary import SparseDictionary
    from isthmus.runs import open_run
    from isthmus.runs.dictionary import DictionaryRun
    from isthmus.search.index.index import Index
    from isthmus.search.index.manifest import HEAD

    if not path.is_dir():
        raise RunError(
            "there is no such run",
            where=str(path),
            fix="give the folder of a dictionary: isthmus train VECTORS --model topk",
        )
    if (path / HEAD).is_file():
        with Index(path) as index:
            return index.dictionary
    if not (path / "history.csv").is_file():
        return SparseDictionary.from_pretrained(path)
    run = open_run(path)
    if not isinstance(run, DictionaryRun):
        raise RunError(
            "this run holds no sparse dictionary",
            where=str(path),
            why=f"it is of the preset {run.preset}",
            fix="train one: isthmus train VECTORS --model topk",
        )
    return run.model


def further_vectors(sources: Sequence[str], embedder: Embedder) -> NDArray[np.float32] | None:
    """Read vectors that a dictionary is to learn from besides the passages, as unit rows.

    Raises
    ------
    ConfigError
        If they are of another width than the embedder's, or those of texts that it has to see.
    DataError, MissingDataError
        If they can't be read.
    """
    if not sources:
        return None
    if embedder.config().get("kind") == "lexical":
        raise ConfigError(
            "--also needs vectors of the same embedder",
            why="those of the lexical one differ from corpus to corpus",
            fix="leave --also out, or choose another embedder",
        )
    import numpy as np

    parts = [_rows_of(source, embedder.dim) for source in sources]
    return np.concatenate(parts)


def _rows_of(source: str, dim: int) -> NDArray[np.float32]:
    import numpy as np

    from isthmus.errors import DataError
    from isthmus.runs.dictionary.vectors import first_rows, vectors_of

    found: Any = vectors_of(source)
    if found is None:
        raise DataError(
            "these are no vectors", where=source, fix="give a .npy file, or a named set of vectors"
        )
    if found.dim != dim:
        raise ConfigError(
            f"the vectors have {found.dim} numbers, those of the embedder {dim}",
            where=f"--also {source}",
            fix="give vectors that the same embedder made",
        )
    rows = first_rows(found.whole(), 0).astype(np.float32)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    kept: NDArray[np.float32] = rows[lengths[:, 0] > 0] / lengths[lengths[:, 0] > 0]
    return kept
