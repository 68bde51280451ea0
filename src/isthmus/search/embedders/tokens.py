"""A local model's tokenizer: spans for cutting, numbers for the model."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from isthmus.errors import ConfigError
from isthmus.search.embedders.base import Spans
from isthmus.search.embedders.rows import readable

if TYPE_CHECKING:
    from tokenizers import Tokenizer

__all__ = ["ModelTokens"]

_BLOCK = 1 << 18
_FAR = 1 << 24
_SPACE = re.compile(r"\s")


class ModelTokens:
    """A copy of a model's tokenizer that cuts nothing unless told to.

    Parameters
    ----------
    model
        A loaded sentence-transformers model.
    name
        For messages.

    Raises
    ------
    ConfigError
        If the model's tokenizer can't say where its tokens stand in a text.
    """

    def __init__(self, model: Any, name: str) -> None:
        outer = getattr(model, "tokenizer", None)
        inner = getattr(outer, "backend_tokenizer", outer)
        from tokenizers import Tokenizer

        if not isinstance(inner, Tokenizer):
            raise ConfigError(
                "the model's tokenizer can't say where its tokens stand",
                where=name,
                why="it is not one of the tokenizers library",
                fix="use a model with a tokenizer.json",
            )
        self._plain: Tokenizer = Tokenizer.from_str(inner.to_str())
        self._plain.no_truncation()
        self._plain.no_padding()
        self.special = int(self._plain.num_special_tokens_to_add(False))
        limit = model.max_seq_length
        self.limit = int(limit) if limit is not None and 0 < limit < _FAR else None
        self._cut: Tokenizer = Tokenizer.from_str(self._plain.to_str())
        if self.limit is not None:
            side = getattr(outer, "truncation_side", "right")
            self._cut.enable_truncation(self.limit, direction=side)

    def spans(self, texts: Sequence[str]) -> list[Spans]:
        """Return where the tokens of each text stand, in characters (T, 2)."""
        return [self._spans(text) for text in readable(texts)]

    def _spans(self, text: str) -> Spans:
        parts = [np.empty((0, 2), dtype=np.int32)]
        for start, end in _blocks(text, _BLOCK):
            found = self._plain.encode(text[start:end], add_special_tokens=False).offsets
            parts.append(np.array(found, dtype=np.int32).reshape(-1, 2) + np.int32(start))
        return np.concatenate(parts)

    def numbers(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the numbers of each text's tokens with the special ones, cut at the limit."""
        return [found.ids for found in self._cut.encode_batch_fast(list(texts))]


def _blocks(text: str, most: int) -> Iterator[tuple[int, int]]:
    """Cut a very long text at white space, so that its tokens are never all held as objects."""
    start = 0
    while len(text) - start > most:
        found = _SPACE.search(text, start + most)
        end = found.start() if found is not None and found.start() < start + 2 * most else None
        yield start, (end := end if end is not None else start + most)
        start = end
    yield start, len(text)
