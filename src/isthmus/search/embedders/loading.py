"""Loading a model of sentence-transformers, quietly, from a folder alone."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch

from isthmus.errors import DataError, MissingDataError, in_a_line

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

__all__ = ["loaded", "prompt_for", "reads_prompts"]

_PROMPTS = {"document": ("document", "passage", "corpus"), "query": ("query",)}


def loaded(folder: Path, device: torch.device) -> SentenceTransformer:
    """Return the model in ``folder``; nothing is fetched, and no code of its own is run.

    Raises
    ------
    MissingDataError
        If sentence-transformers is not installed.
    DataError
        If the model can't be loaded.
    """
    try:
        from sentence_transformers import SentenceTransformer
    except ImportError as error:
        raise MissingDataError(
            "sentence-transformers is not installed",
            why=in_a_line(error),
            fix='pip install "isthmus[text]"; or use an endpoint, or lexical',
        ) from error
    try:
        with _quiet():
            model = SentenceTransformer(
                str(folder),
                device=str(device),
                local_files_only=True,
                trust_remote_code=False,
                model_kwargs={"use_safetensors": True, "dtype": torch.float32},
            )
    except Exception as error:  # whatever a strange folder makes the library raise
        raise DataError(
            "the model can't be loaded",
            where=str(folder),
            why=in_a_line(error),
            fix="check the folder, or use another model",
        ) from error
    return model.eval()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the library's progress bars off standard error."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()  # type: ignore[no-untyped-call]


def prompt_for(model: Any, kind: str) -> str:
    """Return the words that the model wants before a "document" or a "query", often none."""
    prompts = cast(dict[str, str], model.prompts)
    named = next((prompts[name] for name in _PROMPTS[kind] if prompts.get(name)), None)
    default = prompts.get(model.default_prompt_name or "", "") if kind == "document" else ""
    return named if named is not None else default


def reads_prompts(model: Any, prompt: str) -> bool:
    """Say whether a prompt is read like any text by a plain transformer.

    Some models leave the prompt's tokens out of their mean, and some are no transformers.
    """
    first = type(model[0]).__name__ == "Transformer"
    included = all(getattr(part, "include_prompt", True) for part in model)
    return first and (not prompt or included)
