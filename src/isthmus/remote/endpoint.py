"""An OpenAI-compatible endpoint: vectors of texts, and answers of chat models."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray

from isthmus.errors import ConfigError
from isthmus.remote.exchange import Line, as_object, body_of, exchange, opened
from isthmus.remote.failures import rubbish
from isthmus.remote.talk import read_pieces, read_whole
from isthmus.remote.vectors import read_vectors

__all__ = ["Endpoint", "Message"]


class Message(TypedDict):
    """One turn of a conversation."""

    role: str
    """``system``, ``user`` or ``assistant``."""
    content: str
    """What is said."""


@dataclass(frozen=True, eq=False)
class Endpoint(Line):
    """A server that speaks OpenAI's HTTP interface.

    Nothing is sent when it is made. Failures that may pass (no connection; 429, 500, 502, 503,
    504, 529) are tried again after ``backoff`` * 2**n seconds, times a jitter from 0.5 to 1.5,
    or as long as Retry-After asks; redirects are not followed; the key is read from the
    environment for each request and stands in no attribute, message or file.

    Raises
    ------
    ConfigError
        If the address or a limit can't be.

    Examples
    --------
    >>> Endpoint("http://127.0.0.1:8080/v1", retries=1).base_url
    'http://127.0.0.1:8080/v1'
    """

    def embeddings(
        self,
        model: str,
        texts: Sequence[str],
        *,
        batch: int = 64,
        progress: Callable[[int, int], None] | None = None,
    ) -> NDArray[np.float32]:
        """Return the vectors of texts, as the server gives them: of any length.

        Parameters
        ----------
        model
            The model's name on the server.
        texts
            Any number (n); half a surrogate pair, which no UTF-8 can hold, becomes "?".
        batch
            Texts in one request.
        progress
            Called with the texts that are done and their number, after each request.

        Returns
        -------
        numpy.ndarray
            (n, D) float32, all finite; (0, 0) for no texts.

        Raises
        ------
        ConfigError
            If ``batch`` is not positive.
        RemoteError
            If the endpoint is away, refuses, or answers anything but n vectors of one width; a
            vector that is not finite is named by the number of its text, from 0.
        """
        if batch < 1:
            raise ConfigError("a batch must hold at least one text", where=f"batch={batch}")
        if not texts:
            return np.empty((0, 0), dtype=np.float32)
        url, parts = f"{self.base_url}/embeddings", list[NDArray[np.float32]]()
        with opened(self) as client:
            for first in range(0, len(texts), batch):
                sent = [_sendable(text) for text in texts[first : first + batch]]
                content = {"model": model, "input": sent, "encoding_format": "float"}
                answer = exchange(
                    self, client, "/embeddings", content, lambda got: body_of(self, got)
                )
                answer = as_object(answer, url, self.key_variable)
                parts.append(read_vectors(answer, len(sent), first, url))
                if parts[-1].shape[1] != parts[0].shape[1]:
                    widths = f"{parts[-1].shape[1]} numbers, text 0 has {parts[0].shape[1]}"
                    raise rubbish(url, f"text {first} has {widths}")
                if progress is not None:
                    progress(first + len(sent), len(texts))
        return np.concatenate(parts)

    def chat(
        self,
        model: str,
        messages: Sequence[Message] | Sequence[Mapping[str, str]],
        *,
        schema: Mapping[str, Any] | None = None,
        on_text: Callable[[str], None] | None = None,
        temperature: float = 0.0,
        max_tokens: int = 1024,
        timeout: float | None = None,
    ) -> str:
        """Return what a model answers to a conversation.

        Parameters
        ----------
        model
            The model's name on the server.
        messages
            The turns so far, each with ``role`` and ``content``.
        schema
            JSON schema that the server is to hold the answer to; None: free text. The answer is
            not checked against it here, but refused where it was cut at ``max_tokens``.
        on_text
            Called with each piece of text as it arrives (the server streams then); None: the
            answer comes in one piece.
        temperature
            0: always the likeliest word, as far as the server keeps to it.
        max_tokens
            Tokens after which the answer is cut.
        timeout
            Stands in for the endpoint's own.

        Raises
        ------
        RemoteError
            If the endpoint is away, too slow, refuses, answers rubbish or nothing, or breaks off
            in the middle.
        """
        content: dict[str, Any] = {
            "model": model,
            "messages": [
                {"role": turn["role"], "content": _sendable(turn["content"])} for turn in messages
            ],
            "temperature": temperature,
            "max_tokens": max_tokens,
        }
        if schema is not None:
            described = {"name": "answer", "strict": True, "schema": dict(schema)}
            content["response_format"] = {"type": "json_schema", "json_schema": described}
        whole = schema is not None
        if on_text is None:
            read = partial(read_whole, self, complete=whole)
        else:
            content["stream"] = True
            read = partial(read_pieces, self, on_text=on_text, complete=whole)
        with opened(self, timeout) as client:
            return exchange(self, client, "/chat/completions", content, read)

    def models(self) -> list[str]:
        """Return the names of the models that the endpoint offers, in its order.

        Raises
        ------
        RemoteError
            If the endpoint is away, refuses, or answers rubbish.
        """
        url = f"{self.base_url}/models"
        with opened(self) as client:
            answer = exchange(self, client, "/models", None, lambda got: body_of(self, got))
        data = as_object(answer, url, self.key_variable).get("data")
        items = data if isinstance(data, list) else [None]
        named = [item.get("id") if isinstance(item, dict) else None for item in items]
        if not all(isinstance(name, str) for name in named):
            raise rubbish(url, 'it has no list of models with an "id" under "data"')
        return [str(name) for name in named]


def _sendable(text: str) -> str:
    return text.encode("utf-8", "replace").decode("utf-8")
