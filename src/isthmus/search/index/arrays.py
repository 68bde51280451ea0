"""Arrays in the folders of an index: written whole, and mapped after a look at what they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isthmus.data.read_npy import map_npy
from isthmus.errors import IsthmusError, RunError
from isthmus.files import written_whole

__all__ = ["mapped_array", "write_array"]


def write_array(path: Path, values: NDArray[Any]) -> None:
    """Write an array as .npy, whole or not at all."""
    with written_whole(path) as temporary, temporary.open("wb") as handle:
        np.save(handle, values, allow_pickle=False)


def mapped_array(path: Path, kind: type[np.generic], shape: tuple[int | None, ...]) -> Any:
    """Map an array of this kind and shape (None: any length) into memory.

    Raises
    ------
    RunError
        If the file is missing or damaged, or holds another array.
    """
    try:
        values = map_npy(path)
    except IsthmusError as error:
        raise _damaged(path, error.why or error.what) from error
    except OSError as error:
        raise _damaged(path, error.strerror or str(error)) from error
    fits = len(values.shape) == len(shape) and all(
        want is None or have == want for have, want in zip(values.shape, shape, strict=True)
    )
    if values.dtype != np.dtype(kind) or not fits:
        raise _damaged(path, f"it holds {values.dtype} of shape {values.shape}")
    return values


def _damaged(path: Path, why: str) -> RunError:
    return RunError("the index is damaged", where=str(path), why=why, fix="make the index again")
