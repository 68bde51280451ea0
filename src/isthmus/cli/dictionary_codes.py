"""Files of a dictionary's codes, sparse where the form can be, with memory flat."""

from __future__ import annotations

import json
import shutil
import struct
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from isthmus.cli.code_files import WRITERS, ending_of
from isthmus.errors import ConfigError
from isthmus.files import written_whole
from isthmus.runs.dictionary.coders import Refined
from isthmus.runs.dictionary.vectors import blocks_of

if TYPE_CHECKING:
    from isthmus.data.streams import VectorSource
    from isthmus.kernels.pursuit import Pursuit
    from isthmus.models.dictionary import SparseDictionary

__all__ = ["SPARSE", "DictionaryCodes", "write_codes"]


class DictionaryCodes:
    """Codes of vectors, made a few thousand at a time.

    Parameters
    ----------
    model
        What encodes.
    sources
        The vectors, in order.
    k, refine
        As of ``SparseDictionary.encode``.
    drop_bad
        Leave out rows with NaN or infinite values.
    """

    def __init__(
        self,
        model: SparseDictionary,
        sources: Sequence[VectorSource],
        *,
        k: int | None = None,
        refine: Pursuit | None = None,
        drop_bad: bool = False,
    ) -> None:
        self.model, self.sources, self.drop_bad = model, list(sources), drop_bad
        self.k, self.refine = k, refine

    def __len__(self) -> int:
        return sum(source.rows for source in self.sources)

    @property
    def latent(self) -> int:
        """Width of a code."""
        return self.model.latent

    @property
    def is_dense(self) -> bool:
        """Whether the codes have no zeros to leave out."""
        return self.model.objective.always_dense

    def encoded(self) -> Iterator[Any]:
        """Yield codes in order as the dictionary makes them: CSR arrays, or arrays."""
        refined = None if self.refine is None else Refined(self.model, self.refine)
        for source in self.sources:
            for block in blocks_of(source, drop_bad=self.drop_bad):
                if refined is not None:
                    yield refined.encode(block).csr()
                else:
                    yield self.model.encode(block, k=self.k)

    def batches(self) -> Iterator[np.ndarray]:
        """Yield the codes in order, float32, (rows, latents), zeros written out."""
        for codes in self.encoded():
            yield codes if self.is_dense else codes.toarray()

    def all(self) -> np.ndarray:
        """Return all codes at once, zeros written out."""
        return np.concatenate([np.empty((0, self.latent), np.float32), *self.batches()])

    def labels(self) -> None:
        """Return None: vectors that are streamed have no labels."""


@dataclass(frozen=True, eq=False)
class _Parts:
    """A CSR array whose long parts lie in files."""

    indptr: np.ndarray
    """Where each row begins, (rows + 1,) int64."""
    indices: IO[bytes]
    """Numbers of the active latents, int32."""
    data: IO[bytes]
    """Their activations, float32."""
    shape: tuple[int, int]
    """Rows and latents."""


def write_codes(path: Path, codes: DictionaryCodes, *, sparse: bool) -> bool:
    """Write codes in the form that the file's ending says; return whether they stayed sparse.

    Parameters
    ----------
    sparse
        Whether a form that writes zeros out is refused.

    Raises
    ------
    ConfigError
        If the ending is unknown, or the code can't be kept sparse though it should.
    """
    ending = ending_of(path)
    if sparse and (ending not in SPARSE or codes.is_dense):
        why = "" if ending in SPARSE else f"only {' and '.join(SPARSE)} files do"
        raise ConfigError(
            "these codes can't be kept sparse",
            where=str(path),
            why=why or "this dictionary's activations are never zero",
            fix="give --out NAME.npz" if why else "leave --sparse off",
        )
    if ending not in SPARSE or codes.is_dense:
        WRITERS[ending](path, codes)
        return False
    # the temporary files have no name: nothing is left of them whatever happens
    with (
        written_whole(path) as temporary,
        tempfile.TemporaryFile(dir=temporary.parent) as indices,
        tempfile.TemporaryFile(dir=temporary.parent) as data,
    ):
        counts = [np.zeros(1, np.int64)]
        for code in codes.encoded():
            counts.append(np.diff(code.indptr).astype(np.int64))
            indices.write(np.ascontiguousarray(code.indices, "<i4").tobytes())
            data.write(np.ascontiguousarray(code.data, "<f4").tobytes())
        indptr = np.cumsum(np.concatenate(counts))
        SPARSE[ending](temporary, _Parts(indptr, indices, data, (len(indptr) - 1, codes.latent)))
    return True


def _npz(path: Path, parts: _Parts) -> None:
    """Write what ``scipy.sparse.load_npz`` reads: a zip of .npy files, uncompressed."""
    count = int(parts.indptr[-1])
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
        small = {"format": np.array(b"csr"), "_is_array": np.array(True)}
        small |= {"shape": np.array(parts.shape), "indptr": parts.indptr}
        for name, values in small.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, values, allow_pickle=False)
        for name, file, kind in (("indices", parts.indices, "<i4"), ("data", parts.data, "<f4")):
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                head = {"descr": kind, "fortran_order": False, "shape": (count,)}
                np.lib.format.write_array_header_1_0(member, head)
                file.seek(0)
                shutil.copyfileobj(file, member, 1 << 20)


def _safetensors(path: Path, parts: _Parts) -> None:
    """Write the tensors ``shape``, ``indptr``, ``data`` and ``indices`` of a CSR array."""
    count = int(parts.indptr[-1])
    head: dict[str, Any] = {"__metadata__": {"format": "csr"}}
    sizes = {"shape": ("I64", 2, 8), "indptr": ("I64", len(parts.indptr), 8)}
    sizes |= {"data": ("F32", count, 4), "indices": ("I32", count, 4)}
    start = 0
    for name, (kind, length, width) in sizes.items():
        stop = start + length * width
        head[name] = {"dtype": kind, "shape": [length], "data_offsets": [start, stop]}
        start = stop
    text = json.dumps(head).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as out:
        out.write(struct.pack("<Q", len(text)) + text)
        out.write(np.array(parts.shape, "<i8").tobytes() + parts.indptr.astype("<i8").tobytes())
        for file in (parts.data, parts.indices):
            file.seek(0)
            shutil.copyfileobj(file, out, 1 << 20)


SPARSE: Mapping[str, Callable[[Path, _Parts], None]] = MappingProxyType(
    {".npz": _npz, ".safetensors": _safetensors}
)
"""The forms that keep codes sparse, and what writes each."""
