"""`isthmus encode` for several modalities: shared and private codes of items and of rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from isthmus.errors import ConfigError
from isthmus.files import written_whole

if TYPE_CHECKING:
    from isthmus.data.multimodal import MultimodalData
    from isthmus.runs.multimodal import MultimodalRun

__all__ = ["check_ending", "coded", "write_arrays"]

Arrays = dict[str, np.ndarray[Any, Any]]


def check_ending(out: Path) -> None:
    """Refuse a file that can't hold several arrays.

    Raises
    ------
    ConfigError
        If its ending is another than .npz and .safetensors.
    """
    if out.suffix.lower() not in _WRITERS:
        raise ConfigError(
            f"the codes of several modalities can't be written as {out.suffix or 'such a file'!r}",
            where=str(out),
            why="they are several arrays: shared and private codes of each modality",
            fix=f"end its name in {' or '.join(_WRITERS)}",
        )


def coded(run: MultimodalRun, data: MultimodalData, split: str | None) -> Arrays:
    """Return the codes of every item by its modality alone, and of every row of the tables.

    Parameters
    ----------
    split
        Only train, validation or test; None: everything.

    Returns
    -------
    dict
        ``MODALITY/shared`` (n, Z) and, where the model has such, ``MODALITY/private`` (n, W),
        float32; ``MODALITY/item`` its number, ``MODALITY/label`` (-1: unknown) and
        ``MODALITY/split`` (0 train, 1 validation, 2 test). Of rows ``row/shared`` (the joint
        code of what is there), ``row/items`` (a column a modality, -1: missing), ``row/label``
        and ``row/split``; where training rows are drawn anew each epoch, of the other tables.
    """
    found: Arrays = {}
    for name, modality in data.modalities.items():
        rows = np.arange(len(modality)) if split is None else modality.rows(split)
        codes = run.model.encode({name: modality.items[rows]})
        found[f"{name}/shared"] = codes.shared.cpu().numpy()
        own = codes.private.get(name)
        if own is not None and own.shape[1]:
            found[f"{name}/private"] = own.cpu().numpy()
        found[f"{name}/item"] = rows.astype(np.int64)
        found[f"{name}/label"] = modality.labels[rows]
        found[f"{name}/split"] = modality.split[rows]
    return found | (_rows(run, data, split) if len(data.names) > 1 else {})


def _rows(run: MultimodalRun, data: MultimodalData, split: str | None) -> Arrays:
    """Return the joint codes of the rows of the tables."""
    from isthmus.data.dataset import SPLITS

    parts = [
        (number, data.pairs[name])
        for number, name in enumerate(SPLITS)
        if name in data.pairs
        and split in (None, name)
        and not (name == "train" and data.pair_rule == "class")
    ]
    if not parts:
        return {}
    table = np.concatenate([rows for _, rows in parts])
    shared = []
    for start in range(0, len(table), 1024):
        batch = data.batch(table[start : start + 1024])
        shared.append(run.model.encode(batch.items, batch.mask).shared.cpu().numpy())
    width = run.model.shared
    return {
        "row/shared": np.concatenate([np.empty((0, width), np.float32), *shared]),
        "row/items": table,
        "row/label": data.row_labels(table),
        "row/split": np.concatenate([np.full(len(rows), i, np.uint8) for i, rows in parts]),
    }


def write_arrays(out: Path, arrays: Arrays) -> None:
    """Write arrays by name, whole or not at all."""
    _WRITERS[out.suffix.lower()](out, arrays)


def _npz(out: Path, arrays: Arrays) -> None:
    with written_whole(out) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)


def _safetensors(out: Path, arrays: Arrays) -> None:
    from safetensors.numpy import save

    plain = {name: np.ascontiguousarray(values) for name, values in arrays.items()}
    with written_whole(out) as temporary:
        temporary.write_bytes(save(plain))


_WRITERS: Mapping[str, Callable[[Path, Arrays], None]] = MappingProxyType(
    {".npz": _npz, ".safetensors": _safetensors}
)
