"""Files of codes: one writer a form, each file written whole or not at all."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from isthmus.errors import ConfigError
from isthmus.files import written_whole

if TYPE_CHECKING:
    from isthmus.data import Samples
    from isthmus.models import Autoencoder

__all__ = ["WRITERS", "AnyCodes", "Codes", "Write", "ending_of", "writer_for"]

_ROWS = 8192


class Codes:
    """Codes of samples, made a few thousand at a time.

    Parameters
    ----------
    model
        What encodes.
    parts
        The samples, in order.
    """

    def __init__(self, model: Autoencoder, parts: list[Samples]) -> None:
        self.model, self.parts = model, parts

    def __len__(self) -> int:
        return sum(len(part) for part in self.parts)

    @property
    def latent(self) -> int:
        """Width of a code."""
        return self.model.latent

    def batches(self) -> Iterator[np.ndarray]:
        """Yield the codes in order, float32, (rows, latents)."""
        for part in self.parts:
            for start in range(0, len(part), _ROWS):
                raw = part.batch(slice(start, start + _ROWS))
                yield self.model.encode(raw).cpu().numpy()

    def all(self) -> np.ndarray:
        """Return all codes at once."""
        return np.concatenate([np.empty((0, self.latent), np.float32), *self.batches()])

    def labels(self) -> np.ndarray | None:
        """Return the class numbers of all samples, or None where one has none."""
        found = [part.label_array() for part in self.parts]
        known = [labels for labels in found if labels is not None]
        return np.concatenate(known) if known and len(known) == len(found) else None


class AnyCodes(Protocol):
    """Codes of samples, a few thousand at a time."""

    def __len__(self) -> int: ...

    @property
    def latent(self) -> int:
        """Width of a code."""

    def batches(self) -> Iterator[np.ndarray]:
        """Yield the codes in order, float32, (rows, latents)."""

    def all(self) -> np.ndarray:
        """Return all codes at once."""

    def labels(self) -> np.ndarray | None:
        """Return the class numbers of all samples, or None where one has none."""


Write = Callable[[Path, AnyCodes], None]


def writer_for(path: Path, model: Autoencoder, *, sparse: bool) -> Write:
    """Return what writes a file of that ending.

    Raises
    ------
    ConfigError
        If the ending is unknown, or the code can't be kept sparse.
    """
    ending = ending_of(path)
    if not sparse:
        return WRITERS[ending]
    if ending != ".npz":
        raise ConfigError(
            "only .npz files keep codes sparse", where=str(path), fix="give --out NAME.npz"
        )
    kind = type(model.bottleneck).__name__
    relu = getattr(model.bottleneck, "unit", "relu") == "relu"
    if kind not in _WITH_ZEROS or not relu:
        raise ConfigError(
            f"the code of a {kind} bottleneck has no true zeros to leave out",
            fix="leave --sparse off, or train sparse-l1, topk or batch-topk",
        )
    return _csr


def ending_of(path: Path) -> str:
    """Return the ending of a file that codes can be written into.

    Raises
    ------
    ConfigError
        If the ending is unknown.
    """
    ending = path.suffix.lower()
    if ending not in WRITERS:
        raise ConfigError(
            f"codes can't be written as {ending or 'a file without an ending'!r}",
            where=str(path),
            fix=f"end its name in one of: {', '.join(WRITERS)}",
        )
    return ending


_WITH_ZEROS = frozenset({"L1", "TopK", "BatchTopK"})


def _npy(path: Path, codes: AnyCodes) -> None:
    """Write an array (N, latents), float32, without holding it whole."""
    shape = (len(codes), codes.latent)
    with written_whole(path) as temporary, temporary.open("wb") as file:
        head = {"descr": "<f4", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, head)
        for batch in codes.batches():
            file.write(np.ascontiguousarray(batch, "<f4").tobytes())


def _npz(path: Path, codes: AnyCodes) -> None:
    """Write the arrays ``codes`` and, where there are any, ``labels``."""
    with written_whole(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **_arrays(codes))


def _csr(path: Path, codes: AnyCodes) -> None:
    """Write a SciPy CSR matrix, to be read by ``scipy.sparse.load_npz``."""
    from scipy import sparse

    parts = [sparse.csr_matrix(batch) for batch in codes.batches()]
    matrix = sparse.vstack(parts, format="csr") if parts else sparse.csr_matrix((0, codes.latent))
    with written_whole(path) as temporary, temporary.open("wb") as file:
        sparse.save_npz(file, matrix)


def _csv(path: Path, codes: AnyCodes) -> None:
    """Write a column a latent, and ``label``; numbers read back exactly."""
    import csv

    labels = codes.labels()
    names = [*_columns(codes), *(["label"] if labels is not None else [])]
    done = 0
    with (
        written_whole(path) as temporary,
        temporary.open("w", encoding="utf-8", newline="") as file,
    ):
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(names)
        for batch in codes.batches():
            for row in batch:
                tail = [] if labels is None else [int(labels[done])]
                writer.writerow([*(str(value) for value in row), *tail])
                done += 1


def _parquet(path: Path, codes: AnyCodes) -> None:
    """Write a column a latent, and ``label``."""
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise ConfigError(
            "Parquet files need pyarrow, which is not installed",
            fix="pip install 'isthmus[parquet]', or give --out NAME.npy",
        ) from error
    values, labels = codes.all(), codes.labels()
    columns: dict[str, Any] = {
        name: np.ascontiguousarray(values[:, i]) for i, name in enumerate(_columns(codes))
    }
    if labels is not None:
        columns["label"] = labels
    with written_whole(path) as temporary:
        parquet.write_table(pyarrow.table(columns), temporary)


def _safetensors(path: Path, codes: AnyCodes) -> None:
    """Write the tensors ``codes`` and, where there are any, ``labels``."""
    from safetensors.numpy import save

    with written_whole(path) as temporary:
        temporary.write_bytes(save(_arrays(codes)))


def _arrays(codes: AnyCodes) -> dict[str, Any]:
    labels = codes.labels()
    found = {"codes": codes.all()}
    return found if labels is None else found | {"labels": labels}


def _columns(codes: AnyCodes) -> list[str]:
    return [f"latent_{number}" for number in range(codes.latent)]


WRITERS: Mapping[str, Write] = MappingProxyType(
    {
        ".npy": _npy,
        ".npz": _npz,
        ".csv": _csv,
        ".parquet": _parquet,
        ".safetensors": _safetensors,
    }
)
"""What writes a file, by its ending; add a form here."""
