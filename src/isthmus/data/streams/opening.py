"""`open_vectors`: from anything that holds vectors to a source."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from isthmus.data.dataset import Dataset, Samples
from isthmus.data.named_sets import vectors_called
from isthmus.data.streams.files import open_memmap, open_npy, open_safetensors, unreadable
from isthmus.data.streams.memory import ChosenRows, from_array, from_tensor
from isthmus.data.streams.parquet import open_parquet
from isthmus.data.streams.shards import Shards
from isthmus.data.streams.source import VectorSource
from isthmus.errors import ConfigError, DataError, MissingDataError

__all__ = ["open_vectors"]

Opener = Callable[[Path, str | None], VectorSource]


def _open_npy(path: Path, key: str | None) -> VectorSource:
    if key is not None:
        raise ConfigError("a .npy file has no names to choose from", where=f"{path}, key={key!r}")
    return open_npy(path)


_OPENERS: Mapping[str, Opener] = MappingProxyType(
    {
        ".npy": _open_npy,
        ".safetensors": open_safetensors,
        ".parquet": open_parquet,
        ".pq": open_parquet,
    }
)
_KNOWN = ".npy, .safetensors and .parquet"


def open_vectors(data: Any, *, key: str | None = None, split: str = "train") -> VectorSource:
    """Open vectors for streaming; no more than headers is read.

    Parameters
    ----------
    data
        A named set of vectors, such as ``embeddings/clinc150``; an array or torch tensor of
        shape (N, D); a path to a .npy, .safetensors or .parquet file, or to a folder of shards
        of one of these kinds, which are taken in the order of their names; a list of any of
        these; :class:`~isthmus.data.Samples`, or a split of a :class:`~isthmus.data.Dataset`; or
        a source, which is returned as it is.
    key
        The tensor of a safetensors file, or the column of vectors of a Parquet file. None: the
        only one there is; for Parquet without any, all columns of numbers.
    split
        The split of a data set.

    Returns
    -------
    VectorSource
        With at least one row. Files are not mapped into memory but read, so that one that is
        cut short meanwhile gives an error and does not kill the process.

    Raises
    ------
    DataError
        If the data are broken, empty, of another shape, or of no real type.
    MissingDataError
        If there is no such file or folder.
    ConfigError
        If ``key`` makes no sense for this kind of data.

    Examples
    --------
    >>> source = open_vectors(np.arange(6).reshape(3, 2))
    >>> source.rows, source.dim, source.read(1, 3).tolist()
    (3, 2, [[2.0, 3.0], [4.0, 5.0]])
    """
    if isinstance(data, str | Path):
        named = vectors_called(data) if isinstance(data, str) else None
        source = _from_path(named or Path(data).expanduser(), key)
    elif isinstance(data, list | tuple):
        source = Shards([open_vectors(part, key=key) for part in data], "the list")
    elif key is not None:
        raise ConfigError(
            f"a {type(data).__name__} has no names to choose from", where=f"key={key!r}"
        )
    else:
        source = _from_object(data, split)
    if source.rows == 0:
        raise DataError("there are no vectors", where=source.describe())
    return source


def _from_object(data: Any, split: str) -> VectorSource:
    """Open what is in memory, or a split."""
    torch = sys.modules.get("torch")  # without it there is no tensor to recognise
    if isinstance(data, Dataset):
        return _from_samples(data[split], f"{data.name}, {split}")
    if isinstance(data, Samples):
        return _from_samples(data, "the samples")
    if torch is not None and isinstance(data, torch.Tensor):
        return from_tensor(data)
    if isinstance(data, np.ndarray):
        return _from_ndarray(data, "the array")
    if hasattr(data, "read") and hasattr(data, "take") and hasattr(data, "dim"):
        return data  # type: ignore[no-any-return]
    raise DataError(
        f"a {type(data).__name__} can't be read as vectors",
        fix=f"give an array, a tensor, a path to a {_KNOWN} file or a folder of these, or a list",
    )


def _from_ndarray(values: Any, name: str) -> VectorSource:
    behind = open_memmap(values) if isinstance(values, np.memmap) else None
    return from_array(values, name) if behind is None else behind


def _from_samples(samples: Samples, name: str) -> VectorSource:
    """Wrap a split; images are flattened where that needs no copy."""
    values = samples.values
    if values.ndim > 2 and values.flags.c_contiguous:
        values = values.reshape(len(values), -1)
    base = _from_ndarray(values, name)
    return base if samples.rows is None else ChosenRows(base, samples.rows)


def _from_path(path: Path, key: str | None) -> VectorSource:
    if path.is_dir():
        return _from_folder(path, key)
    if not path.exists():
        raise MissingDataError("there is no such file or folder", where=str(path))
    opener = _OPENERS.get(path.suffix.lower())
    if opener is None or not path.is_file():
        raise DataError(
            "this kind of file can't be read as vectors",
            where=str(path),
            why=f"known are {_KNOWN}; files that hold pickles, such as .pt, are never opened",
            fix="convert it, for example to .npy",
        )
    try:
        return opener(path, key)
    except OSError as error:
        raise unreadable(path, error) from error


def _from_folder(folder: Path, key: str | None) -> VectorSource:
    """Open the shards of a folder in the order of their names; hidden files are passed over."""
    try:
        files = sorted(path for path in folder.iterdir() if path.name[0] != ".")
    except OSError as error:
        raise unreadable(folder, error) from error
    shards = [path for path in files if path.suffix.lower() in _OPENERS and path.is_file()]
    if not shards:
        raise DataError(
            "the folder holds no shards of vectors", where=str(folder), why=f"known are {_KNOWN}"
        )
    openers = {_OPENERS[path.suffix.lower()] for path in shards}
    if len(openers) > 1:
        kinds = sorted({path.suffix.lower() for path in shards})
        raise DataError(
            "the folder mixes kinds of shards",
            where=str(folder),
            why=f"it holds {' and '.join(kinds)} files",
            fix="keep one kind, or give the files as a list",
        )
    return Shards([_from_path(path, key) for path in shards], str(folder))
