"""Triton kernels of the sparse step: one program a row (or a piece of one), no atomics.

Only what needs a loop over a row's own entries is here; sorting, matrix products and sums over
the batch are torch's. Offsets into tensors are int64, every access is masked, sums are float32 in
an order that depends on shapes alone: the same bytes come out every time.

The module imports without Triton, which is an optional extra; ``available`` says whether the
kernels can be launched. The environment variable TRITON_INTERPRET=1, set before the import, runs
them on the CPU, slowly, for tests.
"""
# A kernel is Triton's language and not Python: there is nothing for mypy to check, and a parameter
# has no annotation unless it is a constant of compilation.
# mypy: ignore-errors
# ruff: noqa: ANN001, ANN201, ANN202

from __future__ import annotations

from typing import Any

try:
    import triton
    import triton.language as tl
except ImportError:  # the extra is not installed
    triton = tl = None

__all__ = [
    "above_counts",
    "above_entries",
    "available",
    "dot_entries",
    "step_rows",
    "sum_rows",
    "sum_values",
    "top_entries",
]

available = triton is not None
"""Whether Triton is installed."""


def _kernel(function: Any) -> Any:
    return triton.jit(function) if available else function


@_kernel
def _keys(row_ptr, start, latents, BLOCK: tl.constexpr):
    """Load a piece of a row as integers in the order of its numbers, NaN the largest."""
    columns = start + tl.arange(0, BLOCK)
    inside = columns < latents
    numbers = tl.load(row_ptr + columns, mask=inside, other=0.0)
    bits = tl.where(numbers == 0, 0.0, numbers).to(tl.int32, bitcast=True)  # one zero, not two
    keys = bits ^ ((bits >> 31) & 0x7FFFFFFF)
    keys = tl.where(numbers != numbers, 0x7FFFFFFF, keys)
    return tl.where(inside, keys, -0x7FFFFFFF - 1)


@_kernel
def _reaching(row_ptr, latents, bound, BLOCK: tl.constexpr):
    """Count the entries of a row whose key is at least ``bound``."""
    count = tl.zeros((BLOCK,), tl.int32)
    for start in range(0, latents, BLOCK):
        count += (_keys(row_ptr, start, latents, BLOCK) >= bound).to(tl.int32)
    return tl.sum(count, 0)


@_kernel
def top_entries(
    pre_ptr,
    index_ptr,
    value_ptr,
    latents,
    k,
    BLOCK: tl.constexpr,
):
    """Write the k largest of a row in the order of latents, of equals the lowest, rectified.

    The k-th largest key is found bit by bit from the highest, by counting; the search ends early
    once exactly k entries reach the bound. Grid: (rows,).
    """
    row = tl.program_id(0).to(tl.int64)
    row_ptr = pre_ptr + row * latents
    found = _reaching(row_ptr, latents, 0, BLOCK)
    bound = tl.where(found >= k, 0, -0x7FFFFFFF - 1).to(tl.int32)
    bit = 30
    while (bit >= 0) & (found != k):
        higher = bound + (1 << bit)
        found = _reaching(row_ptr, latents, higher, BLOCK)
        bound = tl.where(found >= k, higher, bound)
        bit -= 1
    above = tl.zeros((BLOCK,), tl.int32)
    for start in range(0, latents, BLOCK):
        above += (_keys(row_ptr, start, latents, BLOCK) > bound).to(tl.int32)
    wanted = k - tl.sum(above, 0)  # of those that equal the bound
    equals = tl.zeros((), tl.int32)
    written = tl.zeros((), tl.int32)
    for start in range(0, latents, BLOCK):
        keys = _keys(row_ptr, start, latents, BLOCK)
        equal = (keys == bound).to(tl.int32)
        keep = (keys > bound) | ((equal > 0) & (equals + tl.cumsum(equal, 0) <= wanted))
        slots = row * k + written + tl.cumsum(keep.to(tl.int32), 0) - 1
        columns = start + tl.arange(0, BLOCK)
        numbers = tl.load(row_ptr + columns, mask=columns < latents, other=0.0)
        tl.store(index_ptr + slots, columns, mask=keep)
        tl.store(value_ptr + slots, tl.where(numbers <= 0, 0.0, numbers), mask=keep)
        equals += tl.sum(equal, 0)
        written += tl.sum(keep.to(tl.int32), 0)


