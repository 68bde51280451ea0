"""What `isthmus index` was asked for, and how that is done."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from isthmus.cli.embedding import Chosen, chosen_embedder, further_vectors, saved_dictionary
from isthmus.cli.failures import Interrupted
from isthmus.cli.indexed import Outcome, show_outcome, show_plan, size_of
from isthmus.cli.screen import Screen
from isthmus.cli.stages import Tell, counting, staging
from isthmus.cli.text_options import embedder_settings, indexing, reading_choices
from isthmus.errors import ConfigError, DataError, MissingDataError, RunError

if TYPE_CHECKING:
    from isthmus.data.corpora import Corpus
    from isthmus.search.embedders import EmbedderOptions
    from isthmus.search.fitting import HybridFit
    from isthmus.search.index.config import Built, Indexing

__all__ = ["Request", "built", "checked", "index_for", "planned"]

_FITTED_ON = ("train", "dev", "validation")
"""Judgements that weights may be fitted on, the first that there are."""


@dataclass(frozen=True)
class Request:
    """What was asked for."""

    source: str
    """A corpus: a name, or a path in full."""
    choices: Mapping[str, Any]
    """How it is read."""
    folder: Path | None
    """Folder of the index; None: it follows from the corpus' name."""
    config: Indexing
    """How the index is made."""
    options: EmbedderOptions
    """How the embedder works."""
    embedder: str | None
    """The embedder's name; None: that of the index, or the default."""
    cache_folder: Path | None
    """Where vectors are kept; None: nowhere."""
    dictionary: Path | None
    """A dictionary that is there already."""
    also: tuple[str, ...]
    """Further vectors to train on."""
    retrain: bool
    """Whether the dictionary is trained on."""
    fit: bool
    """Whether weights of hybrid searches are fitted."""
    typed: frozenset[str]
    """Names of the settings that were typed."""

    @classmethod
    def of(
        cls,
        corpus: str,
        out: Path | None,
        given: Mapping[str, Any],
        *,
        embedder: str | None,
        query_embedder: str | None,
        cache: Path | None,
        no_cache: bool,
        dictionary: Path | None,
        also: tuple[str, ...],
        retrain: bool,
        fit: bool,
    ) -> Request:
        """Check what was typed, and find out where the texts come from.

        Raises
        ------
        ConfigError
            If settings make no sense, or an index does not know where its texts came from.
        """
        from isthmus.data.places import cache_folder

        choices = reading_choices(given)
        source, folder = corpus, out
        if _is_index(Path(corpus)):
            source, before = _source_of(Path(corpus))
            choices = {**before, **choices}
            folder = out if out is not None else Path(corpus)
        elif Path(corpus).expanduser().exists() and not _is_named(corpus):
            source = str(Path(corpus).expanduser().resolve())
        return cls(
            source,
            choices,
            folder,
            indexing(given),
            embedder_settings(given),
            _with_queries(embedder, query_embedder),
            None if no_cache else (cache or cache_folder() / "vectors"),
            dictionary,
            also,
            retrain,
            fit,
            frozenset(given),
        )

    def placed(self, corpus: Corpus) -> Path:
        """Return the index' folder."""
        return self.folder if self.folder is not None else Path(f"{_file_name(corpus.name)}.index")

    @property
    def told(self) -> dict[str, Any]:
        """What an index keeps of where its texts came from."""
        return {"source": self.source, "options": dict(self.choices)}


def _is_index(folder: Path) -> bool:
    from isthmus.search.index.manifest import HEAD

    return (folder / HEAD).is_file()


def _is_named(corpus: str) -> bool:
    from isthmus.data.corpora.named import find_corpus

    return find_corpus(corpus) is not None


def _file_name(name: str) -> str:
    return "".join(c if c.isalnum() or c in "-_. " else "-" for c in name).strip(". ") or "texts"


def _source_of(folder: Path) -> tuple[str, dict[str, Any]]:
    """Return where the texts of an index came from, and how they were read."""
    from isthmus.search.index.manifest import read_manifest

    said = read_manifest(folder).corpus
    source, options = said.get("source"), said.get("options", {})
    if not isinstance(source, str) or not isinstance(options, dict):
        raise ConfigError(
            "this index does not know where its texts came from",
            where=str(folder),
            why="it was made of texts in memory",
            fix=f"name the texts: isthmus index CORPUS --out {folder}",
        )
    return source, dict(options)


def _with_queries(embedder: str | None, queries: str | None) -> str | None:
    if queries is None:
        return embedder
    if embedder is None or "@" in embedder:
        raise ConfigError(
            "--query-embedder goes with ready-made vectors",
            fix="give them with --embedder FILE.npy, or leave --query-embedder out",
        )
    from isthmus.data.named_sets import vectors_called

    named = vectors_called(embedder)
    file = embedder if named is None else str(named)
    if not file.endswith(".npy"):
        raise ConfigError(
            f"{embedder} embeds queries itself",
            why="--query-embedder goes with a .npy file of ready-made vectors",
            fix="leave it out",
        )
    return f"{file}@{queries}"


# --- what can be done with it ---------------------------------------------------------------------


def checked(screen: Screen, folder: Path) -> None:
    """Read a whole index, and say that it is sound.

    Raises
    ------
    RunError
        If it is not.
    """
    from isthmus.search.index.index import Index

    with Index(folder) as index:
        index.verify()
        manifest, size = index.manifest, size_of(folder)
    if screen.as_json:
        counts = {"documents": manifest.documents, "passages": manifest.passages}
        screen.json({"index": str(folder), "sound": True, **counts, "bytes": size})
        return
    told = f"{manifest.documents:,} documents, {manifest.passages:,} passages, all files sound"
    screen.words([("index", str(folder)), ("checked", told)])


