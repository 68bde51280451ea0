"""What the tests of the postings share: toy codes, and a search that can only be right."""

import numpy as np
from scipy.sparse import csr_array, random_array


def toy(seed, rows, terms, density=0.2, distinct=0):
    """Random codes; with ``distinct``, integers up to it, which make exact ties."""
    rng = np.random.default_rng(seed)
    codes = csr_array(random_array((rows, terms), density=density, rng=rng, format="csr"))
    values = (
        rng.integers(1, distinct + 1, codes.nnz) if distinct else rng.exponential(size=codes.nnz)
    )
    codes.data = values.astype(np.float32)
    codes.sort_indices()
    codes.eliminate_zeros()
    return codes


def query(seed, terms, size, distinct=0):
    """Random terms in random order with weights of both signs, some of them 0."""
    rng = np.random.default_rng(seed)
    chosen = rng.permutation(terms)[:size]
    weights = (
        rng.integers(-distinct, distinct + 1, len(chosen))
        if distinct
        else (rng.standard_normal(len(chosen)) * (rng.random(len(chosen)) < 0.8))
    )
    return chosen, weights.astype(np.float64)


def oracle(
    codes, terms, weights, *, limit=10, allowed=None, scaling=None, norms=None, constant=0.0
):
    """Score every row in float64, term by term in rising order, and sort all of them."""
    columns = codes.astype(np.float64).tocsc()
    sums, shared = np.zeros(codes.shape[0]), np.zeros(codes.shape[0], bool)
    for place in np.argsort(terms):
        if weights[place] == 0:
            continue
        span = slice(*columns.indptr[terms[place] : terms[place] + 2])
        rows, values = columns.indices[span], columns.data[span]
        parts = weights[place] * values
        if norms is not None:
            parts = parts / (values + norms[rows].astype(np.float64))
        sums[rows] += parts
        shared[rows] = True
    sums = sums + constant
    if scaling is not None:
        sums = sums * scaling.astype(np.float64)
    found = np.flatnonzero(shared if allowed is None else shared & allowed)
    found = found[np.lexsort((found, -sums[found]))][:limit]
    return found, sums[found]


def same(found, wanted):
    """Hold hits against the oracle's, to the last bit."""
    np.testing.assert_array_equal(found[0], wanted[0])
    np.testing.assert_array_equal(found[1], wanted[1])
