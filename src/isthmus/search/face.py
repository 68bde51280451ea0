"""Indexing in one call: public as ``isthmus.index``."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from isthmus.configs import validated
from isthmus.data.corpora.documents import Corpus
from isthmus.data.corpora.named import find_corpus
from isthmus.data.corpora.reading import open_corpus
from isthmus.errors import ConfigError
from isthmus.search.embedders import Embedder, EmbedderOptions, cached, open_embedder
from isthmus.search.index.building import build_index
from isthmus.search.index.config import Indexing, Stage
from isthmus.search.index.index import Index
from isthmus.search.index.manifest import HEAD
from isthmus.search.index.training import DictionarySettings
from isthmus.search.passages import Cutting

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from isthmus.models.dictionary import SparseDictionary

__all__ = ["index"]


def index(
    corpus: str | PathLike[str] | Corpus | Sequence[Any],
    out: str | PathLike[str],
    *,
    embedder: str | Embedder | None = None,
    cache: str | PathLike[str] | None = None,
    dictionary: SparseDictionary | None = None,
    also: NDArray[np.float32] | None = None,
    retrain: bool = False,
    stage: Stage | None = None,
    **settings: Any,
) -> Index:
    """Make texts searchable, or bring their index up to date.

    Parameters
    ----------
    corpus
        A named corpus, a path, a list of texts, or a corpus; see `isthmus.corpus`.
    out
        Folder of the index. Where it holds one already, only what is new or changed is embedded.
    embedder
        A name as ``isthmus index --embedder`` takes it, or an embedder; None: MiniLM, or what the
        index was made with.
    cache
        Where vectors are kept, so that nothing is embedded twice; None: nowhere.
    dictionary
        A dictionary that was trained elsewhere; None: one is trained on the passages.
    also
        Further vectors (Q, D) that the dictionary learns from, too.
    retrain
        Whether the dictionary of an index that is there is trained on.
    stage
        Told what is being done, how much of it is, and how much it is in all.
    **settings
        Fields of `Cutting`, `DictionarySettings`, `Indexing` and `EmbedderOptions` by their
        names: ``size``, ``overlap``, ``latents``, ``k``, ``stability``, ``threads``, ...

    Returns
    -------
    Index
        Opened for searching.

    Raises
    ------
    ConfigError
        If a setting is unknown or can't be.
    DataError, MissingDataError, RunError, RemoteError
        As opening the corpus, the embedder and building the index.

    Examples
    --------
    >>> import tempfile
    >>> texts = ["Bread is baked in an oven.", "Trains run on rails.", "Rye bread is dark."]
    >>> with tempfile.TemporaryDirectory() as folder, index(
    ...     texts, folder + "/texts.index", embedder="lexical", threads=1
    ... ) as found:
    ...     found.search("bread", by="words").hits[0].text
    'Bread is baked in an oven.'
    """
    config, options = _settings(settings)
    opened = open_corpus(corpus)
    chosen = open_embedder(embedder, options) if isinstance(embedder, str) else embedder
    if chosen is None and not (Path(out) / HEAD).is_file():
        chosen = open_embedder("minilm", options)
    # the lexical one learns from the corpus as it is made
    if chosen is not None and cache is not None and chosen.config().get("kind") != "lexical":
        chosen = cached(chosen, Path(cache))
    build_index(
        opened,
        out,
        chosen,
        config,
        source=_source(corpus),
        dictionary=dictionary,
        also=also,
        retrain=retrain,
        stage=stage,
    )
    return Index(out, options=options)


def _source(corpus: object) -> dict[str, Any]:
    """Return what an index keeps of where its texts came from, where they can be found again."""
    if not isinstance(corpus, str | PathLike):
        return {}
    if find_corpus(corpus) is not None:
        return {"source": str(corpus), "options": {}}
    return {"source": str(Path(corpus).expanduser().resolve()), "options": {}}


def _settings(given: dict[str, Any]) -> tuple[Indexing, EmbedderOptions]:
    """Sort settings by the class that has them; threads belong to two."""
    owners = (Indexing, Cutting, DictionarySettings, EmbedderOptions)
    names: dict[type, set[str]] = {
        owner: {f.name for f in dataclasses.fields(owner)} for owner in owners
    }
    known = set().union(*names.values()) - {"cutting", "dictionary"}
    unknown = sorted(set(given) - known)
    if unknown:
        raise ConfigError(
            f"an index has no setting {unknown[0]!r}", why=f"it has: {', '.join(sorted(known))}"
        )

    def of(owner: type, *but: str) -> dict[str, Any]:
        return {k: v for k, v in given.items() if k in names[owner] and k not in but}

    config = dataclasses.replace(
        validated(Indexing, of(Indexing)),
        cutting=validated(Cutting, of(Cutting)),
        dictionary=validated(DictionarySettings, of(DictionarySettings)),
    )
    # the seed is that of the dictionary; zero threads are those that torch takes
    own = of(EmbedderOptions, "seed", *([] if given.get("threads") else ["threads"]))
    return config, validated(EmbedderOptions, own)