@_kernel
def _is_above(
    row_ptr,
    threshold_ptr,
    start,
    latents,
    BLOCK: tl.constexpr,
):
    columns = start + tl.arange(0, BLOCK)
    inside = columns < latents
    numbers = tl.load(row_ptr + columns, mask=inside, other=0.0)
    bounds = tl.load(threshold_ptr + columns, mask=inside, other=0.0)
    return inside & (numbers > 0) & (numbers > bounds), numbers


@_kernel
def above_counts(
    pre_ptr,
    threshold_ptr,
    count_ptr,
    latents,
    BLOCK: tl.constexpr,
):
    """Count the positive entries of a row above the thresholds. Grid: (rows,)."""
    row = tl.program_id(0).to(tl.int64)
    count = tl.zeros((BLOCK,), tl.int32)
    for start in range(0, latents, BLOCK):
        keep, _ = _is_above(pre_ptr + row * latents, threshold_ptr, start, latents, BLOCK)
        count += keep.to(tl.int32)
    tl.store(count_ptr + row, tl.sum(count, 0).to(tl.int64))


@_kernel
def above_entries(
    pre_ptr,
    threshold_ptr,
    indptr_ptr,
    index_ptr,
    value_ptr,
    latents,
    BLOCK: tl.constexpr,
):
    """Write the entries that :func:`above_counts` counts, from ``indptr[row]``. Grid: (rows,)."""
    row = tl.program_id(0).to(tl.int64)
    slot = tl.load(indptr_ptr + row)
    for start in range(0, latents, BLOCK):
        keep, numbers = _is_above(pre_ptr + row * latents, threshold_ptr, start, latents, BLOCK)
        slots = slot + tl.cumsum(keep.to(tl.int32), 0) - 1
        columns = start + tl.arange(0, BLOCK)
        tl.store(index_ptr + slots, columns, mask=keep)
        tl.store(value_ptr + slots, numbers, mask=keep)
        slot += tl.sum(keep.to(tl.int32), 0)


