"""What every embedder is, and the choices that go for all of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from isthmus.errors import ConfigError

__all__ = ["Config", "Embedder", "EmbedderOptions", "Floats", "Progress", "Spans", "reads_queries"]

Floats = NDArray[np.float32]
Spans = NDArray[np.int32]
"""Where tokens stand in a text (T, 2): first character, and the one after the last."""
Progress = Callable[[int, int], None]
"""Called with the texts that are done and their number in all."""
Config = Mapping[str, Any]
"""What an index keeps of an embedder: JSON values, no secrets."""


@runtime_checkable
class Embedder(Protocol):
    """Turns texts into unit vectors, and says where its tokens stand."""

    @property
    def name(self) -> str:
        """What it is called: a word for messages and tables."""

    @property
    def dim(self) -> int:
        """Numbers in a vector."""

    @property
    def digest(self) -> str:
        """What an index is bound to: 64 hexadecimal digits, another for other vectors."""

    @property
    def max_tokens(self) -> int | None:
        """Tokens of a text that are read; what follows is cut. None: there is no limit."""

    @property
    def description(self) -> str:
        """One honest line to be shown wherever its vectors are used."""

    def token_spans(self, texts: Sequence[str]) -> list[Spans]:
        """Return where the tokens of each text stand, all of them, none of the special ones."""

    def embed(self, texts: Sequence[str], *, progress: Progress | None = None) -> Floats:
        """Return a unit vector for each text (n, D)."""

    def embed_queries(self, texts: Sequence[str]) -> Floats:
        """Return a unit vector for each query (n, D), to be held against those of `embed`."""

    def config(self) -> dict[str, Any]:
        """Return what `embedder_from` makes it from again."""


@dataclass(frozen=True)
class EmbedderOptions:
    """How embedders work, which changes no vector beyond rounding, and what some need to know."""

    threads: int | None = None
    """Threads of a local model, in all processes together; None: as many as torch takes."""
    processes: int = 1
    """Processes of a local model; each holds the weights."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Arithmetic of a local model: "auto" is bfloat16 where the processor computes in it (cosine
    to float32 above 0.9999), otherwise float32."""
    device: str = "auto"
    """Where a local model runs: "auto" (a GPU where there is one), "cpu", "cuda", ..."""
    max_tokens: int | None = None
    """Tokens that an endpoint reads of a text (default 512, counted as its description says);
    for a local model, a limit below its own."""
    key_variable: str = "ISTHMUS_API_KEY"
    """Environment variable that holds an endpoint's key."""
    timeout: float = 60.0
    """Seconds without any byte after which an endpoint is given up."""
    dim: int = 256
    """Numbers in a vector of the lexical fallback, at most."""
    seed: int = 0
    """Seed of the lexical fallback's decomposition."""

    def __post_init__(self) -> None:
        for setting in ("threads", "processes", "max_tokens", "dim"):
            value = getattr(self, setting)
            if value is not None and value < 1:
                raise ConfigError(f"{setting} must be 1 or more", where=f"{setting}={value}")
        if self.precision not in ("auto", "float32", "bfloat16"):
            raise ConfigError(
                f"unknown precision {self.precision!r}", fix="one of auto, float32, bfloat16"
            )


def reads_queries(embedder: Embedder) -> bool:
    """Say whether an embedder can embed words: ready-made vectors alone can't."""
    inner = getattr(embedder, "embedder", embedder)
    return getattr(inner, "queries", inner) is not None
