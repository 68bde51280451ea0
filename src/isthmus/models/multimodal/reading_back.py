"""Draws that are read back: what the model itself does not clearly recognise is drawn again."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from isthmus.models.multimodal.joint_mixture import JointMixture
from isthmus.models.multimodal.model import MultimodalAutoencoder

__all__ = ["CLEAR", "ROUNDS", "Reader", "read_back"]

ROUNDS = 4
"""How often what is not clear is drawn again; the clearest of its draws stays."""
CLEAR = 0.95
"""Certainty of the class that was meant from which a draw stays as it is."""
_TEMPERATURE = 0.1

Numbers = NDArray[np.int64]
Rows = NDArray[np.intp]
Values = NDArray[np.float64]


class Reader:
    """Says how clearly the model itself recognises a class of the mixture in items.

    Parameters
    ----------
    model
        Encodes the items.
    mixture
        Of its codes; components of no class are never read back.
    """

    def __init__(self, model: MultimodalAutoencoder, mixture: JointMixture) -> None:
        self.model, self.mixture = model, mixture
        self.classes = np.unique(mixture.labels[mixture.labels >= 0])

    def certainty(self, made: Mapping[str, Tensor], picks: Numbers) -> Values:
        """Return how clear the least clear item of each row is, (n,), from 0 to 1.

        ``softmax_c(max_k cos(z, mu_k) / 0.1)`` over the classes ``c`` and their components ``k``,
        at the class that was meant: z is the shared code of the item, mu_k the mean of its
        modality's shared codes in the component.

        Parameters
        ----------
        made
            By modality, items (n, *shape).
        picks
            The component that each row was drawn from, (n,).
        """
        meant = self.mixture.labels[picks]
        found = np.ones(len(meant))
        if len(self.classes) < 2:
            return found
        place = np.searchsorted(self.classes, np.maximum(meant, self.classes[0]))
        for name, items in made.items():
            shared = self.model.encode({name: items}).shared.double().cpu().numpy()
            means = self.mixture.means[:, self.mixture.places[f"{name}/shared"]]
            cosines = _unit(shared) @ _unit(means).T
            scores = np.stack(
                [cosines[:, self.mixture.labels == c].max(1) for c in self.classes], axis=1
            )
            powers = np.exp((scores - scores.max(1, keepdims=True)) / _TEMPERATURE)
            share = powers[np.arange(len(meant)), place] / powers.sum(1)
            found = np.minimum(found, np.where(meant >= 0, share, 1.0))
        return found


def _unit(codes: Values) -> Values:
    lengths = np.maximum(np.linalg.norm(codes, axis=1, keepdims=True), 1e-12)
    return np.asarray(codes / lengths)


def read_back(
    reader: Reader,
    made: Mapping[str, Tensor],
    picks: Numbers,
    again: Callable[[Rows], Mapping[str, Tensor]],
) -> dict[str, Tensor]:
    """Return items of which those that are not clear were drawn again from their component.

    A component is never changed for another, so that how unsure a translation is of its class
    stays as the mixture has it; within a component, draws far from what the decoder was trained
    on become rarer. No judge and no label of an item takes part.

    Parameters
    ----------
    made
        By modality, drawn items (n, *shape), the rows belonging together.
    picks
        Component of each row, (n,).
    again
        Draws some of the rows anew.
    """
    items = {name: part.clone() for name, part in made.items()}
    certain = reader.certainty(items, picks)
    for _ in range(ROUNDS):
        rows = np.flatnonzero(certain < CLEAR)
        if not len(rows):
            break
        fresh = again(rows)
        now = reader.certainty(fresh, picks[rows])
        better = now > certain[rows]
        for name, part in fresh.items():
            items[name][rows[better]] = part[np.flatnonzero(better)].to(items[name].dtype)
        certain[rows] = np.maximum(certain[rows], now)
    return items
