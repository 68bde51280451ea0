"""Passages and concepts of an index for other programs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from os import PathLike
from typing import TYPE_CHECKING

from isthmus.concepts import export_atlas, export_features
from isthmus.search.index.describing import examples, passages_of

if TYPE_CHECKING:
    from isthmus.search.index.index import Index

__all__ = ["export_index_atlas", "export_index_features"]


def export_index_atlas(index: Index, path: str | PathLike[str], *, unnamed: bool = False) -> int:
    """Write the living passages with their concepts; see `isthmus.concepts.export_atlas`.

    Returns
    -------
    int
        Rows written.
    """
    codes, said = passages_of(index)
    texts = said.texts or ()
    ids = [
        passage.id
        for segment in index.segments
        for passage in segment.texts.passages(segment.living.tolist())
    ]
    return export_atlas(path, index.concepts, codes, texts, ids=ids, unnamed=unnamed)


def export_index_features(index: Index, path: str | PathLike[str]) -> int:
    """Write a line a concept with its examples; see `isthmus.concepts.export_features`.

    Returns
    -------
    int
        Lines written.
    """
    return export_features(path, index.concepts, _Examples(index))


class _Examples(Sequence[str]):
    """The texts of passages by the rows that concepts know them by."""

    def __init__(self, index: Index) -> None:
        self._index = index

    def __len__(self) -> int:
        return self._index.concepts.passages

    def __getitem__(self, row: int) -> str:  # type: ignore[override]
        found = self._index.passages(examples(self._index, [row]))[0]
        return "" if found is None else found.text

    def __iter__(self) -> Iterator[str]:
        return (self[row] for row in range(len(self)))
