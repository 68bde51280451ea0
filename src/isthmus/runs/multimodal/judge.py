"""A judge: says what class an item of one modality is of, and how sure it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from isthmus.errors import ConfigError
from isthmus.networks import MLP
from isthmus.networks.base import Sizes
from isthmus.networks.conv_norm import ConvNorm

if TYPE_CHECKING:
    from isthmus.data.modalities import TextAdapter

__all__ = ["Judge", "NetworkJudge", "WordJudge", "judge_network"]

Labels = NDArray[np.int64]
Floats = NDArray[np.float64]
_AT_ONCE = 512


class Judge(Protocol):
    """What every judge does, for transformed items (n, *shape) of its modality."""

    @property
    def classes(self) -> int:
        """How many classes it tells apart."""

    def probabilities(self, items: Tensor) -> Floats:
        """Return the probability of each class, (n, C)."""

    def labels(self, items: Tensor) -> Labels:
        """Return the likeliest class of each, (n,); -1 where it sees none."""


def judge_network(shape: Sequence[int], classes: int) -> nn.Module:
    """Return the classifier of one modality: convolutions for pictures, else fully connected.

    Parameters
    ----------
    shape
        Of one item: (channels, height, width), or any other.
    classes
        How many it tells apart.
    """
    sizes = Sizes(tuple(shape), classes, 1, tuple(shape))
    pictures = len(sizes.shape) == 3
    network = ConvNorm((24, 48, 96), (8,), dropout=0.3) if pictures else MLP((256, 128))
    return network.build(sizes).encoder


@dataclass(frozen=True, eq=False)
class NetworkJudge:
    """Classifiers of several seeds, whose probabilities are averaged."""

    members: tuple[nn.Module, ...]
    """The classifiers, each (B, *shape) to (B, C)."""
    shape: tuple[int, ...]
    """Shape of one item."""
    classes: int
    """How many classes they tell apart."""

    def probabilities(self, items: Tensor) -> Floats:
        """Return the mean of the members' probabilities, (n, C)."""
        return np.asarray(np.mean([self._of(member, items) for member in self.members], axis=0))

    def labels(self, items: Tensor) -> Labels:
        """Return the likeliest class of each, (n,)."""
        return np.asarray(self.probabilities(items).argmax(axis=1), np.int64)

    @torch.no_grad()
    def features(self, items: Tensor) -> Floats:
        """Return what the first member reads its classes from, (n, F): its last layer's input."""
        member = self.members[0].eval()
        last = [module for module in member.modules() if isinstance(module, nn.Linear)][-1]
        seen: list[Tensor] = []
        hook = last.register_forward_pre_hook(lambda _, given: seen.append(given[0].double().cpu()))
        try:
            for part in items.split(_AT_ONCE):  # type: ignore[no-untyped-call]
                member(part.float())
        finally:
            hook.remove()
        return np.asarray(torch.cat(seen).numpy() if seen else np.empty((0, last.in_features)))

    def each(self, items: Tensor) -> list[Labels]:
        """Return what each member alone says."""
        return [self._of(m, items).argmax(axis=1).astype(np.int64) for m in self.members]

    @torch.no_grad()
    def _of(self, member: nn.Module, items: Tensor) -> Floats:
        member.eval()
        parts = [member(part.float()).double().softmax(1) for part in items.split(_AT_ONCE)]  # type: ignore[no-untyped-call]
        if not parts:
            return np.empty((0, self.classes))
        return np.asarray(torch.cat(parts).cpu().numpy())


@dataclass(frozen=True, eq=False)
class WordJudge:
    """Finds the known text that is nearest by edit distance; its class is the text's.

    A text as near to two classes is of none.
    """

    adapter: TextAdapter
    """Turns symbols into texts."""
    texts: Mapping[str, int]
    """Class of each known text."""
    classes: int
    """How many classes there are."""
    _seen: dict[str, int] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        if not self.texts:
            raise ConfigError("a judge of texts needs texts that it knows")

    def labels(self, items: Tensor) -> Labels:
        """Return the class of the nearest known text of each, (n,); -1 for a tie of classes."""
        return np.array([self._nearest(t) for t in self.adapter.inverse(items)], np.int64)

    def exact(self, items: Tensor) -> Labels:
        """Return the class of each text that is known letter by letter, (n,); -1 for others."""
        return np.array([self.texts.get(t, -1) for t in self.adapter.inverse(items)], np.int64)

    def probabilities(self, items: Tensor) -> Floats:
        """Return 1 for the class it sees, (n, C); the same for all where it sees none."""
        found = self.labels(items)
        rows = np.full((len(found), self.classes), 1 / self.classes)
        seen = np.flatnonzero(found >= 0)
        rows[seen] = np.eye(self.classes)[found[seen]]
        return rows

    def _nearest(self, text: str) -> int:
        if text not in self._seen:
            self._seen[text] = _nearest(text, self.texts)
        return self._seen[text]


def _nearest(text: str, known: Mapping[str, int]) -> int:
    if text in known:
        return known[text]
    distances = {other: edit_distance(text, other) for other in known}
    least = min(distances.values())
    classes = {known[other] for other, distance in distances.items() if distance == least}
    return classes.pop() if len(classes) == 1 else -1


def edit_distance(one: str, other: str) -> int:
    """Return the fewest insertions, deletions and changes of a letter between two texts.

    Examples
    --------
    >>> edit_distance("seven", "sevne"), edit_distance("", "two")
    (2, 3)
    """
    row = list(range(len(other) + 1))
    for i, a in enumerate(one, 1):
        above, row = row, [i]
        for j, b in enumerate(other, 1):
            row.append(min(above[j] + 1, row[j - 1] + 1, above[j - 1] + (a != b)))
    return row[-1]
