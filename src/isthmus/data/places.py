"""The folders where named data sets are looked for, in order."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Place", "cache_folder", "is_offline", "places"]


@dataclass(frozen=True)
class Place:
    """One folder where a named set may be."""

    title: str
    """What the place is called in messages."""
    folder: Path | None
    """The folder of the set; None: the place is not set up."""
    why_not: str = ""
    """Why there is no folder."""


def cache_folder() -> Path:
    """Return the user's cache: ``ISTHMUS_HOME``, or what the platform uses for caches."""
    home = os.environ.get("ISTHMUS_HOME", "")
    if home:
        return Path(home).expanduser()
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "isthmus"
    if sys.platform == "win32":
        local = os.environ.get("LOCALAPPDATA", "")
        return (Path(local) if local else Path.home() / "AppData" / "Local") / "isthmus" / "cache"
    base = os.environ.get("XDG_CACHE_HOME", "")
    # the XDG specification has relative paths ignored
    root = Path(base) if base and Path(base).is_absolute() else Path.home() / ".cache"
    return root / "isthmus"


def places(name: str) -> tuple[Place, Place]:
    """Return where the set ``name`` is looked for before it is fetched."""
    given = os.environ.get("ISTHMUS_DATA", "")
    own = Place(
        "ISTHMUS_DATA",
        Path(given).expanduser() / name if given else None,
        "" if given else "ISTHMUS_DATA is not set",
    )
    return own, Place("the cache", cache_folder() / "data" / name)


def is_offline() -> bool:
    """Say whether ``ISTHMUS_OFFLINE`` forbids fetching."""
    return os.environ.get("ISTHMUS_OFFLINE", "").strip().lower() not in ("", "0", "false", "no")
