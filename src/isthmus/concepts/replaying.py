"""Edits of an older dictionary, done to the concepts of a newer one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from isthmus.concepts.concept import Concept
from isthmus.concepts.edits import Edit
from isthmus.concepts.table import Concepts
from isthmus.errors import ConfigError, DataError
from isthmus.metrics.arrays import Array
from isthmus.metrics.coherence import unit_rows

__all__ = ["Replayed", "replay"]


@dataclass(frozen=True, eq=False)
class Replayed:
    """What became of the edits."""

    concepts: Concepts
    """The concepts with all edits done that found theirs."""
    moved: dict[int, int]
    """The new number of each edited concept that has another one now, by its old number."""
    lost: tuple[Edit, ...]
    """Edits whose concept is not there any more; they stay in the log."""

    def describe(self) -> str:
        """Say it in a sentence."""
        held = sum(map(_touched, self.concepts))
        return (
            f"{held} concepts bear edits, {len(self.moved)} of them under a new number; "
            f"{len(self.lost)} edits found no concept"
        )


def replay(
    edits: Sequence[Edit], concepts: Concepts, decoder_ND: Array, *, cosine: float = 0.7
) -> Replayed:
    """Do edits to the concepts that now have the directions they were made for.

    Edits are taken in their order, so that later ones win. Directions that were edited in one
    and the same dictionary are matched with the new one's one to one, nearest first (of equally
    near ones the same number): two of its concepts never fall on one.

    Parameters
    ----------
    edits
        From the oldest to the newest.
    concepts, decoder_ND
        The concepts, and the dictionary's directions (N, D).
    cosine
        The least cosine at which a concept is the same. Default 0.7.

    Raises
    ------
    ConfigError
        If ``cosine`` is not in (0, 1].
    DataError
        If there are not as many directions as concepts.
    """
    if not 0 < cosine <= 1:
        raise ConfigError("cosine must be above 0 and at most 1", why=f"got {cosine}")
    if len(decoder_ND) != len(concepts):
        raise DataError(
            "there must be one direction a concept",
            why=f"{len(decoder_ND)} directions, {len(concepts)} concepts",
        )
    found: dict[_Key, int] = {}
    for dictionary in dict.fromkeys(edit.dictionary for edit in edits):
        mine = [edit for edit in edits if edit.dictionary == dictionary]
        found |= _matched(mine, decoder_ND, cosine)
    changed: dict[int, Concept] = {}
    moved, lost = {}, []
    for edit in edits:
        at = found.get(_key(edit))
        if at is None:
            lost.append(edit)
            continue
        changed[at] = edit.done_to(changed.get(at, concepts[at]))
        if at != edit.concept:
            moved[edit.concept] = at
    return Replayed(concepts.replaced(list(changed.values())), moved, tuple(lost))


_Key = tuple[str, bytes]


def _key(edit: Edit) -> _Key:
    return edit.dictionary, edit.direction.tobytes()


def _matched(edits: Sequence[Edit], decoder_ND: Array, cosine: float) -> dict[_Key, int]:
    """Match the directions edited in one dictionary with those of another."""
    units, where = unit_rows(decoder_ND, "the decoder")
    usable = [e for e in edits if e.direction.size == units.shape[1] and e.direction.any()]
    firsts = list({_key(edit): edit for edit in usable}.values())
    if not firsts or not len(units):
        return {}
    rows, _ = unit_rows(np.stack([e.direction for e in firsts]), "the edited directions")
    cosines = rows @ units.T
    pairs: list[tuple[float, bool, int, int]] = []
    for i, edit in enumerate(firsts):
        for at in np.flatnonzero(cosines[i] >= cosine - 1e-6).tolist():
            j = int(where[at])
            # equal to a millionth is equal: the same number then goes first
            pairs.append((-round(float(cosines[i, at]), 6), j != edit.concept, i, j))
    found: dict[_Key, int] = {}
    taken: set[int] = set()
    for _, _, i, j in sorted(pairs):
        if _key(firsts[i]) not in found and j not in taken:
            found[_key(firsts[i])] = j
            taken.add(j)
    return found


def _touched(concept: Concept) -> bool:
    return concept.origin == "user" or concept.hidden or bool(concept.note)
