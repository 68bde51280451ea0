"""Data of which a part is taken away: missing items, and pairs that nobody made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from isthmus.data.multimodal.dataset import MultimodalData, Numbers
from isthmus.data.multimodal.drawing import class_pairs
from isthmus.errors import ConfigError

__all__ = ["with_few_pairs", "with_missing"]


def with_missing(
    data: MultimodalData,
    rate: float,
    seed: int = 0,
    *,
    how: str = "mcar",
    modality: str | None = None,
    classes: Sequence[int] = (),
    splits: Sequence[str] = ("train",),
) -> MultimodalData:
    """Take items out of the fixed tables; training then shows these rows and no others.

    Parameters
    ----------
    data
        What to take from.
    rate
        Share of cells that go.
    seed
        Of the choice.
    how
        ``mcar``: each cell goes with probability ``rate``, whatever it holds; ``mnar``: cells of
        rows of ``classes`` alone, so that what is missing depends on what it would be.
    modality
        The only modality to take from; None: all. ``mnar`` needs one.
    classes
        Class numbers for ``mnar``.
    splits
        The splits to take from.

    Returns
    -------
    MultimodalData
        Every row keeps at least one item, drawn among those that it had. The rule of pairing is
        ``table``: were rows drawn anew each epoch, nothing would stay missing.

    Raises
    ------
    ConfigError
        If the rate is not from 0 to 1, or a choice makes no sense.
    """
    if not 0 <= rate <= 1:
        raise ConfigError("the missing rate must be from 0 to 1", where=f"rate={rate}")
    if how not in ("mcar", "mnar"):
        raise ConfigError(f"unknown way of missing {how!r}", fix="choose mcar or mnar")
    if (how == "mnar") != bool(classes) or (how == "mnar" and modality is None):
        raise ConfigError("mnar needs a modality and classes; mcar takes no classes")
    columns = range(len(data.names))
    if modality is not None:
        data[modality]  # says what there is if it is unknown
        columns = range(data.names.index(modality), data.names.index(modality) + 1)
    pairs = dict(data.pairs)
    for split in splits:
        if split not in pairs:
            raise ConfigError(f"there is no split called {split!r}", where=data.name)
        rows = np.ones(len(pairs[split]), bool)
        if classes:
            rows = np.isin(data.row_labels(pairs[split]), list(classes))
        pairs[split] = _thinned(pairs[split], rate, [seed, len(split)], columns, rows)
    words = f"{how.upper()}: {rate:.0%} of " + (f"{modality} items" if modality else "items")
    rule = "table" if data.pair_rule == "class" else data.pair_rule
    note = f"{words} taken out of {', '.join(splits)} with seed {seed}."
    return replace(data, pairs=pairs, pair_rule=rule, notes=(*data.notes, note))


def _thinned(
    table: Numbers,
    rate: float,
    seed: Sequence[int],
    columns: range,
    rows: np.ndarray[tuple[int], np.dtype[np.bool_]],
) -> Numbers:
    """Take cells out, and give one back to each row that lost all."""
    generator = np.random.default_rng(list(seed))
    there = table >= 0
    gone = np.zeros_like(there)
    gone[:, columns] = generator.random((len(table), len(columns))) < rate
    left = there & ~(gone & rows[:, None])
    keep = np.where(there, generator.random(table.shape), -1).argmax(axis=1)
    empty = ~left.any(axis=1)
    left[empty, keep[empty]] = True
    return np.where(left, table, -1)


def with_few_pairs(data: MultimodalData, per_class: int, seed: int = 0) -> MultimodalData:
    """Keep a few training pairs of each class; every other training item stands alone.

    Items that stand alone hide their class: nobody labelled them. Validation and test are left
    as they are.

    Parameters
    ----------
    data
        With classes.
    per_class
        Pairs of each class.
    seed
        Of the choice.

    Raises
    ------
    ConfigError
        If there are fewer items of a class than pairs asked for, or no classes.
    """
    columns = [(modality.rows("train"), modality.labels) for modality in data.modalities.values()]
    if per_class < 1 or not data.classes:
        raise ConfigError(
            "few pairs need classes, and at least one pair of each", where=f"{per_class}"
        )
    chosen = []
    for number in range(len(data.classes)):
        alike = [(items[labels[items] == number], labels) for items, labels in columns]
        if min(len(items) for items, _ in alike) < 1 or max(len(a) for a, _ in alike) < per_class:
            raise ConfigError(
                f"there are not {per_class} training pairs of class {data.classes[number]!r}",
                where=data.name,
            )
        chosen.append(class_pairs(alike, per_class, [seed, number]))
    paired = np.concatenate(chosen)
    parts = [paired]
    for m, (items, _) in enumerate(columns):
        rest = np.setdiff1d(items, paired[:, m])
        alone = np.full((len(rest), len(columns)), -1, np.int64)
        alone[:, m] = rest
        parts.append(alone)
    note = f"{per_class} pairs of each class, drawn with seed {seed}; other items stand alone."
    return replace(
        data,
        pairs={**data.pairs, "train": np.concatenate(parts)},
        pair_rule="few",
        hide_unpaired=True,
        notes=(*data.notes, note),
    )
