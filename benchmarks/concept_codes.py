"""Codes for ``concept_search.py``: of real embeddings, and more rows with the same statistics.

The embeddings are the four sets of short texts in the folder named by ``ISTHMUS_DATA``:
``embeddings/NAME.npy``, 127,166 rows; permuted with numpy's ``default_rng(0)``, the first 100,000
are passages, queries are taken from the rest. A TopK dictionary is trained on the passages, 3
passes. Elsewhere ``dictionary_data.vectors`` stands in.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, load_npz, save_npz

from dictionary_data import NAMES, Floats, vectors

CACHE = Path(__file__).resolve().parents[1] / ".bench" / "codes"
SETS = (*NAMES, "wikipedia_movies")
REAL = 100_000
QUERIES = 2000
SPREAD, REPLACED, JITTER = 0.2, 1 / 8, 0.02


@dataclass(frozen=True, eq=False)
class Case:
    """Passages and queries, as vectors and as codes."""

    passages: Floats
    """Unit vectors (R, D)."""
    codes: csr_array
    """Their codes (R, N), float32."""
    queries: Floats
    """Unit vectors (Q, D)."""
    query_codes: csr_array
    """Their codes (Q, N)."""
    what: str
    """What they are."""


def case(rows: int, latents: int, k: int) -> Case:
    """Return ``rows`` passages: the first of the real ones, or those and resampled ones."""
    found, what = _embeddings()
    codes = _codes(found, latents, k, what)
    passages, queries = found[:REAL], found[REAL : REAL + QUERIES]
    kept, asked = codes[:REAL], codes[REAL : REAL + QUERIES]
    if rows > REAL:
        kept, passages = _resampled(kept, passages, rows)
        what += ", resampled with noise"
    return Case(passages[:rows], kept[:rows], queries, asked, what)


def _embeddings() -> tuple[Floats, str]:
    """Return all vectors in random order, and what they are."""
    folder = Path(os.environ.get("ISTHMUS_DATA", "")) / "embeddings"
    if not all((folder / f"{name}.npy").is_file() for name in SETS):
        return vectors(384, REAL + QUERIES)
    parts = [np.load(folder / f"{name}.npy", allow_pickle=False) for name in SETS]
    rows = np.concatenate(parts).astype(np.float32)
    return rows[np.random.default_rng(0).permutation(len(rows))], "MiniLM embeddings"


def _codes(rows: Floats, latents: int, k: int, what: str) -> csr_array:
    """Return the codes of all rows; the dictionary is trained once and its codes are kept."""
    path = CACHE / f"{what.replace(' ', '-')}-{len(rows)}-{latents}-k{k}.npz"
    if not path.exists():
        from isthmus.bottlenecks import TopK
        from isthmus.data.streams import VectorStream, open_vectors
        from isthmus.models.dictionary import SparseDictionary
        from isthmus.training.dictionary import DictionaryTraining, fit_dictionary

        model = SparseDictionary(rows.shape[1], TopK(latents, k=k), seed=0)
        stream = VectorStream(open_vectors(rows[:REAL]), 1024, 0)
        fit_dictionary(model, stream, DictionaryTraining(epochs=3, seed=0, precision="fast"))
        path.parent.mkdir(parents=True, exist_ok=True)
        save_npz(path, csr_array(model.encode(rows)), compressed=False)
    return csr_array(load_npz(path))


def _resampled(codes: csr_array, passages: Floats, rows: int) -> tuple[csr_array, Floats]:
    """Draw real rows again: values spread, an eighth of the latents replaced, vectors jittered.

    A replaced latent is drawn as often as it is used; where it is there already, the row has one
    latent less. So use, sizes and lengths stay those of real codes, co-firing nearly so.
    """
    rng = np.random.default_rng(1)
    picked = rng.integers(0, codes.shape[0], rows)
    found = codes[picked]
    found.data *= np.exp(SPREAD * rng.standard_normal(found.nnz, np.float32))
    swapped = np.flatnonzero(rng.random(found.nnz, np.float32) < REPLACED)
    found.indices[swapped] = codes.indices[rng.integers(0, codes.nnz, len(swapped))]
    found.has_canonical_format = False
    found.sum_duplicates()
    noise: NDArray[np.float32] = rng.standard_normal(passages.shape, np.float32) * JITTER
    dense = np.empty((rows, passages.shape[1]), np.float32)
    for start in range(0, rows, len(noise)):
        part = picked[start : start + len(noise)]
        dense[start : start + len(part)] = (
            passages[part] + np.roll(noise, start // 7, 0)[: len(part)]
        )
    dense /= np.linalg.norm(dense, axis=1, keepdims=True)
    return found, dense
