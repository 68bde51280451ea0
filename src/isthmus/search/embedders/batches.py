"""Batches of texts of nearly equal length, and their padding."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["batches", "fitting", "padded"]

_TOKENS, _TEXTS = 1 << 11, 64
_MANY_TOKENS, _MANY_TEXTS = 1 << 16, 1 << 10


def batches(
    lengths: Sequence[int], tokens: int = _TOKENS, texts: int = _TEXTS
) -> Iterator[NDArray[np.int64]]:
    """Yield positions of texts, the longest first, in batches of so many tokens with padding.

    Parameters
    ----------
    lengths
        Tokens of each text.
    tokens
        Tokens in a batch at most, padding included; a longer text is a batch alone.
    texts
        Texts in a batch at most.

    Examples
    --------
    >>> [rows.tolist() for rows in batches([3, 9, 2, 2], tokens=9)]
    [[1], [0, 2, 3]]
    """
    order = np.argsort(-np.asarray(lengths, dtype=np.int64), kind="stable")
    start = 0
    while start < len(order):
        longest = max(1, lengths[order[start]])
        end = start + min(texts, max(1, tokens // longest))
        yield order[start:end]
        start = end


def fitting(device: torch.device) -> tuple[int, int]:
    """Return tokens and texts of a batch: few enough for a processor's cache, many for a GPU."""
    return (_TOKENS, _TEXTS) if device.type == "cpu" else (_MANY_TOKENS, _MANY_TEXTS)


def padded(
    numbers: Sequence[Sequence[int]], tokenizer: Any, device: torch.device
) -> dict[str, Any]:
    """Return what a transformer of sentence-transformers reads: numbers and mask (B, L)."""
    longest = max(len(row) for row in numbers)
    ids = np.full((len(numbers), longest), tokenizer.pad_token_id or 0, dtype=np.int64)
    mask = np.zeros((len(numbers), longest), dtype=np.int64)
    left = getattr(tokenizer, "padding_side", "right") == "left"
    for i, row in enumerate(numbers):
        place = slice(longest - len(row), longest) if left else slice(0, len(row))
        ids[i, place] = row
        mask[i, place] = 1
    features: dict[str, Tensor] = {
        "input_ids": torch.from_numpy(ids).to(device),
        "attention_mask": torch.from_numpy(mask).to(device),
    }
    if "token_type_ids" in tokenizer.model_input_names:
        features["token_type_ids"] = torch.zeros_like(features["input_ids"])
    return features
