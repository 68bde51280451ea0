"""The concepts of an index: described on its passages, kept in its folder, edited by people."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, overload

import numpy as np
from numpy.typing import NDArray

from isthmus.concepts import (
    Concepts,
    Describing,
    Names,
    append_edit,
    describe,
    edit_of,
    load_names,
    read_edits,
    replay,
    stability_of,
)
from isthmus.concepts.edits import EDITS
from isthmus.concepts.passages import Passages
from isthmus.concepts.storing import HEAD
from isthmus.errors import ConfigError, RunError
from isthmus.search.embedders.base import reads_queries
from isthmus.search.index.arrays import mapped_array, write_array
from isthmus.search.index.gathering import joined_codes, joined_counts
from isthmus.search.index.sealing import check_digests

if TYPE_CHECKING:
    from scipy.sparse import csr_array

    from isthmus.concepts.edits import Action
    from isthmus.models.dictionary import SparseDictionary
    from isthmus.search.embedders.base import Embedder
    from isthmus.search.index.index import Index
    from isthmus.search.index.segment import Segment

__all__ = [
    "described",
    "edit_concept",
    "edited_concepts",
    "edited_names",
    "examples",
    "moved",
    "passages_of",
    "write_concepts",
]

ROWS = "passages.npy"
"""The number in the index of each passage that the concepts were described on."""


def described(
    index: Index,
    *,
    embedder: Embedder | None = None,
    others: Sequence[SparseDictionary] = (),
    config: Describing | None = None,
    progress: Callable[[str], None] | None = None,
) -> Concepts:
    """Describe all concepts on the living passages of an index.

    Parameters
    ----------
    index
        The index.
    embedder
        Embeds the names, so that their scores say how well they point along their concepts, too;
        None: they do not.
    others
        The same dictionary trained with other seeds: how stable each concept is.
    config
        How concepts are described and named.
    progress
        Told what is being done.
    """
    codes, said = passages_of(index)
    found = describe(
        codes,
        said,
        decoder=index.decoder.astype(np.float32),
        embed=None if embedder is None or not reads_queries(embedder) else embedder.embed_queries,
        config=config,
        progress=progress,
    )
    if others:
        stability = stability_of(index.decoder, [o.weights().decoder_ND for o in others])
        found = found.with_stability(stability.values())
    return found


def passages_of(index: Index) -> tuple[csr_array, Passages]:
    """Return the codes of all living passages (P, N), and what the passages say."""
    counts, vocabulary = joined_counts(index.segments)
    said = Passages(
        counts,
        vocabulary,
        texts=_LivingTexts(index.segments),
        words=index.words,
        groups=_groups(index.segments).tolist(),
    )
    return joined_codes(index.segments), said


def write_concepts(folder: Path, concepts: Concepts, index: Index) -> None:
    """Write concepts that were described on an index into a folder."""
    concepts.save(folder)
    ids = [segment.ids[segment.living] for segment in index.segments]
    write_array(folder / ROWS, np.concatenate([np.empty(0, np.int64), *ids]))


def edited_concepts(index: Index) -> Concepts:
    """Read the concepts of an index, and do all edits to them.

    Raises
    ------
    RunError
        If they were not described, or are damaged.
    """
    place = _place(index)
    check_digests(place)
    return _edited(Concepts.load(place), index)


def edited_names(index: Index) -> Names:
    """Read only the names, edits included; no concept has one where they were not described."""
    if index.manifest.concepts is None:
        return Names([None] * index.latents)
    if not (index.folder / EDITS).exists():
        place = _place(index)
        check_digests(place, HEAD)
        return load_names(place)
    return edited_concepts(index).names


def edit_concept(index: Index, action: Action, concept: int, text: str = "") -> None:
    """Write an edit of a concept into the index' log; the next opening shows it.

    Raises
    ------
    ConfigError
        If the edit is impossible, or the name is another concept's.
    """
    if action == "rename":
        same = [c for c in index.names.matching(text) if index.names[c] == text.strip()]
        if [c for c in same if c != concept]:
            raise ConfigError(
                f"concept #{same[0]} is called {text.strip()!r} already",
                fix="choose another name, or rename that one first",
            )
    append_edit(index.folder / EDITS, edit_of(action, concept, index.decoder, text))


def examples(index: Index, rows: Sequence[int]) -> list[int]:
    """Return the numbers in the index of passages that concepts give as examples, by row.

    Raises
    ------
    RunError
        If the list of passages is damaged.
    """
    ids = _described_on(index)
    if len(rows) and not 0 <= min(rows) <= max(rows) < len(ids):
        raise RunError(
            "the concepts of the index are damaged",
            where=str(_place(index)),
            why=f"an example is none of the {len(ids)} passages",
        )
    return [int(ids[row]) for row in rows]


def moved(index: Index) -> float:
    """Return the share of passages that are new, or gone, since the concepts were described.

    Raises
    ------
    RunError
        If the list of passages is damaged.
    """
    before = _described_on(index)
    now = np.concatenate([np.empty(0, np.int64), *(s.ids[s.living] for s in index.segments)])
    same = len(np.intersect1d(before, now, assume_unique=True))
    return (max(len(before), len(now)) - same) / max(len(before), len(now), 1)


def _described_on(index: Index) -> NDArray[np.int64]:
    """Read the numbers of the passages that the concepts were described on (P,)."""
    place = _place(index)
    check_digests(place, ROWS)
    ids: NDArray[np.int64] = mapped_array(place / ROWS, np.int64, (None,))
    return ids


def _edited(concepts: Concepts, index: Index) -> Concepts:
    edits = read_edits(index.folder / EDITS)
    return replay(edits, concepts, index.decoder).concepts if edits else concepts


def _place(index: Index) -> Path:
    if index.manifest.concepts is None:
        raise RunError(
            "the concepts of this index were not described",
            where=str(index.folder),
            fix=f"isthmus index {index.folder}, without --no-concepts",
        )
    return index.folder / "concepts" / index.manifest.concepts


def _groups(segments: Sequence[Segment]) -> NDArray[np.int64]:
    """Return a number for each living passage, the same for passages of one document."""
    found, start = [np.empty(0, np.int64)], 0
    for segment in segments:
        found.append(segment.owners[segment.living] + start)
        start += int(segment.owners.max(initial=-1)) + 1
    return np.concatenate(found)


class _LivingTexts(Sequence[str]):
    """The texts of the living passages, fetched when they are asked for."""

    def __init__(self, segments: Sequence[Segment]) -> None:
        self._parts = [(segment, segment.living) for segment in segments]
        self._starts = np.cumsum([0, *(len(rows) for _, rows in self._parts)])

    def __len__(self) -> int:
        return int(self._starts[-1])

    @overload
    def __getitem__(self, row: int) -> str: ...
    @overload
    def __getitem__(self, row: slice) -> Sequence[str]: ...
    def __getitem__(self, row: int | slice) -> str | Sequence[str]:
        if isinstance(row, slice):
            return [self[i] for i in range(*row.indices(len(self)))]
        at = row + len(self) if row < 0 else row
        if not 0 <= at < len(self):
            raise IndexError(row)
        part = int(np.searchsorted(self._starts, at, side="right")) - 1
        segment, rows = self._parts[part]
        return segment.texts.passages([int(rows[at - self._starts[part]])])[0].text
