"""The program of a worker process: reads texts from its input, writes vectors to its output."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from isthmus.search.embedders.base import EmbedderOptions, Floats
from isthmus.search.embedders.frames import FAILED, receive, send

__all__ = ["Embed", "main", "opened", "serve"]

Embed = Callable[[list[str]], Floats]


def main(open_model: Callable[[dict[str, Any]], Embed]) -> None:
    """Serve until the input ends; whatever else is written to the output goes to the errors."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the process that asks decides
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    serve(sys.stdin.buffer, answers, open_model)


def serve(
    questions: IO[bytes], answers: IO[bytes], open_model: Callable[[dict[str, Any]], Embed]
) -> None:
    """Answer lists of texts with vectors, by the model that the first message names."""
    embed = None
    try:
        settings = json.loads(receive(questions)[1])
        while True:
            texts = json.loads(receive(questions)[1])
            try:
                embed = embed or open_model(settings)
                answer = embed(texts).tobytes()
            except Exception as error:  # told to the process that asked
                send(answers, f"{type(error).__name__}: {error}".encode(), FAILED)
            else:
                send(answers, answer)
    except (EOFError, BrokenPipeError):  # nobody asks any more
        return


def opened(settings: dict[str, Any]) -> Embed:
    """Load a model, and return what embeds with it."""
    from isthmus.search.embedders.local import LocalEmbedder

    options = EmbedderOptions(**settings["options"])
    return LocalEmbedder(Path(settings["folder"]), "worker", {}, options).raw


if __name__ == "__main__":
    main(opened)
