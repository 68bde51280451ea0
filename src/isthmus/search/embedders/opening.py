"""From a word on the command line, or a configuration, to an embedder."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from isthmus.errors import ConfigError
from isthmus.search.embedders.base import Embedder, EmbedderOptions

__all__ = ["embedder_from", "fitted_to", "open_embedder", "save_state"]


def open_embedder(spec: str = "minilm", options: EmbedderOptions | None = None) -> Embedder:
    """Return the embedder that a word stands for.

    Parameters
    ----------
    spec
        ``minilm`` (default): all-MiniLM-L6-v2 from the installed package, offline;
        ``lexical``: hashed n-grams and SVD, no language model;
        a folder, or ``owner/name`` on the hub: a model of sentence-transformers;
        ``http://host:port/v1#model``: an OpenAI-compatible endpoint;
        ``file.npy`` or ``file.npy@minilm``: ready-made vectors, and who embeds the queries.
    options
        How they work; None: the defaults.

    Raises
    ------
    ConfigError
        If the word makes no sense.
    MissingDataError
        If what it stands for is not there.
    DataError
        If what is there is damaged or unsafe.

    Examples
    --------
    >>> open_embedder("lexical").description
    'lexical: hashed n-grams and SVD, no language model; 256 numbers'
    """
    options = options or EmbedderOptions()
    word = spec.strip()
    if not word:
        raise ConfigError("no embedder is named", fix="minilm, lexical, a folder, an address")
    for meant, opener in _OPENERS:
        if meant(word):
            return opener(word, options)
    return _model(word, options)


def embedder_from(
    config: Mapping[str, Any],
    options: EmbedderOptions | None = None,
    folder: Path | None = None,
) -> Embedder:
    """Return the embedder that an index was written with.

    Parameters
    ----------
    config
        What its ``config()`` returned.
    options
        How it works here; its limit on tokens comes from ``config``.
    folder
        Where `save_state` put what it learned.

    Raises
    ------
    ConfigError
        If the configuration is damaged or of a kind that is not known.
    """
    maker = _MAKERS.get(str(config.get("kind")))
    if maker is None:
        known = ", ".join(_MAKERS)
        raise ConfigError(f"unknown embedder {config.get('kind')!r}", why=f"known are {known}")
    options = dataclasses.replace(options or EmbedderOptions(), max_tokens=config.get("max_tokens"))
    try:
        return maker(config, options, folder)
    except (KeyError, TypeError, AttributeError) as error:
        raise ConfigError(
            "the embedder's configuration is damaged", why=f"{type(error).__name__}: {error}"
        ) from error


def fitted_to(embedder: Embedder, texts: Sequence[str]) -> Embedder:
    """Return an embedder that has learned from the texts, if it is of the kind that must."""
    from isthmus.search.embedders.lexical import LexicalEmbedder

    if isinstance(embedder, LexicalEmbedder) and embedder.state is None:
        return embedder.fitted(texts)
    return embedder


def save_state(embedder: Embedder, folder: Path) -> None:
    """Write what an embedder has learned to ``folder``, if it is of the kind that does."""
    from isthmus.search.embedders.lexical import LexicalEmbedder

    if isinstance(embedder, LexicalEmbedder):
        embedder.save(folder)


def _minilm(word: str, options: EmbedderOptions) -> Embedder:
    from isthmus.search.embedders.folders import minilm_folder
    from isthmus.search.embedders.local import LocalEmbedder

    return LocalEmbedder(minilm_folder(), "minilm", {"kind": "minilm"}, options)


def _model(word: str, options: EmbedderOptions) -> Embedder:
    from isthmus.search.embedders.folders import model_folder
    from isthmus.search.embedders.local import LocalEmbedder

    folder = model_folder(word)
    is_here = Path(word).expanduser().is_dir()
    name = folder.resolve().name if is_here else word
    source = {"kind": "model", "model": str(folder.resolve()) if is_here else word}
    return LocalEmbedder(folder, name, source, options)


def _lexical(word: str, options: EmbedderOptions) -> Embedder:
    from isthmus.search.embedders.lexical import LexicalEmbedder

    return LexicalEmbedder(options.dim, options.seed)


def _endpoint(word: str, options: EmbedderOptions) -> Embedder:
    from isthmus.remote import Endpoint
    from isthmus.search.embedders.remote import EndpointEmbedder

    address, _, model = word.partition("#")
    endpoint = Endpoint(address, key_variable=options.key_variable, timeout=options.timeout)
    return EndpointEmbedder(endpoint, model, max_tokens=options.max_tokens)


def _vectors(word: str, options: EmbedderOptions) -> Embedder:
    from isthmus.search.embedders.ready import ReadyVectors

    name, _, queries = word.removeprefix("vectors:").partition(".npy@")
    if not queries:
        return ReadyVectors(Path(word.removeprefix("vectors:")).expanduser())
    by = open_embedder(queries, options)
    return ReadyVectors(Path(f"{name}.npy").expanduser(), by)


_OPENERS: Sequence[tuple[Callable[[str], bool], Callable[[str, EmbedderOptions], Embedder]]] = (
    (lambda word: word == "minilm", _minilm),
    (lambda word: word == "lexical", _lexical),
    (lambda word: word.startswith(("http://", "https://")), _endpoint),
    (
        lambda word: word.startswith("vectors:") or word.endswith(".npy") or ".npy@" in word,
        _vectors,
    ),
)


_Maker = Callable[[Mapping[str, Any], EmbedderOptions, "Path | None"], Embedder]


def _minilm_from(
    config: Mapping[str, Any], options: EmbedderOptions, folder: Path | None
) -> Embedder:
    return _minilm("minilm", options)


def _model_from(
    config: Mapping[str, Any], options: EmbedderOptions, folder: Path | None
) -> Embedder:
    return _model(config["model"], options)


def _lexical_from(
    config: Mapping[str, Any], options: EmbedderOptions, folder: Path | None
) -> Embedder:
    from isthmus.search.embedders.lexical import LexicalEmbedder

    if folder is None:
        return LexicalEmbedder(config["dim"], config["seed"])
    return LexicalEmbedder.load(folder, config["dim"], config["seed"])


def _endpoint_from(
    config: Mapping[str, Any], options: EmbedderOptions, folder: Path | None
) -> Embedder:
    from isthmus.search.embedders.remote import EndpointEmbedder

    return EndpointEmbedder.from_config(config, options)


def _vectors_from(
    config: Mapping[str, Any], options: EmbedderOptions, folder: Path | None
) -> Embedder:
    from isthmus.search.embedders.ready import ReadyVectors

    queries = config["queries"]
    by = None if queries is None else embedder_from(queries, options, folder)
    return ReadyVectors(Path(config["file"]), by, (config["sha256"], config["dim"]))


_MAKERS: Mapping[str, _Maker] = MappingProxyType(
    {
        "minilm": _minilm_from,
        "model": _model_from,
        "lexical": _lexical_from,
        "endpoint": _endpoint_from,
        "vectors": _vectors_from,
    }
)
