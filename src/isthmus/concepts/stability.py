"""How sure it is that another training would find the same concept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from isthmus.errors import ConfigError, DataError
from isthmus.metrics.arrays import Array, Floats
from isthmus.metrics.coherence import unit_rows
from isthmus.metrics.matching import best_cosines
from isthmus.metrics.stability import random_like

__all__ = ["ConceptStability", "stability_of"]


@dataclass(frozen=True, eq=False)
class ConceptStability:
    """How well each concept of a dictionary is found again in other trainings."""

    per_concept: Floats
    """Mean cosine with the best match in each of the others (N,); NaN for a row of zeros."""
    mean: float
    """Mean over the concepts."""
    chance: float
    """The same with random directions of the others' mean and covariance in their place."""
    chance_high: float
    """What one concept in a hundred reaches with those."""
    others: int
    """Other trainings."""

    def values(self) -> list[float | None]:
        """Return the stability of each concept, None where it has no direction."""
        return [None if np.isnan(v) else round(float(v), 6) for v in self.per_concept]


def stability_of(
    decoder_ND: Array, others: Sequence[Array], *, signed: bool = True, seed: int = 0
) -> ConceptStability:
    """Measure how well each direction is found again in dictionaries trained otherwise.

    Those are trained with other seeds, or on resampled passages; they may have other numbers of
    latents. Matches are not one to one: a concept that another training found is stable, even if
    a second one is near the same direction. For one-to-one matching of whole dictionaries see
    `isthmus.metrics.stability.seed_stability`.

    Parameters
    ----------
    decoder_ND
        Directions (N, D).
    others
        Decoders of other trainings (M, D).
    signed
        Whether opposite directions differ. Default True.
    seed
        Seed of the random directions that chance is measured with.

    Raises
    ------
    ConfigError
        If there is no other training.
    DataError
        If a width differs, or a decoder is all zeros or not finite.

    Examples
    --------
    >>> found = stability_of(np.eye(3), [np.eye(3)[::-1]])
    >>> found.per_concept.tolist(), found.others
    ([1.0, 1.0, 1.0], 1)
    """
    if not others:
        raise ConfigError(
            "stability needs another training", fix="train the same settings with another seed"
        )
    units, where = unit_rows(decoder_ND, "the decoder")
    sums, chance = np.zeros(len(units)), np.zeros(len(units))
    for number, other in enumerate(others):
        rows, _ = unit_rows(other, f"decoder {number} of the others")
        if not len(units) or not len(rows) or rows.shape[1] != units.shape[1]:
            raise DataError(
                "two dictionaries have nothing to be compared by",
                where=f"decoder {number} of the others",
                why=f"shapes {tuple(decoder_ND.shape)} and {tuple(other.shape)}, without zeros "
                f"{len(units)} and {len(rows)} rows",
            )
        like = random_like(other, seed + number)
        sums += best_cosines(units, rows, signed=signed)[0].cosine
        chance += best_cosines(units, like, signed=signed)[0].cosine
    per_concept = np.full(len(decoder_ND), np.nan)
    per_concept[where] = (sums / len(others)).clip(-1, 1)
    return ConceptStability(
        per_concept,
        float(np.nanmean(per_concept)),
        float(chance.mean() / len(others)),
        float(np.quantile(chance / len(others), 0.99)),
        len(others),
    )
