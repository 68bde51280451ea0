"""Sparse codes of any make in, one kind of CSR array out: the border of the dictionary metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from isthmus.errors import DataError
from isthmus.kernels.code import SparseCode
from isthmus.metrics.arrays import as_matrix

if TYPE_CHECKING:
    import torch
    from scipy.sparse import csr_array

    Codes: TypeAlias = SparseCode | csr_array | NDArray[Any] | torch.Tensor
else:
    Codes: TypeAlias = Any

__all__ = ["Codes", "as_csr", "column_sums", "is_sparse_tensor"]


def as_csr(codes: Codes, name: str = "the code", latents: int | None = None) -> csr_array:
    """Return codes (B, N) as a CSR array without duplicates and without stored zeros.

    A zero that is stored (a TopK pick that the ReLU cut to nothing, say) is no activation, so it
    must not count as one. What was given is never changed.

    Parameters
    ----------
    codes
        A `SparseCode`, any scipy sparse array or matrix, a sparse or dense tensor, or an array.
    name
        What to call it in errors.
    latents
        The N that is expected; None takes any.

    Raises
    ------
    DataError
        If the codes have no two axes, another width than expected, an index out of range or a
        value that is not finite.
    """
    found = _converted(codes, name)
    if latents is not None and found.shape[1] != latents:
        raise DataError(
            f"{name} has another width than expected",
            why=f"{found.shape[1]} instead of {latents} latents",
        )
    if not np.isfinite(found.data).all():
        entry = int(np.flatnonzero(~np.isfinite(found.data))[0])
        row = int(np.searchsorted(found.indptr, entry, side="right")) - 1
        raise DataError(
            f"{name} holds values that are not finite",
            where=f"first at index ({row}, {int(found.indices[entry])})",
            fix="look at the input for NaN, or train with a lower learning rate",
        )
    if not found.has_canonical_format or not found.data.all():
        found = found.copy()
        found.sum_duplicates()
        found.eliminate_zeros()
    return found


def column_sums(codes: csr_array, values: NDArray[Any] | None = None) -> NDArray[np.float64]:
    """Return the sum of ``values`` (nnz,), by default the codes' own, of each latent: (N,)."""
    weights = codes.data if values is None else values
    sums = np.bincount(codes.indices, weights, minlength=codes.shape[1])
    return np.asarray(sums, dtype=np.float64)


def is_sparse_tensor(values: Any) -> bool:
    """Say whether something is a torch tensor in a sparse layout."""
    return bool(getattr(values, "is_sparse_csr", False) or getattr(values, "is_sparse", False))


def _converted(codes: Any, name: str) -> csr_array:
    from scipy.sparse import csr_array, issparse

    try:
        if isinstance(codes, SparseCode):
            arrays = (codes.values, codes.indices, codes.indptr)
            found = csr_array(arrays, shape=(len(codes), codes.latents))
        elif issparse(codes):
            found = csr_array(codes)
        elif is_sparse_tensor(codes):
            rows = codes.detach().cpu().to_sparse_csr()
            parts = (rows.values(), rows.col_indices(), rows.crow_indices())
            found = csr_array(tuple(part.numpy() for part in parts), shape=tuple(rows.shape))
        else:
            if np.ndim(codes) != 2:
                raise ValueError(f"it has {np.ndim(codes)} axes instead of 2")
            return csr_array(as_matrix(codes, name))
        found.check_format(full_check=True)
    except DataError:
        raise
    except (ValueError, TypeError, RuntimeError) as error:
        raise DataError(f"{name} is no batch of codes (samples, latents)", why=str(error)) from None
    return found
