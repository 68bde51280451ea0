"""What people changed about concepts: a log that is only ever added to, keyed by direction.

Every line of ``edits.jsonl`` holds what was done and the direction (the decoder row, float32) of
the concept that it was done to. So edits find their concepts again when the dictionary is trained
anew and the numbers mean something else.
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import datetime
import hashlib
import json
import os
import unicodedata
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from isthmus.concepts.concept import Concept
from isthmus.errors import ConfigError, DataError, RunError
from isthmus.metrics.arrays import Array

__all__ = ["ACTIONS", "EDITS", "Edit", "append_edit", "checked_name", "edit_of", "read_edits"]

EDITS = "edits.jsonl"
"""The log's usual name."""
Action = Literal["rename", "clear", "hide", "show", "note"]
ACTIONS: tuple[Action, ...] = ("rename", "clear", "hide", "show", "note")
"""Give a name; take the name away for good; hide the concept; show it again; write a note."""
_LONGEST = 200
_FORMAT = 1
_WIDEST = 1 << 20


@dataclass(frozen=True, eq=False)
class Edit:
    """Something that a person did to a concept."""

    action: Action
    """What was done."""
    concept: int
    """The concept's number at that time."""
    direction: NDArray[np.float32]
    """Its decoder row at that time (D,)."""
    text: str = ""
    """The name or the note."""
    time: str = ""
    """When, in UTC (ISO 8601)."""
    dictionary: str = ""
    """Digest of the whole decoder at that time."""

    def done_to(self, concept: Concept) -> Concept:
        """Return the concept as it is after the edit."""
        changes: dict[Action, dict[str, Any]] = {
            "rename": {"name": self.text, "origin": "user"},
            "clear": {"name": None, "origin": "user"},
            "hide": {"hidden": True},
            "show": {"hidden": False},
            "note": {"note": self.text},
        }
        return dataclasses.replace(concept, **changes[self.action])


def edit_of(action: Action, concept: int, decoder_ND: Array, text: str = "") -> Edit:
    """Make an edit of a concept of a dictionary, dated now.

    Raises
    ------
    ConfigError
        If the action is unknown, the concept is none of the dictionary's, a name is empty or can
        not be one, or text comes with an action that takes none.
    """
    if action not in ACTIONS:
        raise ConfigError(f"unknown action {action!r}", fix=f"one of {', '.join(ACTIONS)}")
    if not 0 <= concept < len(decoder_ND):
        raise ConfigError(
            f"there is no concept #{concept}", why=f"the last is #{len(decoder_ND) - 1}"
        )
    if action not in ("rename", "note") and text:
        raise ConfigError(f"{action} takes no text", why=f"got {text!r}")
    said = checked_name(text) if action == "rename" else text
    row = np.asarray(decoder_ND[concept], np.float32)
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    return Edit(action, concept, row, said, now, _digest(decoder_ND))


def _digest(decoder_ND: Array) -> str:
    rows = np.ascontiguousarray(decoder_ND, np.dtype("<f4"))
    return hashlib.sha256(rows.tobytes()).hexdigest()[:16]


def checked_name(text: str) -> str:
    """Return a name that can be one: a line of visible text that is not read as a number.

    Raises
    ------
    ConfigError
        Saying what is wrong with it.

    Examples
    --------
    >>> checked_name("  rail   travel ")
    'rail travel'
    """
    name = " ".join(text.split())
    if not name:
        raise ConfigError("a name can't be empty", fix="to take a name away, clear it")
    if len(name) > _LONGEST:
        raise ConfigError(f"a name has at most {_LONGEST} characters", why=f"this one {len(name)}")
    if name.removeprefix("#").isdigit():
        raise ConfigError(
            f"{name!r} can't be a name", why="numbers, also after a #, mean concepts by number"
        )
    if any(unicodedata.category(c)[0] == "C" for c in name):
        raise ConfigError("a name can't hold control characters", why=repr(name))
    return name


def append_edit(path: str | PathLike[str], edit: Edit) -> None:
    """Add an edit to the end of a log, made where there is none, and sync it.

    A last line that a killed writer left unfinished is taken off first.

    Raises
    ------
    RunError
        If the log can't be written.
    DataError
        If the direction is not finite.
    """
    if not np.isfinite(edit.direction).all():
        raise DataError("a direction must be finite", where=f"concept #{edit.concept}")
    packed = base64.b64encode(edit.direction.astype("<f4").tobytes()).decode("ascii")
    record = {"format": _FORMAT} | vars(edit) | {"direction": packed}
    line = json.dumps(record, ensure_ascii=True).encode() + b"\n"
    try:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        with Path(path).open("a+b") as log:
            _lock(log.fileno())
            end = log.seek(0, os.SEEK_END)
            kept = _whole(log, end)
            if kept < end:
                log.truncate(kept)
            log.write(line)
            log.flush()
            os.fsync(log.fileno())
    except OSError as error:
        raise RunError(
            "the edit could not be written", where=str(path), why=error.strerror or str(error)
        ) from error


def _lock(handle: int) -> None:
    try:
        import fcntl
    except ImportError:  # not a POSIX system
        return
    fcntl.flock(handle, fcntl.LOCK_EX)


def _whole(log: Any, end: int) -> int:
    """Return where the last finished line of a file of ``end`` bytes ends."""
    while end > 0:
        start = max(0, end - 65536)
        log.seek(start)
        found = log.read(end - start).rfind(b"\n")
        if found >= 0:
            return start + int(found) + 1
        end = start
    return 0


def read_edits(path: str | PathLike[str]) -> list[Edit]:
    """Read a log in the order in which it was written; a missing one is empty.

    An unfinished last line is left out.

    Raises
    ------
    RunError
        If a finished line is damaged or of a newer format.
    """
    try:
        whole = Path(path).read_bytes()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise RunError("the edits can't be read", where=str(path), why=str(error)) from error
    lines = whole.split(b"\n")[:-1]
    return [_read(line, f"{path}, line {number}") for number, line in enumerate(lines, 1)]


def _read(line: bytes, where: str) -> Edit:
    try:
        record = json.loads(line)
        if record["format"] != _FORMAT:
            raise RunError(
                f"an edit of format {record['format']!r}, this program reads {_FORMAT}",
                where=where,
                fix="update isthmus",
            )
        if record["action"] not in ACTIONS or not isinstance(record["text"], str):
            raise ValueError("unknown action or no text")
        if len(record["direction"]) > _WIDEST:
            raise ValueError("the direction is too long")
        packed = base64.b64decode(record["direction"], validate=True)
        direction = np.frombuffer(packed, "<f4").astype(np.float32)
        if not direction.size or not np.isfinite(direction).all():
            raise ValueError("the direction is empty or not finite")
        number = int(record["concept"])
        said, time, whose = record["text"], str(record["time"]), str(record["dictionary"])
        return Edit(record["action"], number, direction, said, time, whose)
    except (KeyError, TypeError, ValueError, AttributeError, binascii.Error) as error:
        raise RunError("the log of edits is damaged", where=where, why=str(error)) from error
