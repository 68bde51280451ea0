"""Names of an index' concepts asked of a language model, and kept in the index."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable, Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

from isthmus.concepts import Asked, Concept, Concepts, Naming, Workings, ask_names
from isthmus.concepts.columns import columns_of
from isthmus.errors import RunError
from isthmus.search.index.describing import ROWS, edited_concepts, passages_of
from isthmus.search.index.index import Index
from isthmus.search.index.writing import commit, new_folder, writing

if TYPE_CHECKING:
    from isthmus.concepts.asking import Talker

__all__ = ["name_concepts"]


def name_concepts(
    folder: str | PathLike[str],
    endpoint: Talker,
    model: str,
    *,
    only: Sequence[str | int] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Asked:
    """Ask a language model to name the concepts of an index, and keep the names that pass.

    See `isthmus.concepts.ask_names`: a name is taken if it does better on held-out passages than
    the one that is there. What people edited stays as it is. The index is changed in one step,
    at the end.

    Parameters
    ----------
    folder
        The index.
    endpoint, model
        Where to ask, and the model's name there.
    only
        Concepts to ask for, by name or number; None: all that can be asked for.
    progress
        Called with the concepts asked for so far and their number.

    Raises
    ------
    ConfigError
        If a concept is not found.
    RemoteError
        If the endpoint is away.
    RunError
        If the concepts were not described, or the index is being written by somebody else.
    """
    place = Path(folder)
    with writing(place), Index(place) as index:
        edited = edited_concepts(index)
        wanted = None
        if only is not None:
            wanted = [c if isinstance(c, int) else edited.names.find(c) for c in only]
        codes, said = passages_of(index)
        work = Workings.of(columns_of(codes), said, Naming())
        asked = ask_names(endpoint, model, edited, work, only=wanted, progress=progress)
        if not asked.accepted:
            return asked
        before = place / "concepts" / str(index.manifest.concepts)
        # edits stay in their log: what is written is what it was, with the new names alone
        plain = Concepts.load(before)
        renamed = [_as_asked(plain[j], asked.concepts[j]) for j in asked.accepted]
        plain = plain.replaced(renamed)
        with new_folder(place, "concepts") as new:
            plain.save(new)
            try:
                shutil.copyfile(before / ROWS, new / ROWS)
            except OSError as error:
                raise RunError(
                    "the concepts of the index are damaged", where=str(before), why=str(error)
                ) from error
        commit(place, dataclasses.replace(index.manifest, concepts=new.name))
    return asked


def _as_asked(concept: Concept, asked: Concept) -> Concept:
    return dataclasses.replace(concept, name=asked.name, origin=asked.origin, score=asked.score)
