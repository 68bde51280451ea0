"""Options of indexing texts, made from the dataclasses that declare them, and read again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from isthmus.cli.options import Option
from isthmus.cli.settings import declared, grouped

if TYPE_CHECKING:
    from isthmus.search.embedders import EmbedderOptions
    from isthmus.search.index.config import Indexing

__all__ = ["embedder_settings", "index_options", "indexing", "reading_choices"]

_EMBEDDER = ("processes", "precision", "device", "max_tokens", "key_variable", "timeout", "dim")
_INDEXING = ("language", "stem", "concepts", "stability", "threads")
_PASSAGES = ("size", "overlap", "titled")
_DICTIONARY = ("latents", "k", "epochs", "seed")
_METAVARS: Mapping[str, str] = {"metadata": "NAME,..", "patterns": "GLOB,.."}


def index_options() -> tuple[Option, ...]:
    """Return the options of reading, cutting, embedding and describing texts."""
    fields = (
        *declared("Reading", "data/corpora/choices.py", "Choices"),
        *_of("Passages", "search/passages.py", "Cutting", _PASSAGES),
        *_of("Embedder", "search/embedders/base.py", "EmbedderOptions", _EMBEDDER),
        *_of("Dictionary", "search/index/training.py", "DictionarySettings", _DICTIONARY),
        *_of("Index", "search/index/config.py", "Indexing", _INDEXING),
    )
    options = (Option.of(setting) for setting in grouped(fields))
    return tuple(replace(o, metavar=_METAVARS.get(o.name, o.metavar)) for o in options)


def _of(panel: str, place: str, owner: str, names: tuple[str, ...]) -> tuple[Any, ...]:
    return tuple(field for field in declared(panel, place, owner) if field.name in names)


def reading_choices(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return what was typed about reading as arguments of ``open_corpus``, checked.

    Raises
    ------
    ConfigError
        If a value can't be read.
    """
    from dataclasses import fields

    from isthmus.configs import validated
    from isthmus.data.corpora.choices import Choices

    names = {field.name for field in fields(Choices)}
    typed = {name: _listed(name, v) for name, v in given.items() if name in names}
    checked = validated(Choices, typed)
    found = {name: getattr(checked, name) for name in typed}
    return {name: list(v) if isinstance(v, tuple) else v for name, v in found.items()}


def _listed(name: str, value: Any) -> Any:
    if name not in _METAVARS or not isinstance(value, str):
        return value
    return tuple(part.strip() for part in value.split(",") if part.strip())


def indexing(given: Mapping[str, Any]) -> Indexing:
    """Return what was typed about passages, dictionary and words.

    Raises
    ------
    ConfigError
        If a value can't be read, or values do not fit each other.
    """
    from isthmus.configs import validated
    from isthmus.search.index.config import Indexing
    from isthmus.search.index.training import DictionarySettings
    from isthmus.search.passages import Cutting

    # the parts are checked by themselves: what is wrong is then told by its own name
    plain = validated(Indexing, _only(given, _INDEXING))
    return replace(
        plain,
        cutting=validated(Cutting, _only(given, _PASSAGES)),
        dictionary=validated(DictionarySettings, _only(given, _DICTIONARY)),
    )


def embedder_settings(given: Mapping[str, Any]) -> EmbedderOptions:
    """Return what was typed about how the embedder works.

    Raises
    ------
    ConfigError
        If a value can't be read.
    """
    from isthmus.configs import validated
    from isthmus.search.embedders import EmbedderOptions

    values = _only(given, _EMBEDDER)
    if "threads" in given and str(given["threads"]) != "0":
        values["threads"] = given["threads"]
    return validated(EmbedderOptions, values)


def _only(given: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: value for name, value in given.items() if name in names}
