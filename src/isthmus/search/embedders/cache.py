"""Vectors kept by the content of their texts, so that nothing is embedded twice."""

from __future__ import annotations

import hashlib
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from isthmus.remote.vectors import RemoteVectorError
from isthmus.search.embedders.base import Embedder, Floats, Progress, Spans
from isthmus.search.embedders.kept import Half, KeptVectors
from isthmus.search.embedders.ready import ReadyVectors
from isthmus.search.embedders.rows import VectorError, readable, unit_rows

__all__ = ["CachedEmbedder", "cached"]

_SECONDS = 5.0
_FIRST = 256
_MOST = 1 << 14


def cached(
    embedder: Embedder, folder: Path, *, notify: Callable[[str], None] | None = None
) -> Embedder:
    """Return an embedder that keeps what it embeds in ``folder``.

    Ready-made vectors are kept already, and are returned as they are.

    Parameters
    ----------
    embedder
        Any.
    folder
        Made if missing; several embedders and several processes may share it.
    notify
        Told, in a line, when the kept vectors were damaged or can't be used; None: a warning.
    """
    if isinstance(embedder, ReadyVectors):
        return embedder
    return CachedEmbedder(embedder, folder, notify or _warn)


def _warn(message: str) -> None:
    warnings.warn(message, UserWarning, stacklevel=2)


class CachedEmbedder:
    """An embedder that keeps its vectors by the content of the texts.

    A vector is kept as float16 under the SHA-256 of the embedder's digest and the text, and
    committed every few seconds, so that an interrupted run goes on where it was. What is
    returned always went through float16, also when it is fresh: a second run gives the same
    bytes. Queries are not kept.

    Parameters
    ----------
    embedder
        Any.
    folder
        Where the vectors are kept.
    notify
        Told, in a line, when what is kept is damaged or can't be used.
    """

    def __init__(self, embedder: Embedder, folder: Path, notify: Callable[[str], None]) -> None:
        self.embedder, self.folder, self._notify = embedder, Path(folder), notify

    @property
    def name(self) -> str:
        """That of the embedder."""
        return self.embedder.name

    @property
    def dim(self) -> int:
        """Numbers in a vector."""
        return self.embedder.dim

    @property
    def digest(self) -> str:
        """That of the embedder."""
        return self.embedder.digest

    @property
    def max_tokens(self) -> int | None:
        """That of the embedder."""
        return self.embedder.max_tokens

    @property
    def description(self) -> str:
        """That of the embedder."""
        return self.embedder.description

    def token_spans(self, texts: Sequence[str]) -> list[Spans]:
        """Return the embedder's spans."""
        return self.embedder.token_spans(texts)

    def embed_queries(self, texts: Sequence[str]) -> Floats:
        """Return the vectors of queries, always embedded afresh."""
        return self.embedder.embed_queries(texts)

    def config(self) -> dict[str, Any]:
        """Return that of the embedder: where vectors are kept changes none."""
        return self.embedder.config()

    def embed(self, texts: Sequence[str], *, progress: Progress | None = None) -> Floats:
        """Return the vectors of texts (n, D), each of length 1, from the folder where it has them.

        ``progress`` counts different texts. Each is embedded once, the longest first.

        Raises
        ------
        DataError, RemoteError, RunError
            As the embedder's; what was done until then is kept.
        """
        clean = readable(texts)
        owner = getattr(self.embedder, "cache_key", self.embedder.digest)
        keys = [_key(owner, text) for text in clean]
        places: dict[bytes, int] = {}
        for i, key in enumerate(keys):
            places.setdefault(key, i)
        with KeptVectors(self.folder, self.dim, self._notify) as kept:
            known = kept.get(list(places))
            todo = [key for key in places if key not in known]
            todo.sort(key=lambda key: -len(clean[places[key]]))
            counted = _counted(progress, len(known), len(places))
            start, size = 0, _FIRST
            while start < len(todo):
                chunk = todo[start : start + size]
                began = time.monotonic()
                numbers = [places[key] for key in chunk]
                fresh = self._fresh(clean, numbers, _shifted(counted, start))
                new = dict(zip(chunk, fresh, strict=True))
                kept.put(new)
                known |= new
                start += len(chunk)
                size = _next_size(size, time.monotonic() - began)
        if not keys:
            return np.empty((0, self.dim), dtype=np.float32)
        halves = np.stack([known[key] for key in keys])
        return unit_rows(halves.astype(np.float32), self.name, zeros=True)

    def _fresh(
        self, texts: Sequence[str], numbers: Sequence[int], progress: Progress | None
    ) -> Half:
        """Embed the texts of those numbers; a fault is told by them."""
        chosen = [texts[number] for number in numbers]
        try:
            return self.embedder.embed(chosen, progress=progress).astype(np.float16)
        except (VectorError, RemoteVectorError) as error:
            raise error.renumbered(numbers[error.number]) from error


def _counted(progress: Progress | None, known: int, total: int) -> Progress | None:
    """Return a function that adds what was known to what is done, and tells the true total."""
    if progress is None:
        return None
    progress(known, total)
    return lambda done, _: progress(known + done, total)


def _shifted(progress: Progress | None, by: int) -> Progress | None:
    return None if progress is None else (lambda done, total: progress(by + done, total))


def _next_size(size: int, seconds: float) -> int:
    """Return how many texts take some seconds, at most twice as many as last time."""
    return int(np.clip(size * _SECONDS / max(seconds, 1e-3), size / 2, size * 2).clip(32, _MOST))


def _key(owner: str, text: str) -> bytes:
    return hashlib.sha256(f"{owner}\n{text}".encode()).digest()
