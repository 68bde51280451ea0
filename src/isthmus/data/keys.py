"""Which of several named arrays are samples, which are labels, and of which split."""

from __future__ import annotations

import re
from collections.abc import Mapping

from isthmus.data.options import SPLIT_WORDS, WHOLE
from isthmus.errors import DataError

__all__ = ["chosen_keys"]

_VALUES = frozenset(
    {"x", "data", "samples", "inputs", "images", "image", "features", "vectors", "embeddings"}
)
_LABELS = frozenset({"y", "label", "labels", "target", "targets", "class", "classes"})


def _role(name: str) -> tuple[str, bool] | None:
    """Return (split, whether labels) of a name such as ``x_train`` or ``test_labels``, or None."""
    words = [word for word in re.split(r"[_\-./ ]+", name.lower()) if word]
    splits = [SPLIT_WORDS[word] for word in words if word in SPLIT_WORDS]
    roles = [word in _LABELS for word in words if word in _VALUES or word in _LABELS]
    if len(splits) + len(roles) != len(words) or len(splits) > 1 or len(roles) > 1 or not words:
        return None
    return (splits[0] if splits else WHOLE, roles[0] if roles else False)


def chosen_keys(
    shapes: Mapping[str, tuple[int, ...]], key: str | None, where: str
) -> dict[str, tuple[str, str | None]]:
    """Decide which arrays to read.

    Known names are x or data or images or embeddings (and the like) for samples, y or labels or
    target for labels, with train, validation or test before or behind, as in Keras's ``x_train``.
    A file with one array of samples needs no name.

    Parameters
    ----------
    shapes
        The shape of each array by name.
    key
        The caller's choice of samples; its labels are found by name.
    where
        The file, for messages.

    Returns
    -------
    dict
        By split (or ``whole``): the key of the samples, and that of the labels or None.

    Raises
    ------
    DataError
        If the key is not there, or the names leave it open which array is meant.
    """
    listing = ", ".join(f"{name} {shape}" for name, shape in shapes.items()) or "no arrays"
    if key is not None and key not in shapes:
        raise DataError(
            f"there is no array {key!r} in the file", where=where, why=f"it holds {listing}"
        )
    roles = {name: role for name in shapes if (role := _role(name)) is not None}
    values = {name: split for name, (split, is_labels) in roles.items() if not is_labels}
    labels = {name: split for name, (split, is_labels) in roles.items() if is_labels}
    if key is not None:
        return {WHOLE: (key, _of_split(labels, values.get(key, WHOLE)))}
    if not values:  # an array of any name, if it is the only one that could be samples
        others = [name for name in shapes if len(shapes[name]) > 1 and name not in labels]
        values = dict.fromkeys(others or (shapes if len(shapes) == 1 else ()), WHOLE)
    splits = set(values.values())
    clear = len(splits) == len(values) and (splits == {WHOLE} or WHOLE not in splits)
    if not values or not clear or (len(splits) > 1 and "train" not in splits):
        raise DataError(
            "it is not clear which array of the file holds the samples",
            where=where,
            why=f"it holds {listing}",
            fix="choose one with key=..., or name them x_train, y_train, x_test, y_test",
        )
    chosen = {split: (name, _of_split(labels, split)) for name, split in values.items()}
    return {WHOLE: next(iter(chosen.values()))} if len(chosen) == 1 else chosen


def _of_split(labels: Mapping[str, str], split: str) -> str | None:
    """Return the one name that holds labels of a split, or None."""
    names = [name for name, of in labels.items() if of == split]
    return names[0] if len(names) == 1 else None
