"""Models of sentence-transformers on this machine: MiniLM, any folder, any model of a hub."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from isthmus.errors import ConfigError
from isthmus.search.embedders.base import EmbedderOptions, Floats, Progress, Spans
from isthmus.search.embedders.batches import batches, fitting, padded
from isthmus.search.embedders.folders import digest_of
from isthmus.search.embedders.loading import loaded, prompt_for, reads_prompts
from isthmus.search.embedders.precision import dtype_of, running
from isthmus.search.embedders.rows import readable, unit_rows
from isthmus.search.embedders.tokens import ModelTokens
from isthmus.search.embedders.workers import Workers
from isthmus.training.device import chosen_device

__all__ = ["LocalEmbedder"]

_WINDOW = 1 << 13


class LocalEmbedder:
    """A text model on this machine, loaded from a folder without running anybody's code.

    Texts are sorted by their number of tokens and batched by it, so that little is computed for
    padding; the vectors are those of ``SentenceTransformer.encode`` (cosine above 0.9999).

    Parameters
    ----------
    folder
        The model's folder, as `model_folder` returns it.
    name
        What it is called.
    source
        Its configuration: what `embedder_from` finds the folder by.
    options
        Threads, processes, precision, device and a limit on tokens.

    Raises
    ------
    MissingDataError
        If sentence-transformers is not installed.
    DataError
        If the model can't be loaded.
    ConfigError
        If its tokenizer can't say where tokens stand, or leaves no room for texts.
    """

    def __init__(
        self, folder: Path, name: str, source: dict[str, Any], options: EmbedderOptions
    ) -> None:
        self._name, self._source = name, source
        self.folder, self.options = folder, options
        self._device = chosen_device(options.device)
        self._dtype = dtype_of(options.precision, self._device)
        self._model = loaded(folder, self._device)
        self._prompts = prompt_for(self._model, "document"), prompt_for(self._model, "query")
        self._tokens = ModelTokens(self._model, name)
        self._digest, self._limited = digest_of(folder), False
        self._limit(options.max_tokens)
        self._workers: Workers | None = None

    def _limit(self, most: int | None) -> None:
        """Read fewer tokens of a text than the model could; the vectors are others then."""
        prompt = len(self._tokens.spans([self._prompts[0]])[0])
        taken = self._tokens.special + prompt
        if most is not None and (self._tokens.limit is None or most + taken < self._tokens.limit):
            self._model.max_seq_length = most + taken
            self._tokens = ModelTokens(self._model, self._name)
            said = f"{self._digest} {most}"
            self._digest, self._limited = hashlib.sha256(said.encode()).hexdigest(), True
        limit = self._tokens.limit
        self._max_tokens = None if limit is None else limit - taken
        if self._max_tokens is not None and self._max_tokens < 1:
            raise ConfigError(
                "the model leaves no room for texts",
                where=self._name,
                why=f"it reads {limit} tokens, of which {taken} are its own",
            )

    @property
    def name(self) -> str:
        """What it is called."""
        return self._name

    @property
    def dim(self) -> int:
        """Numbers in a vector."""
        return int(self._model.get_embedding_dimension() or 0)

    @property
    def digest(self) -> str:
        """SHA-256 over weights, vocabulary and configuration, and over a limit that was set."""
        return self._digest

    @property
    def max_tokens(self) -> int | None:
        """Tokens of a text that are read, without the special ones and those of a prompt."""
        return self._max_tokens

    @property
    def description(self) -> str:
        """One line: the model, its size, its arithmetic."""
        reads = "texts of any length" if self._max_tokens is None else f"{self._max_tokens} tokens"
        kind = str(self._dtype).removeprefix("torch.")
        where = self._device.type
        return f"{self._name}: text model, {self.dim} numbers, reads {reads}, {kind} on {where}"

    def token_spans(self, texts: Sequence[str]) -> list[Spans]:
        """Return where the tokens of each text stand, in characters (T, 2)."""
        return self._tokens.spans(texts)

    def embed(self, texts: Sequence[str], *, progress: Progress | None = None) -> Floats:
        """Return the vectors of texts (n, D), each of length 1.

        What exceeds ``max_tokens`` is not read. Texts may be empty; half a surrogate pair is read
        as "?".

        Raises
        ------
        DataError
            If a vector is not finite, with the number of its text.
        RunError
            If a worker process ended.
        """
        clean = readable(texts)
        found = np.empty((len(clean), self.dim), dtype=np.float32)
        for first in range(0, len(clean), _WINDOW):
            window = clean[first : first + _WINDOW]
            told = _shifted(progress, first, len(clean))
            made = self._window(window, told)
            found[first : first + len(window)] = unit_rows(made, self._name, first=first)
        return found

    def embed_queries(self, texts: Sequence[str]) -> Floats:
        """Return the vectors of queries (n, D), with the model's prompt for them if it has one.

        Raises
        ------
        DataError
            If a vector is not finite, with the number of its text.
        """
        clean = readable(texts)
        made = self._here(clean, self._prompts[1], None)
        return unit_rows(made, self._name)

    def config(self) -> dict[str, Any]:
        """Return what `embedder_from` makes it from again."""
        limit = {"max_tokens": self._max_tokens} if self._limited else {}
        return {**self._source, **limit}

    def close(self) -> None:
        """End the worker processes; a later `embed` starts new ones."""
        if self._workers is not None:
            self._workers.close()
            self._workers = None

    def _window(self, texts: list[str], progress: Progress | None) -> Floats:
        if self.options.processes == 1 or len(texts) < 2 * self.options.processes:
            return self._here(texts, self._prompts[0], progress)
        if self._workers is None:
            self._workers = Workers(self.folder, self._worker_options(), self.options.processes)
        try:
            return self._workers.embed(texts, self.dim, progress)
        except BaseException:
            self.close()
            raise

    def _worker_options(self) -> EmbedderOptions:
        """Return each worker's options: its share of the threads, and no further workers."""
        threads = self.options.threads or torch.get_num_threads()
        share = max(1, threads // self.options.processes)
        limit = self._max_tokens if self._limited else None
        kind = str(self._dtype).removeprefix("torch.")
        return dataclasses.replace(
            self.options,
            threads=share,
            processes=1,
            max_tokens=limit,
            precision=kind,  # type: ignore[arg-type]
            device=str(self._device),
        )

    def raw(self, texts: list[str]) -> Floats:
        """Return vectors of texts (n, D) as the model gives them, unchecked, in this process."""
        return self._here(texts, self._prompts[0], None)

    def _here(self, texts: list[str], prompt: str, progress: Progress | None) -> Floats:
        """Embed in this process."""
        with running(self.options.threads, self._dtype, self._device):
            if not reads_prompts(self._model, prompt):
                return self._by_its_own_way(texts, prompt)
            return self._in_batches([prompt + text for text in texts], progress)

    def _in_batches(self, texts: list[str], progress: Progress | None) -> Floats:
        numbers = self._tokens.numbers(texts)
        found = np.empty((len(texts), self.dim), dtype=np.float32)
        done = 0
        for rows in batches([len(row) for row in numbers], *fitting(self._device)):
            features = padded([numbers[row] for row in rows], self._model.tokenizer, self._device)
            made = self._model(features)["sentence_embedding"]
            found[rows] = made.float().cpu().numpy()
            done += len(rows)
            if progress is not None:
                progress(done, len(texts))
        return found

    def _by_its_own_way(self, texts: list[str], prompt: str) -> Floats:
        """Embed as sentence-transformers does, for models of which the rest knows too little."""
        made = self._model.encode(texts, prompt=prompt, show_progress_bar=False)
        return np.asarray(made, dtype=np.float32).reshape(len(texts), -1)


def _shifted(progress: Progress | None, first: int, total: int) -> Progress | None:
    """Return a function that tells the progress of a window as that of the whole."""
    if progress is None:
        return None
    tell = progress
    return lambda done, _: tell(first + done, total)