@_kernel
def sum_rows(
    indptr_ptr,
    number_ptr,
    weight_ptr,
    rows_ptr,
    out_ptr,
    width,
    HITS: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Weighted sum of rows for each segment: ``out[s] = sum weight[h] * rows[number[h]]``.

    Over h from ``indptr[s]`` to ``indptr[s + 1]``. Decodes a code (segments are samples, rows the
    decoder's), and sums gradients (segments are latents, rows the samples'). Grid: (segments,
    pieces of the width).
    """
    segment = tl.program_id(0).to(tl.int64)
    columns = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = columns < width
    first = tl.load(indptr_ptr + segment)
    last = tl.load(indptr_ptr + segment + 1)
    total = tl.zeros((BLOCK,), tl.float32)
    for begin in range(first, last, HITS):
        hits = begin + tl.arange(0, HITS)
        live = hits < last
        number = tl.load(number_ptr + hits, mask=live, other=0).to(tl.int64)
        weight = tl.load(weight_ptr + hits, mask=live, other=0.0)
        places = number[:, None] * width + columns[None, :]
        rows = tl.load(rows_ptr + places, mask=live[:, None] & inside[None, :], other=0.0)
        total += tl.sum(weight[:, None] * rows, 0)
    tl.store(out_ptr + segment * width + columns, total, mask=inside)


@_kernel
def sum_values(indptr_ptr, value_ptr, out_ptr, HITS: tl.constexpr):
    """Sum of the values of each segment. Grid: (segments,)."""
    segment = tl.program_id(0).to(tl.int64)
    first = tl.load(indptr_ptr + segment)
    last = tl.load(indptr_ptr + segment + 1)
    total = tl.zeros((HITS,), tl.float32)
    for begin in range(first, last, HITS):
        hits = begin + tl.arange(0, HITS)
        total += tl.load(value_ptr + hits, mask=hits < last, other=0.0)
    tl.store(out_ptr + segment, tl.sum(total, 0))


@_kernel
def dot_entries(
    indptr_ptr,
    number_ptr,
    vectors_ptr,
    rows_ptr,
    out_ptr,
    width,
    HITS: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Inner products ``out[h] = vectors[s] . rows[number[h]]`` of each segment's entries.

    Grid: (segments,).
    """
    segment = tl.program_id(0).to(tl.int64)
    first = tl.load(indptr_ptr + segment)
    last = tl.load(indptr_ptr + segment + 1)
    for begin in range(first, last, HITS):
        hits = begin + tl.arange(0, HITS)
        live = hits < last
        number = tl.load(number_ptr + hits, mask=live, other=0).to(tl.int64)
        total = tl.zeros((HITS,), tl.float32)
        for start in range(0, width, BLOCK):
            columns = start + tl.arange(0, BLOCK)
            inside = columns < width
            vector = tl.load(vectors_ptr + segment * width + columns, mask=inside, other=0.0)
            places = number[:, None] * width + columns[None, :]
            rows = tl.load(rows_ptr + places, mask=live[:, None] & inside[None, :], other=0.0)
            total += tl.sum(vector[None, :] * rows, 1)
        tl.store(out_ptr + hits, total, mask=live)


@_kernel
def _adam(
    weight,
    gradient,
    mean_ptr,
    square_ptr,
    places,
    inside,
    rate,
    beta1,
    rest1,
    beta2,
    rest2,
    correction,
    epsilon,
):
    """Move the moments of a row and return its new weights."""
    mean = beta1 * tl.load(mean_ptr + places, mask=inside, other=0.0) + rest1 * gradient
    square = tl.load(square_ptr + places, mask=inside, other=0.0)
    square = beta2 * square + rest2 * gradient * gradient
    tl.store(mean_ptr + places, mean, mask=inside)
    tl.store(square_ptr + places, square, mask=inside)
    return weight - rate * mean / (tl.sqrt(square) * correction + epsilon)


@_kernel
def step_rows(
    weight_ptr,
    gradient_ptr,
    mean_ptr,
    square_ptr,
    width,
    rate,
    beta1,
    rest1,
    beta2,
    rest2,
    correction,
    epsilon,
    SPHERE: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Adam's step on one row, held whole: BLOCK is at least its width. Grid: (rows,).

    With SPHERE the gradient loses its part along the row, and the row ends with norm 1. ``rate``
    is over the first moment's bias correction, ``correction`` is one over the root of the
    second's, ``rest`` is 1 - beta.
    """
    row = tl.program_id(0).to(tl.int64)
    columns = tl.arange(0, BLOCK)
    inside = columns < width
    places = row * width + columns
    weight = tl.load(weight_ptr + places, mask=inside, other=0.0)
    gradient = tl.load(gradient_ptr + places, mask=inside, other=0.0)
    if SPHERE:
        gradient -= tl.sum(gradient * weight, 0) * weight
    weight = _adam(
        weight,
        gradient,
        mean_ptr,
        square_ptr,
        places,
        inside,
        rate,
        beta1,
        rest1,
        beta2,
        rest2,
        correction,
        epsilon,
    )
    if SPHERE:
        norm = tl.sqrt(tl.sum(tl.where(inside, weight * weight, 0.0), 0))
        weight = weight / tl.where(norm > 0, norm, 1.0)
    tl.store(weight_ptr + places, weight, mask=inside)
