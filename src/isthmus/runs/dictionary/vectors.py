"""What counts as vectors for a sparse dictionary, and how they are opened: streamed, or loaded."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isthmus.data import CATALOGUE, Dataset, Samples, load
from isthmus.data.keys import chosen_keys
from isthmus.data.loading import READERS
from isthmus.data.read_npy import map_npy
from isthmus.data.read_safetensors import entries_of
from isthmus.data.streams import VectorSource, open_vectors
from isthmus.data.streams.memory import ChosenRows
from isthmus.data.streams.source import bad_value, rows_with_bad_values
from isthmus.errors import ConfigError, DataError
from isthmus.runs.identity import fingerprint

__all__ = [
    "Vectors",
    "blocks_of",
    "first_rows",
    "is_source",
    "opened_for",
    "some_rows",
    "vectors_of",
]

Array = NDArray[Any]

_SHARDS = frozenset({".npy", ".safetensors", ".parquet", ".pq"})
_STREAMED = frozenset({"key", "drop_bad_rows", "seed", "name"})
"""Options of loading that mean something for vectors that are streamed."""
_ROWS = 8192


@dataclass(frozen=True, eq=False)
class Vectors:
    """Vectors, in the splits that they came with or in none."""

    name: str
    """The name shown in tables."""
    train: VectorSource
    """The training rows; all rows where the data bring no splits."""
    validation: VectorSource | None = None
    """The rows for validation, where the data bring some."""
    test: VectorSource | None = None
    """The test rows, where the data bring some."""
    source: str | None = None
    """What was opened, a name or a path in full; None for what was in memory."""
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """How it was opened."""
    dataset: Dataset | None = None
    """The data set that they are splits of, where they were loaded as one."""
    notes: tuple[str, ...] = ()
    """What was said while loading."""

    @property
    def dim(self) -> int:
        """Values of a vector."""
        return self.train.dim

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one sample."""
        return (self.dim,)

    def fingerprint(self) -> str:
        """Return a digest of a few rows of each split."""
        if self.dataset is not None:
            return fingerprint(self.dataset)
        parts = (self.train, self.validation, self.test)
        return "-".join(part.fingerprint() for part in parts if part is not None)

    @property
    def own_splits(self) -> bool:
        """Whether the data came in splits."""
        return self.validation is not None or self.test is not None

    def whole(self) -> Iterator[VectorSource]:
        """Yield all rows of all splits, in the order in which they are stored where possible."""
        splits = [part for part in (self.train, self.validation, self.test) if part is not None]
        bases = {id(part.base) for part in splits if isinstance(part, ChosenRows)}
        if len(bases) == 1 and all(isinstance(part, ChosenRows) for part in splits):
            chosen = [part for part in splits if isinstance(part, ChosenRows)]
            rows = np.sort(np.concatenate([part.chosen for part in chosen]))
            yield ChosenRows(chosen[0].base, rows)
            return
        yield from splits


def is_source(data: object) -> bool:
    """Say whether something is a source of vectors already."""
    return all(hasattr(data, name) for name in ("read", "take", "dim", "rows", "fingerprint"))


def vectors_of(
    data: object, options: Mapping[str, Any] | None = None, *, any_kind: bool = False
) -> Vectors | None:
    """Open vectors; None where the data are something else, such as images.

    Parameters
    ----------
    data
        An array or tensor (N, D), a 2-D .npy file, a .safetensors or .parquet file, a folder of
        shards of these, a list of such, a source of vectors; or anything that ``isthmus.load``
        makes a data set of vectors of.
    options
        Options of ``isthmus.load``. Where ``validation`` or ``test`` is among them, the data are
        loaded as a data set and its splits are kept; else they are streamed.
    any_kind
        Take tables and images too: each sample's values, one after the other.

    Raises
    ------
    DataError, MissingDataError
        If the data are broken or not there.
    ConfigError
        If an option makes no sense for these data.
    """
    if isinstance(data, Vectors):
        return data
    given = {k: v for k, v in dict(options or {}).items() if v is not None}
    given.pop("progress", None)
    kept = {k: v for k, v in given.items() if v is not False}
    streamed = _streamed(data, kept) if set(kept) <= _STREAMED | {"limit"} else None
    if streamed is not None:
        return streamed
    if not _may_hold_vectors(data, any_kind):
        return None
    dataset = load(data, **dict(options or {}))
    if dataset.kind != "vector" and not any_kind:
        return None
    return _from_dataset(dataset, data, kept)


def opened_for(data: object, options: Mapping[str, Any], dim: int) -> Vectors:
    """Open vectors, whatever they are, for a dictionary that takes ``dim`` values.

    Raises
    ------
    ConfigError
        If they have another width.
    """
    found = vectors_of(data, options, any_kind=True)
    if found is None:  # pragma: no cover - with any kind, what is loaded is opened
        raise DataError("these data can't be read as vectors")
    if found.dim != dim:
        raise ConfigError(
            f"the vectors have {found.dim} values, the dictionary takes {dim}",
            where=found.train.describe(),
            fix="give vectors of the model that the dictionary was trained on",
        )
    return found


def blocks_of(
    source: VectorSource, *, drop_bad: bool = False, rows: int = _ROWS
) -> Iterator[Array]:
    """Yield all rows in order, float32, a few thousand at a time.

    Raises
    ------
    DataError
        If a row holds a NaN or infinite value, which ``drop_bad`` leaves out instead.
    """
    for start in range(0, source.rows, rows):
        values = source.read(start, min(start + rows, source.rows))
        bad = rows_with_bad_values(values)
        if len(bad) and not drop_bad:
            raise bad_value(source, start + int(bad[0]), values[bad[0]])
        yield np.delete(values, bad, axis=0) if len(bad) else values


