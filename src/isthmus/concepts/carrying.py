"""Numbers that concepts keep when a dictionary is trained anew."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from isthmus.concepts.thresholds import chance_cosine
from isthmus.errors import ConfigError
from isthmus.metrics.arrays import Array
from isthmus.metrics.stability import match_decoders

if TYPE_CHECKING:
    from isthmus.models.dictionary import SparseDictionary

__all__ = ["Carried", "carry_ids", "permuted"]


@dataclass(frozen=True, eq=False)
class Carried:
    """How the latents of a new dictionary are to be numbered so that concepts keep theirs."""

    order: NDArray[np.int64]
    """The new dictionary's latent that gets each number (M,): ``new[order]`` is renumbered."""
    kept: NDArray[np.bool_]
    """Whether each number means the same concept as before (M,)."""
    cosine: float
    """Cosine from which a concept counted as the same."""
    before: int
    """Concepts of the old dictionary."""

    @property
    def share(self) -> float:
        """Share of the old concepts that keep their number."""
        return float(self.kept.sum()) / self.before


def carry_ids(
    old_ND: Array,
    new_MD: Array,
    *,
    cosine: float = 0.7,
    signed: bool = True,
    groups: Sequence[int] = (),
    seed: int = 0,
) -> Carried:
    """Give the latents of a new dictionary numbers, to concepts found again those they had.

    Directions are matched one to one; pairs with a cosine of at least ``cosine`` (never less than
    what random directions hardly reach) are the same concept. All others get the numbers that
    are left, in their order. Where the new dictionary is smaller, numbers beyond its size go.

    Parameters
    ----------
    old_ND, new_MD
        Decoders, a direction a row.
    groups
        Ends of runs of latents that must stay together (a Matryoshka dictionary's prefixes):
        numbers are carried within each run only.

    Raises
    ------
    ConfigError
        If ``cosine`` is not in (0, 1], or the groups do not rise up to M.
    DataError
        If the widths differ, or a side has no direction.

    Examples
    --------
    >>> old, new = np.eye(4)[:3], np.eye(4)[[2, 3, 0]]
    >>> carry_ids(old, new).order.tolist(), carry_ids(old, new).kept.tolist()
    ([2, 1, 0], [True, False, True])
    """
    if not 0 < cosine <= 1:
        raise ConfigError("cosine must be above 0 and at most 1", why=f"got {cosine}")
    size = len(new_MD)
    ends = list(groups) or [size]
    if ends != sorted(set(ends)) or ends[-1] != size or ends[0] < 1:
        raise ConfigError(
            "the ends of groups must rise up to the number of latents",
            why=f"{ends} for {size} latents",
        )
    matching = match_decoders(old_ND, new_MD, signed=signed)
    threshold = max(cosine, min(chance_cosine(old_ND, new_MD, signed=signed, seed=seed), 1.0))
    run = np.searchsorted(ends, np.arange(max(size, len(old_ND))), side="right")
    same = matching.cosine >= threshold - 1e-9
    same &= (matching.a < size) & (run[matching.a] == run[matching.b])
    order = np.full(size, -1, dtype=np.int64)
    order[matching.a[same]] = matching.b[same]
    kept = order >= 0
    free = np.setdiff1d(np.arange(size), order[kept])
    for group in range(len(ends)):
        places = np.flatnonzero(~kept & (run[:size] == group))
        order[places] = free[run[free] == group]
    return Carried(order, kept, threshold, len(old_ND))


def permuted(dictionary: SparseDictionary, order: Sequence[int] | Array) -> SparseDictionary:
    """Return a dictionary with its latents in another order: its codes are permuted, no more.

    Encoder, biases and decoder are reordered, and so is everything of the objective that has a
    number a latent (thresholds, gains, mean activations).

    Parameters
    ----------
    order
        The latent that stands at each place of the new one (N,).

    Raises
    ------
    ConfigError
        If that is not a permutation, or would take latents of a Matryoshka dictionary out of
        the prefix that they were trained in.

    Examples
    --------
    >>> from isthmus.bottlenecks import TopK
    >>> from isthmus.models.dictionary import SparseDictionary
    >>> model = SparseDictionary(8, TopK(latent=3, k=1))
    >>> x = np.random.default_rng(0).standard_normal((5, 8))
    >>> a, b = model.encode(x, dense=True), permuted(model, [2, 0, 1]).encode(x, dense=True)
    >>> bool(np.allclose(a[:, [2, 0, 1]], b))
    True
    """
    import torch

    latents = dictionary.latent
    places = np.asarray(order, dtype=np.int64)
    if not np.array_equal(np.sort(places.ravel()), np.arange(latents)) or places.ndim != 1:
        raise ConfigError(
            f"the order must name each of the {latents} latents once", why=f"{places.size} numbers"
        )
    _check_levels(dictionary, places)
    new = copy.deepcopy(dictionary)
    index = torch.from_numpy(places).to(dictionary.device)
    own = {"encoder", "bias", "decoder"}
    with torch.no_grad():
        for name, values in [*new.named_parameters(), *new.named_buffers()]:
            each = name.startswith("objective.") and values.shape[:1] == (latents,)
            if name in own or each:
                values.copy_(values[index].clone())
    return new


def _check_levels(dictionary: SparseDictionary, places: NDArray[np.int64]) -> None:
    levels = dictionary.objective.levels()
    if levels is None or levels.by_rank:
        return
    ends = np.asarray(levels.ends)
    if not np.array_equal(
        np.searchsorted(ends, places, side="right"),
        np.searchsorted(ends, np.arange(len(places)), side="right"),
    ):
        raise ConfigError(
            "the latents of a Matryoshka dictionary can't leave the prefix they were trained in",
            why=f"prefixes end at {', '.join(map(str, ends.tolist()))}",
            fix="give these ends to carry_ids as its groups",
        )
