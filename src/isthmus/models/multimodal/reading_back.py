"""Draws that are read back: what the model itself takes for another class is drawn again."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from isthmus.models.multimodal.joint_mixture import JointMixture
from isthmus.models.multimodal.model import MultimodalAutoencoder

__all__ = ["ROUNDS", "Reader", "read_back"]

ROUNDS = 4
"""How often what is misread is drawn again; what still is stays as it is."""

Numbers = NDArray[np.int64]
Rows = NDArray[np.intp]


class Reader:
    """Says which class of a mixture the model itself finds in items.

    Parameters
    ----------
    model
        Encodes the items.
    mixture
        Of its codes.
    """

    def __init__(self, model: MultimodalAutoencoder, mixture: JointMixture) -> None:
        self.model, self.mixture = model, mixture
        labels = mixture.labels
        self._classes = np.unique(labels[labels >= 0])
        self._member = labels[:, None] == self._classes[None]

    def meant(self, picks: Numbers) -> Numbers:
        """Return the class of each component number, -1: none."""
        return np.asarray(self.mixture.labels[picks], np.int64)

    def found(self, name: str, items: Tensor) -> Numbers:
        """Return the likeliest class of items by their shared codes, (n,); -1 without classes."""
        if not len(self._classes):
            return np.full(len(items), -1, np.int64)
        shared = self.model.encode({name: items}).shared.cpu().numpy()
        weights = self.mixture.responsibilities({f"{name}/shared": shared})
        return np.asarray(self._classes[(weights @ self._member).argmax(1)], np.int64)

    def misread(self, made: Mapping[str, Tensor], meant: Numbers) -> Rows:
        """Return the rows of which an item is read as another class than was meant."""
        odd = np.zeros(len(meant), bool)
        for name, items in made.items():
            odd |= (self.found(name, items) != meant) & (meant >= 0)
        return np.flatnonzero(odd)


def read_back(
    reader: Reader,
    made: Mapping[str, Tensor],
    picks: Numbers,
    again: Callable[[Rows], Mapping[str, Tensor]],
) -> dict[str, Tensor]:
    """Return items of which those that are misread were drawn again from their component.

    A component is never changed for another, so that how unsure a translation is of its class
    stays as the mixture has it; within a component, draws far from where the decoder was trained
    become rarer. No judge and no label of the items takes part.

    Parameters
    ----------
    made
        By modality, drawn items (n, *shape), the rows belonging together.
    picks
        Component of each row, (n,).
    again
        Draws some of the rows anew.
    """
    items, meant = {name: part.clone() for name, part in made.items()}, reader.meant(picks)
    rows = reader.misread(items, meant)
    for _ in range(ROUNDS):
        if not len(rows):
            break
        fresh = again(rows)
        for name, part in fresh.items():
            items[name][rows] = part.to(items[name].dtype)
        rows = rows[reader.misread(fresh, meant[rows])]
    return items
