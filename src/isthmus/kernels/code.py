"""A batch of sparse codes, row by row: what the kernels take and give."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from scipy.sparse import csr_array

__all__ = ["SparseCode"]

Ints = NDArray[np.integer]
Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class SparseCode:
    """Active latents of B samples in compressed rows; latents of a row stand in any order."""

    indptr: Ints
    """Where each sample's latents begin and end in the other two, (B + 1,), int64."""
    indices: Ints
    """Numbers of the active latents, (nnz,), int32."""
    values: Floats
    """Their activations, (nnz,), float32."""
    latents: int
    """Number of latents N, active or not."""

    def __len__(self) -> int:
        return len(self.indptr) - 1

    @classmethod
    def of(cls, codes: csr_array) -> SparseCode:
        """Take the arrays of a scipy CSR array, without a copy where the types fit.

        Examples
        --------
        >>> from scipy.sparse import csr_array
        >>> SparseCode.of(csr_array(np.eye(3, dtype=np.float32))).indices
        array([0, 1, 2], dtype=int32)
        """
        return cls(
            codes.indptr.astype(np.int64, copy=False),
            codes.indices.astype(np.int32, copy=False),
            codes.data.astype(np.float32, copy=False),
            codes.shape[1],
        )

    @classmethod
    def fixed(cls, indices_BK: Ints, values_BK: Floats, latents: int) -> SparseCode:
        """Make a code from K latents a row."""
        rows, width = indices_BK.shape
        indptr = np.arange(0, rows * width + 1, max(width, 1), dtype=np.int64)[: rows + 1]
        return cls(indptr, indices_BK.reshape(-1), values_BK.reshape(-1), latents)

    @property
    def rows(self) -> Ints:
        """The sample of each entry, (nnz,), int64."""
        return np.repeat(np.arange(len(self)), np.diff(self.indptr))

    def csr(self) -> csr_array:
        """Return the code as a scipy CSR array (B, N): zeros left out, latents in order."""
        from scipy.sparse import csr_array

        codes = csr_array(
            (self.values.copy(), self.indices.copy(), self.indptr.copy()),
            shape=(len(self), self.latents),
        )
        codes.eliminate_zeros()
        codes.sort_indices()
        return codes

    def dense(self) -> Floats:
        """Return the code as an array (B, N), float32.

        Examples
        --------
        >>> two = np.array([[1, 0]], dtype=np.int32), np.array([[0.5, 2.0]], dtype=np.float32)
        >>> SparseCode.fixed(*two, latents=3).dense()
        array([[2. , 0.5, 0. ]], dtype=float32)
        """
        out = np.zeros((len(self), self.latents), dtype=np.float32)
        out[self.rows, self.indices] = self.values
        return out
