"""Vectors from an OpenAI-compatible endpoint."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from isthmus.errors import ConfigError, DataError
from isthmus.remote import Endpoint
from isthmus.search.embedders.base import EmbedderOptions, Floats, Progress, Spans
from isthmus.search.embedders.counting import quarter_spans
from isthmus.search.embedders.rows import readable, unit_rows

__all__ = ["EndpointEmbedder"]

_PROBE = "A narrow strip of land joins two larger ones."
_ALIKE = 0.99
_MAX_TOKENS = 512


class EndpointEmbedder:
    """A model behind ``/v1/embeddings``.

    Its weights can't be seen, so the digest covers only the model's name and the length of its
    vectors. A probe makes up for that: the vector of a fixed sentence is kept in the
    configuration, and asked for again before first use; another vector is refused.

    Parameters
    ----------
    endpoint
        Where to ask.
    model
        The model's name there.
    max_tokens
        Tokens of a text that it reads, as `quarter_spans` counts them; None: 512.
    probe
        The vector of the fixed sentence (D,) when an index was made; None: it is asked for.

    Raises
    ------
    ConfigError
        If there is no model's name.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        model: str,
        *,
        max_tokens: int | None = None,
        probe: Sequence[float] | None = None,
    ) -> None:
        if not model:
            raise ConfigError(
                "which of the endpoint's models is meant is not said",
                where=endpoint.base_url,
                fix=f"write {endpoint.base_url}#MODEL",
            )
        self.endpoint, self.model = endpoint, model
        self._max_tokens = _MAX_TOKENS if max_tokens is None else max_tokens
        self._before = None if probe is None else np.asarray(probe, dtype=np.float32)

    @property
    def name(self) -> str:
        """The model's name."""
        return self.model

    @property
    def dim(self) -> int:
        """Numbers in a vector; asks the endpoint where it is not known yet."""
        return len(self._probe if self._before is None else self._before)

    @property
    def digest(self) -> str:
        """SHA-256 over the model's name and the length of its vectors."""
        said = f"isthmus endpoint 1\n{self.model}\n{self.dim}\n"
        return hashlib.sha256(said.encode()).hexdigest()

    @property
    def cache_key(self) -> str:
        """What vectors are kept under: the same model elsewhere may be another one."""
        return f"{self.digest} {self.endpoint.base_url}"

    @property
    def max_tokens(self) -> int | None:
        """Tokens of a text that it reads."""
        return self._max_tokens

    @property
    def description(self) -> str:
        """One line: the model, the address, how tokens are counted."""
        return (
            f"{self.model} at {self.endpoint.base_url}: texts leave this program; tokens are "
            f"counted as quarters of words (4 characters), {self._max_tokens} at most"
        )

    def token_spans(self, texts: Sequence[str]) -> list[Spans]:
        """Return where pieces of at most four characters of each word stand (T, 2)."""
        return quarter_spans(texts)

    def embed(self, texts: Sequence[str], *, progress: Progress | None = None) -> Floats:
        """Return the vectors of texts (n, D), each of length 1.

        Raises
        ------
        RemoteError
            If the endpoint is away or answers rubbish.
        DataError
            If its model is not the one that it was, or a vector is zero.
        """
        _ = self._probe
        made = self.endpoint.embeddings(self.model, readable(texts), progress=progress)
        if len(made) and made.shape[1] != self.dim:
            raise _another(self, f"its vectors have {made.shape[1]} numbers, not {self.dim}")
        return unit_rows(made.reshape(len(texts), self.dim), self.name)

    def embed_queries(self, texts: Sequence[str]) -> Floats:
        """Return the vectors of queries, made in the same way."""
        return self.embed(texts)

    def config(self) -> dict[str, Any]:
        """Return address, model and probe; the key's variable, never the key."""
        return {
            "kind": "endpoint",
            "url": self.endpoint.base_url,
            "model": self.model,
            "key_variable": self.endpoint.key_variable,
            "max_tokens": self._max_tokens,
            "probe": [round(float(x), 4) for x in self._probe],
        }

    @classmethod
    def from_config(cls, config: Mapping[str, Any], options: EmbedderOptions) -> EndpointEmbedder:
        """Make it again from what `config` returned."""
        endpoint = Endpoint(
            config["url"], key_variable=config["key_variable"], timeout=options.timeout
        )
        return cls(
            endpoint, config["model"], max_tokens=config["max_tokens"], probe=config["probe"]
        )

    @cached_property
    def _probe(self) -> Floats:
        """The vector of the fixed sentence, held against the one that is known."""
        made: Floats = unit_rows(self.endpoint.embeddings(self.model, [_PROBE]), self.name)[0]
        if self._before is not None:
            if len(made) != len(self._before):
                raise _another(self, f"{len(made)} numbers in a vector, not {len(self._before)}")
            alike = float(made @ self._before) / float(np.linalg.norm(self._before))
            if not alike > _ALIKE:
                raise _another(self, f"the cosine of a known sentence is {alike:.3f}, not 1")
        return made


def _another(embedder: EndpointEmbedder, why: str) -> DataError:
    return DataError(
        "the endpoint's model is not the one that it was",
        where=f"{embedder.model} at {embedder.endpoint.base_url}",
        why=why,
        fix="start the model that the index was made with, or make the index anew",
    )