def opened(screen: Screen, request: Request) -> Corpus:
    """Open the corpus, fetched if it must be."""
    from isthmus.cli.progress import fetching
    from isthmus.data.corpora import open_corpus

    with fetching(screen) as progress:
        return open_corpus(request.source, progress=progress, **request.choices)


def planned(screen: Screen, request: Request) -> None:
    """Say what would be made."""
    from isthmus.search.index.comparing import compared
    from isthmus.search.index.index import Index

    corpus = opened(screen, request)
    folder = request.placed(corpus)
    chosen = _chosen(screen, request, folder)
    with staging(screen) as tell:
        if _is_index(folder):
            with Index(folder) as index:
                found = compared(corpus, index.segments, tell)
        else:
            found = compared(corpus, (), tell)
    show_plan(screen, folder, corpus, found, chosen.embedder, request.config, new=chosen.new)


def _chosen(screen: Screen, request: Request, folder: Path) -> Chosen:
    return chosen_embedder(
        request.embedder,
        request.options,
        folder if _is_index(folder) else None,
        request.cache_folder,
        screen.say,
    )


def built(screen: Screen, request: Request) -> None:
    """Make the index or bring it up to date, and tell of it."""
    show_outcome(screen, _made(screen, request))


def index_for(screen: Screen, place: Path) -> Path:
    """Return the index that is meant: a folder of one, or of texts that get one if need be.

    The index of texts lies in the current folder under their name, as `isthmus index` puts it.
    """
    from isthmus.data.corpora.telling import corpus_at

    is_run = (place / "config.json").exists()
    if _is_index(place) or is_run or corpus_at(str(place)) is None:
        return place
    request = Request.of(
        str(place),
        None,
        {},
        embedder=None,
        query_embedder=None,
        cache=None,
        no_cache=False,
        dictionary=None,
        also=(),
        retrain=False,
        fit=True,
    )
    folder = request.placed(opened(screen, request))
    if _is_index(folder):
        screen.say(f"index: {folder}; to bring it up to date: isthmus index {place}")
        return folder
    screen.say(f"{place} has no index yet: making {folder}")
    _made(screen, request)
    return folder


def _made(screen: Screen, request: Request) -> Outcome:
    from isthmus.search.index.building import build_index

    corpus = opened(screen, request)
    folder = request.placed(corpus)
    chosen = _chosen(screen, request, folder)
    _check_kept(request, folder)
    dictionary = None if request.dictionary is None else saved_dictionary(request.dictionary)
    also = further_vectors(request.also, chosen.embedder)
    screen.say(f"embedder: {chosen.embedder.description}")
    with staging(screen) as tell:
        done = build_index(
            corpus,
            folder,
            chosen.embedder,
            request.config,
            source=request.told,
            dictionary=dictionary,
            also=also,
            retrain=request.retrain,
            stage=tell,
        )
        fitted, note, seconds = _fitted(request, done, tell) if request.fit else (None, "", 0.0)
    times = dict(done.seconds) | ({"fitting": round(seconds, 3)} if fitted is not None else {})
    notes = (*done.notes, *([note] if note else []))
    done = dataclasses.replace(done, seconds=times, notes=notes)
    return Outcome.of(done, corpus, fitted)


def _check_kept(request: Request, folder: Path) -> None:
    """Refuse settings that an index which is there would ignore."""
    from isthmus.search.index.manifest import read_manifest

    if not _is_index(folder):
        if request.retrain:
            raise ConfigError(
                "there is no index to train on",
                where=str(folder),
                fix="leave --retrain out: a new index gets a new dictionary",
            )
        return
    manifest, config = read_manifest(folder), request.config
    kept = {**manifest.cutting.get("config", {}), **manifest.words}
    asked = {**vars(config.cutting), "language": config.language, "stem": config.stem}
    for name in sorted(request.typed & set(asked)):
        if asked[name] != kept.get(name):
            raise ConfigError(
                f"{name} can't be changed for an index that is there",
                where=str(folder),
                why=f"it was made with {name}={kept.get(name)}",
                fix="leave the option out, or make a new index with --out",
            )


def _fitted(request: Request, done: Built, tell: Tell) -> tuple[HybridFit | None, str, float]:
    """Fit the weights of hybrid searches, where the corpus has judged queries for that."""
    from isthmus.data.corpora import read_judgements, splits
    from isthmus.search.fitting import fit_hybrid

    moved = done.added or done.changed or done.deleted or request.retrain or request.dictionary
    if not moved and "hybrid" in done.manifest.settings:
        return None, "", 0.0
    try:
        there = splits(request.source)
    except (MissingDataError, ConfigError):
        return None, "", 0.0  # most texts have none
    split = next((name for name in _FITTED_ON if name in there), None)
    if split is None:
        return None, "", 0.0
    began = time.monotonic()
    try:
        judgements = read_judgements(request.source, split)
        found = fit_hybrid(done.folder, judgements, progress=counting(tell, "fitting"))
    except KeyboardInterrupt as error:
        raise Interrupted(
            "stopped by Ctrl-C; the index is made, but weights were not fitted",
            fix=f"to fit them: isthmus index {done.folder}",
        ) from error
    except (ConfigError, DataError, MissingDataError, RunError) as error:
        # the index is made and sound: judgements that can't be used change nothing about it
        return None, f"weights were not fitted on {split} judgements: {error.what}", 0.0
    return found, "", time.monotonic() - began
