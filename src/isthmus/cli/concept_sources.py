"""Concepts of an index or of a dictionary's run, with the passages that they are active on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from isthmus.errors import ConfigError, DataError, RunError

if TYPE_CHECKING:
    from isthmus.concepts import Concepts, Names
    from isthmus.concepts.edits import Action, Edit
    from isthmus.models.dictionary import SparseDictionary
    from isthmus.runs.dictionary import DictionaryRun
    from isthmus.search.index.index import Index

__all__ = ["Shown", "Source", "edited", "is_index", "open_source", "side_of"]

KEPT = "concepts"
"""Folder within a run that keeps concepts which were named from texts."""
_MOST = 200_000
Floats = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Shown:
    """A passage that is shown as an example."""

    passage: str
    """Its id."""
    text: str
    """What it says; empty where there are no texts."""
    source: str
    """Where it stands."""


@dataclass(frozen=True, eq=False)
class Source:
    """Concepts and what belongs to them."""

    folder: Path
    """Folder of the index or the run."""
    kind: str
    """"index" or "run"."""
    concepts: Concepts
    """The concepts, edits included."""
    passages: Callable[[Sequence[int]], list[Shown | None]]
    """Fetches examples by their rows; None for one that was deleted."""
    edits: tuple[Edit, ...] = ()
    """What people changed, from the oldest to the newest."""
    note: str = ""
    """What a user should know."""


def is_index(folder: Path) -> bool:
    """Say whether a folder holds an index."""
    from isthmus.search.index.manifest import HEAD

    return (folder / HEAD).is_file()


def open_source(folder: Path, *, texts: str | None = None, data: str | None = None) -> Source:
    """Open the concepts of an index, or work out those of a run.

    Parameters
    ----------
    folder
        Folder of an index, or of a run of a sparse dictionary.
    texts
        For a run: the corpus whose documents its vectors were made of, in their order.
    data
        For a run: the vectors to look at; None: those that it was trained on.

    Raises
    ------
    RunError
        If there is neither, or it is damaged, or the index' concepts were not described.
    ConfigError
        If texts or data are given for an index.
    """
    if is_index(folder):
        if texts is not None or data is not None:
            raise ConfigError(
                "--texts and --data are for a run",
                where=str(folder),
                why="an index has its own texts",
                fix="leave them out",
            )
        return _of_index(folder)
    return _of_run(folder, texts, data)


def _of_index(folder: Path) -> Source:
    from isthmus.concepts import read_edits
    from isthmus.concepts.edits import EDITS
    from isthmus.search.index.describing import examples
    from isthmus.search.index.index import Index

    index = Index(folder)

    def passages(rows: Sequence[int]) -> list[Shown | None]:
        found = index.passages(examples(index, rows))
        return [None if p is None else Shown(p.id, p.text, _place(p)) for p in found]

    edits = tuple(read_edits(folder / EDITS))
    return Source(folder, "index", index.concepts, passages, edits)


def _place(passage: Any) -> str:
    source = passage.source or passage.document
    row = "" if passage.line is None else f":{passage.line}"
    return f"{source}{row}, characters {passage.start}-{passage.end}"


# --- runs -----------------------------------------------------------------------------------------


def dictionary_run(folder: Path) -> DictionaryRun:
    """Open the run of a dictionary.

    Raises
    ------
    RunError
        If it is none.
    """
    from isthmus.runs import open_run
    from isthmus.runs.dictionary import DictionaryRun

    if not folder.is_dir():
        raise RunError(
            "there is no such index or run",
            where=str(folder),
            fix="make one: isthmus index TEXTS, or isthmus train VECTORS --model topk",
        )
    run = open_run(folder)
    if not isinstance(run, DictionaryRun):
        raise RunError(
            "this run holds no sparse dictionary, and so no concepts",
            where=str(folder),
            why=f"it is of the preset {run.preset}",
            fix="train one: isthmus train VECTORS --model topk",
        )
    return run


def _of_run(folder: Path, texts: str | None, data: str | None) -> Source:
    from isthmus.concepts import Concepts, read_edits, replay
    from isthmus.concepts.edits import EDITS
    from isthmus.concepts.storing import HEAD

    run = dictionary_run(folder)
    said = None if texts is None else _texts_of(texts)
    note = ""
    if said is None and data is None and (folder / KEPT / HEAD).is_file():
        found = Concepts.load(folder / KEPT)
    else:
        found, note = _described(run, data, said)
        if said is not None:
            found.save(folder / KEPT)
    decoder = run.model.weights().decoder_ND
    edits = tuple(read_edits(folder / EDITS))
    if edits:
        found = replay(edits, found, decoder).concepts
    return Source(folder, "run", found, lambda rows: _rows(rows, said), edits, note)


def _texts_of(corpus: str) -> list[tuple[str, str, str]]:
    """Return id, title and text of every document."""
    from isthmus.data.corpora import open_corpus

    return [(d.id, d.title, d.text) for d in open_corpus(corpus)]


def _rows(rows: Sequence[int], texts: list[tuple[str, str, str]] | None) -> list[Shown | None]:
    if texts is None:
        return [Shown(f"row {row}", "", f"row {row} of the vectors") for row in rows]
    return [Shown(texts[row][0], texts[row][2], f"document {texts[row][0]}") for row in rows]


def _described(
    run: DictionaryRun, data: str | None, texts: list[tuple[str, str, str]] | None
) -> tuple[Concepts, str]:
    from scipy.sparse import csr_array, vstack

    from isthmus.concepts import Passages, describe
    from isthmus.runs.dictionary.vectors import blocks_of

    drop = bool(run.origin.options.get("drop_bad_rows")) or run.training.drop_bad
    sources, note = _sources(run, data, whole=texts is not None)
    parts = [
        csr_array(run.model.encode(block))
        for source in sources
        for block in blocks_of(source, drop_bad=drop)
    ]
    codes = csr_array(vstack(parts, format="csr"))
    if texts is not None and len(texts) != codes.shape[0]:
        raise DataError(
            "the texts are not those of the vectors",
            why=f"{len(texts):,} documents, {codes.shape[0]:,} vectors",
            fix="give the corpus whose documents the vectors were made of, in their order",
        )
    said = None
    if texts is not None:
        said = Passages.of([f"{title}\n\n{text}" if title else text for _, title, text in texts])
    return describe(codes, said, decoder=run.model.weights().decoder_ND), note


def _sources(run: DictionaryRun, data: str | None, *, whole: bool) -> tuple[list[Any], str]:
    """Return the vectors to look at, at most 200,000 of them where no texts belong to them."""
    from isthmus.cli.vectors import sources_for
    from isthmus.data.streams.memory import ChosenRows

    wanted = data if data is not None else run.origin.source
    if wanted is None:
        raise ConfigError(
            "this run was trained on arrays in memory, which it does not keep",
            where=str(run.folder),
            fix="give vectors with --data",
        )
    sources: list[Any] = list(sources_for(run, wanted, {}, None))
    total = sum(source.rows for source in sources)
    if whole or total <= _MOST:
        return sources, ""
    chosen = np.linspace(0, sources[0].rows - 1, min(_MOST, sources[0].rows)).astype(np.int64)
    note = f"looked at {len(chosen):,} of {total:,} vectors; rows are counted among these"
    return [ChosenRows(sources[0], chosen)], note


# --- changing and comparing -----------------------------------------------------------------------


def edited(folder: Path, action: Action, concept: str, text: str = "") -> tuple[int, str | None]:
    """Write an edit of a concept; return its number and the name that it had.

    Raises
    ------
    ConfigError
        If no concept or several are meant, or the name is another one's.
    """
    from isthmus.concepts import append_edit, edit_of
    from isthmus.concepts.edits import EDITS

    if is_index(folder):
        from isthmus.search.index.describing import edit_concept
        from isthmus.search.index.index import Index

        with Index(folder) as index:
            number = index.names.find(concept)
            before = index.names[number]
            edit_concept(index, action, number, text)
        return number, before
    run = dictionary_run(folder)
    names = _names(folder, run)
    number = names.find(concept)
    same = [c for c in names.matching(text) if names[c] == text.strip()] if text.strip() else []
    if action == "rename" and [c for c in same if c != number]:
        raise ConfigError(
            f"concept #{same[0]} is called {text.strip()!r} already", fix="choose another name"
        )
    append_edit(folder / EDITS, edit_of(action, number, run.model.weights().decoder_ND, text))
    return number, names[number]


def _names(folder: Path, run: DictionaryRun) -> Names:
    """Return the names of a run's concepts without looking at its data."""
    from isthmus.concepts import Concepts, Names, read_edits, replay
    from isthmus.concepts.edits import EDITS
    from isthmus.concepts.storing import HEAD

    edits = read_edits(folder / EDITS)
    if (folder / KEPT / HEAD).is_file():
        found = Concepts.load(folder / KEPT)
    else:
        from isthmus.concepts import Concept, Statistics

        empty = Statistics(0, 0.0, 0.0, 0.0, (0.0,) * 5, ())
        found = Concepts([Concept(j, empty) for j in range(run.model.latent)], 0)
    names = replay(edits, found, run.model.weights().decoder_ND).concepts.names
    return Names(names.names)


@dataclass(frozen=True, eq=False)
class Side:
    """One of two dictionaries that are compared."""

    dictionary: SparseDictionary
    """The dictionary."""
    names: Names
    """Its names."""
    index: Index | None
    """The index that it belongs to, if it does."""

    @property
    def decoder(self) -> Floats:
        """Its directions (N, D)."""
        return self.dictionary.weights().decoder_ND


def side_of(folder: Path) -> Side:
    """Open the dictionary of an index or a run, to be compared.

    Raises
    ------
    RunError
        If there is none.
    """
    if is_index(folder):
        from isthmus.search.index.index import Index

        index = Index(folder)
        return Side(index.dictionary, index.names, index)
    run = dictionary_run(folder)
    return Side(run.model, _names(folder, run), None)
