"""From a corpus to an index, and from a changed corpus to the same index brought up to date."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from isthmus.data.corpora.documents import Corpus
from isthmus.errors import ConfigError, RunError
from isthmus.search.embedders import Embedder
from isthmus.search.index.config import Built, Indexing, Stage
from isthmus.search.index.manifest import HEAD
from isthmus.search.index.updating import Update
from isthmus.search.index.writing import KINDS, LOCK, swept, writing

if TYPE_CHECKING:
    from isthmus.models.dictionary import SparseDictionary

__all__ = ["build_index"]

Floats = NDArray[np.float32]

_OURS = frozenset({*KINDS, LOCK, "edits.jsonl"})


def build_index(
    corpus: Corpus,
    out: str | PathLike[str],
    embedder: Embedder | None = None,
    config: Indexing | None = None,
    *,
    source: Mapping[str, Any] | None = None,
    dictionary: SparseDictionary | None = None,
    also: Floats | None = None,
    retrain: bool = False,
    stage: Stage | None = None,
) -> Built:
    """Index a corpus, or bring its index up to date.

    Where ``out`` holds an index already, documents are told apart by what they say: new and
    changed ones are cut, embedded and encoded, those that are gone are deleted, the others stay
    as they are, with their dictionary and their concepts. The index is replaced in one step: a
    reader, or a process killed at any moment, sees the old one or the new one.

    Parameters
    ----------
    corpus
        The texts.
    out
        Folder of the index.
    embedder
        Makes texts into vectors; None: MiniLM, or what the index was made with.
    config
        How the index is made; None: the defaults. How texts are cut and words counted stays what
        it was where there is an index.
    source
        Where the corpus came from, to be kept in the index.
    dictionary
        A dictionary that was trained elsewhere; None: one is trained on the passages.
    also
        Further vectors (Q, D) that the dictionary learns from, too.
    retrain
        Whether an index that is there gets a new dictionary, trained from the old one on:
        concepts keep their numbers where they are the same, and edits are kept.
    stage
        Told of the progress.

    Raises
    ------
    DataError
        If the corpus has no document with a text, or the texts can't be embedded.
    ConfigError
        If settings do not fit each other or the embedder.
    RunError
        If the folder holds another embedder's index, is being written, or can't be written.
    """
    config, folder = config or Indexing(), Path(out)
    said = _as_json(source or {})
    _claim(folder)
    with writing(folder):
        swept(folder)
        try:
            with Update(folder, corpus, embedder, config, stage or _silent) as update:
                return update.run(dictionary, also, said, retrain=retrain)
        except BaseException:
            swept(folder)
            if not (folder / HEAD).exists():
                for kind in KINDS:
                    shutil.rmtree(folder / kind, ignore_errors=True)
            raise


def _silent(what: str, done: int, total: int) -> None:
    """Tell nobody."""


def _as_json(source: Mapping[str, Any]) -> dict[str, Any]:
    try:
        said: dict[str, Any] = json.loads(json.dumps(dict(source), allow_nan=False))
    except (TypeError, ValueError, RecursionError) as error:
        raise ConfigError(
            "what is said of the corpus' source must be plain JSON values", why=str(error)
        ) from error
    return said


def _claim(folder: Path) -> None:
    """Refuse a folder that holds something else."""
    if folder.exists() and not folder.is_dir():
        raise ConfigError("the index must be a folder", where=str(folder))
    if not folder.is_dir() or (folder / HEAD).exists():
        return
    try:
        names = sorted(path.name for path in folder.iterdir())
    except OSError as error:
        raise RunError(
            "the folder can't be read", where=str(folder), why=error.strerror or str(error)
        ) from error
    # an index that was begun and never finished is known by its lock
    begun = LOCK in names
    others = [name for name in names if name[0] != "." and not (begun and name in _OURS)]
    if others:
        raise ConfigError(
            "the folder holds something that is no index",
            where=str(folder),
            why=f"there is {others[0]}",
            fix="choose a new folder with --out",
        )
