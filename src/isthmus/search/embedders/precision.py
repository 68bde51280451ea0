"""Arithmetic and threads of a local model, set for a while and put back."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch

__all__ = ["computes_in_bfloat16", "dtype_of", "running"]


def computes_in_bfloat16(device: torch.device) -> bool:
    """Say whether a device multiplies matrices of bfloat16 in hardware, where it is faster."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type != "cpu":
        return False
    asked = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    can = any(getattr(torch.cpu, name, lambda: False)() for name in asked)
    return can and bool(torch.backends.mkldnn.is_available())  # type: ignore[no-untyped-call]


def dtype_of(precision: str, device: torch.device) -> torch.dtype:
    """Return the arithmetic for a choice of precision; "auto" is the fastest that is exact."""
    if precision == "auto":
        return torch.bfloat16 if computes_in_bfloat16(device) else torch.float32
    return torch.bfloat16 if precision == "bfloat16" else torch.float32


@contextlib.contextmanager
def running(threads: int | None, dtype: torch.dtype, device: torch.device) -> Iterator[None]:
    """Compute with that many threads in that arithmetic, without gradients; then as before."""
    before = torch.get_num_threads()
    if threads is not None and threads != before:
        torch.set_num_threads(threads)
    lower = dtype != torch.float32
    try:
        # one autocast for many batches: it keeps the weights in bfloat16 until it ends
        with (
            torch.inference_mode(),
            torch.autocast(device.type, dtype=dtype if lower else None, enabled=lower),
        ):
            yield
    finally:
        if torch.get_num_threads() != before:
            torch.set_num_threads(before)
