"""What must hold of the head of an index, and of an embedder, before they are used."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from isthmus.errors import RunError

if TYPE_CHECKING:
    from isthmus.search.embedders.base import Embedder

__all__ = ["check_embedder", "check_head"]

_MOST = 1 << 62
_KINDS: Mapping[str, tuple[type, ...]] = {
    "name": (str,),
    "corpus": (dict,),
    "embedder": (dict,),
    "cutting": (dict,),
    "words": (dict,),
    "dictionary": (dict,),
    "concepts": (str, type(None)),
    "segments": (list,),
    "next_id": (int,),
    "generation": (int,),
    "skipped": (list,),
    "skipped_count": (int,),
    "settings": (dict,),
}
_EMBEDDER: Mapping[str, tuple[type, ...]] = {
    "config": (dict,),
    "name": (str,),
    "description": (str,),
    "digest": (str,),
    "dim": (int,),
    "state": (str, type(None)),
}
_SEGMENT: Mapping[str, tuple[type, ...]] = {
    "folder": (str,),
    "passages": (int,),
    "living": (int,),
    "documents": (int,),
    "alive": (str, type(None)),
}


def check_head(said: Mapping[str, Any]) -> None:
    """Check names, kinds and ranges of a head's values.

    Raises
    ------
    ValueError, TypeError, KeyError
        Saying what is wrong.
    """
    _check_kinds(said, _KINDS)
    for name in ("next_id", "generation", "skipped_count"):
        _check_count(name, said[name])
    _check_kinds(said["embedder"], _EMBEDDER)
    _check_count("the width of the vectors", said["embedder"]["dim"], least=1)
    _check_kinds(said["dictionary"], {"folder": (str,), "latents": (int,), "training": (dict,)})
    _check_count("latents", said["dictionary"]["latents"], least=1)
    _check_kinds(said["words"], {"language": (str,), "stem": (bool,)}, only=True)
    _check_kinds(said["cutting"], {"config": (dict,), "report": (str,)})
    cutting: dict[str, tuple[type, ...]] = {"size": (int,), "overlap": (int,), "titled": (bool,)}
    _check_kinds(said["cutting"]["config"], cutting, only=True)
    for folder in (said["concepts"], said["embedder"]["state"], said["dictionary"]["folder"]):
        _check_plain(folder)
    for each in said["skipped"]:
        if not isinstance(each, dict):
            raise TypeError("what was skipped is no mapping")
    _check_segments(said["segments"])
    _check_weights(said["settings"].get("hybrid", {}))


def _check_kinds(
    said: Mapping[str, Any], kinds: Mapping[str, tuple[type, ...]], *, only: bool = False
) -> None:
    for name, wanted in kinds.items():
        if name not in said:
            raise KeyError(f"there is no entry {name!r}")
        value = said[name]
        if not isinstance(value, wanted) or (isinstance(value, bool) and bool not in wanted):
            raise TypeError(f"{name} is of the wrong kind: {type(value).__name__}")
    if only and set(said) != set(kinds):
        raise ValueError(f"unknown entries beside {', '.join(kinds)}")


def _check_count(name: str, value: int, least: int = 0) -> None:
    if not least <= value < _MOST:
        raise ValueError(f"{name} can't be {value}")


def _check_plain(name: str | None) -> None:
    """Refuse what is no plain name of a file or folder: nothing may lead out of the index."""
    if name is None:
        return
    if not name or name in (".", "..") or len(name) > 200 or any(c in name for c in "/\\:\0"):
        raise ValueError(f"{name!r} is no plain name")


def _check_segments(segments: Sequence[Any]) -> None:
    for entry in segments:
        if not isinstance(entry, dict):
            raise TypeError("a segment is no mapping")
        _check_kinds(entry, _SEGMENT, only=True)
        _check_plain(entry["folder"])
        _check_plain(entry["alive"])
        for name in ("passages", "living", "documents"):
            _check_count(name, entry[name])
        if not entry["documents"] <= entry["living"] <= entry["passages"]:
            raise ValueError(f"the counts of segment {entry['folder']} are impossible")
    if len({entry["folder"] for entry in segments}) < len(segments):
        raise ValueError("a segment is named twice")


def _check_weights(weights: Any) -> None:
    known = ("concepts", "dense", "words")
    good = isinstance(weights, dict) and all(
        name in known
        and isinstance(value, int | float)
        and not isinstance(value, bool)
        and math.isfinite(value)
        and value >= 0
        for name, value in weights.items()
    )
    if not good or (set(weights) == set(known) and not any(weights.values())):
        raise ValueError("the weights of the hybrid search are impossible")


def check_embedder(said: Mapping[str, Any], embedder: Embedder, folder: Path) -> None:
    """Make sure that vectors of an embedder may be held against those of an index.

    Parameters
    ----------
    said
        What the head of the index says of the embedder that it was written by.
    embedder
        The one that is there now.
    folder
        The index, for messages.

    Raises
    ------
    RunError
        If it is another one; says how they differ.
    """
    if embedder.dim != said["dim"]:
        raise RunError(
            "the index was written by another embedder",
            where=str(folder),
            why=f"its vectors have {said['dim']} numbers, those of {embedder.name} have "
            f"{embedder.dim}",
            fix=f"use {said['name']}, or make the index again",
        )
    if embedder.digest != said["digest"]:
        raise RunError(
            "the index was written by another embedder",
            where=str(folder),
            why=f"the digest of {said['name']} was {said['digest'][:12]}, that of "
            f"{embedder.name} is {embedder.digest[:12]}",
            fix="bring back the one that it was written by, or make the index again",
        )