def first_rows(sources: Iterable[VectorSource], count: int, *, drop_bad: bool = False) -> Array:
    """Read the first rows of several sources, all for a count of 0, (n, D) float32."""
    parts, left = [], count or 1 << 62
    for source in sources:
        for block in blocks_of(source, drop_bad=drop_bad):
            parts.append(block[:left])
            left -= len(parts[-1])
            if left <= 0:
                return np.concatenate(parts)
    return np.concatenate(parts)


def some_rows(source: VectorSource, most: int, *, drop_bad: bool = False) -> Array:
    """Read at most so many rows, evenly spread, (n, D) float32; see :func:`blocks_of`."""
    if source.rows > most:
        numbers = np.linspace(0, source.rows - 1, most).astype(np.int64)
        source = ChosenRows(source, numbers)
    parts = list(blocks_of(source, drop_bad=drop_bad))
    return np.concatenate([np.empty((0, source.dim), np.float32), *parts])


# --- streamed -------------------------------------------------------------------------------------


def _streamed(data: object, options: Mapping[str, Any]) -> Vectors | None:
    """Open what needs no loading; None where it may be something else."""
    key = options.get("key")
    name = options.get("name")
    if isinstance(data, str | PathLike):
        path = Path(data).expanduser()
        if any(entry.name == str(data) for entry in CATALOGUE) or not _holds_vectors(path, key):
            return None
        source = str(path.resolve())
        return Vectors(name or path.stem, open_vectors(path, key=key), None, None, source, options)
    if is_source(data) or _is_matrix(data) or _is_list(data):
        if key is not None and not isinstance(data, list):
            raise ConfigError("arrays have no names to choose from", where=f"key={key!r}")
        return Vectors(name or "vectors", open_vectors(data, key=key), options=options)
    return None


def _holds_vectors(path: Path, key: str | None) -> bool:
    """Say whether a file or folder is one that is streamed; damaged ones are left to others."""
    if path.is_dir() and not any(reader.accepts(path) for reader in READERS):
        return any(p.suffix.lower() in _SHARDS and p.name[0] != "." for p in path.iterdir())
    find = _FILES.get(path.suffix.lower())
    return find is not None and path.is_file() and find(path, key)


def _npy(path: Path, key: str | None) -> bool:
    return map_npy(path).ndim == 2


def _safetensors(path: Path, key: str | None) -> bool:
    if key is not None:
        return True
    try:
        shapes = {name: tensor.shape for name, tensor in entries_of(path).items()}
        if len(chosen_keys(shapes, None, str(path))) > 1:
            return False  # splits, which are loaded
        open_vectors(path)
    except DataError:
        return False  # other arrays, or damaged, as is told where it is loaded
    return True


def _parquet(path: Path, key: str | None) -> bool:
    return True


_FILES: Mapping[str, Callable[[Path, str | None], bool]] = {
    ".npy": _npy,
    ".safetensors": _safetensors,
    ".parquet": _parquet,
    ".pq": _parquet,
}


def _is_matrix(data: object) -> bool:
    torch = sys.modules.get("torch")  # without it there is no tensor to recognise
    kinds = (np.ndarray,) if torch is None else (np.ndarray, torch.Tensor)
    return isinstance(data, kinds) and data.ndim == 2


def _is_list(data: object) -> bool:
    if not isinstance(data, list) or not data:
        return False
    return all(isinstance(part, str | PathLike) or _is_matrix(part) for part in data)


# --- loaded ---------------------------------------------------------------------------------------


def _may_hold_vectors(data: object, any_kind: bool) -> bool:
    """Say whether it is worth loading data to find out what they are."""
    if any_kind or not isinstance(data, str | PathLike):
        return True
    for entry in CATALOGUE:
        if entry.name == str(data):
            return any(file.name.endswith(".npy") for file in entry.files)
    path = Path(data).expanduser()
    if path.suffix.lower() == ".npy" and path.is_file():
        return map_npy(path).ndim == 2
    return path.suffix.lower() in {".npz", ".safetensors", ".parquet", ".pq"}


def _from_dataset(dataset: Dataset, data: object, options: Mapping[str, Any]) -> Vectors:
    path = isinstance(data, str | PathLike)
    place = Path(str(data)).expanduser()
    parts = {name: open_vectors(_flat(dataset[name], dataset.name, name)) for name in dataset}
    flattened = len(dataset.shape) > 1
    notes = dataset.notes
    if flattened:
        shape = " x ".join(map(str, dataset.shape))
        notes = (*notes, f"Each {dataset.kind} of {shape} is taken as one vector of its values.")
    return Vectors(
        dataset.name,
        parts["train"],
        parts.get("validation"),
        parts.get("test"),
        (str(place.resolve()) if place.exists() else str(data)) if path else None,
        options if path else {},
        dataset,
        notes,
    )


def _flat(samples: Samples, name: str, split: str) -> Samples:
    """Return a split whose samples have one axis; a copy only where the memory's order asks it."""
    if samples.values.ndim == 2 or samples.values.flags.c_contiguous:
        return samples
    values = np.ascontiguousarray(samples.values)
    return dataclasses.replace(samples, values=values)
