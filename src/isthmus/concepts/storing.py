"""Concepts in a folder: a line of JSON each, and a head that says what belongs together.

The lines stand in a file that is named by its digest; the head names that file and is written
last. So a folder holds the old table or the new one, whenever a writer is interrupted.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from os import PathLike
from pathlib import Path
from typing import Any, NoReturn, cast

from isthmus._version import __version__
from isthmus.concepts.concept import (
    CoFiring,
    Concept,
    Example,
    NameScore,
    Neighbour,
    Origin,
    Statistics,
    Word,
)
from isthmus.concepts.report import NameReport
from isthmus.concepts.table import Concepts, Names
from isthmus.errors import DataError, RunError
from isthmus.files import read_json, write_json, write_text

__all__ = ["FORMAT", "HEAD", "as_record", "load", "load_names", "save"]

FORMAT = 1
"""Version of what is written."""
HEAD = "concepts.json"
"""The file that a reader opens first."""
_LIMIT = 1 << 30


def save(concepts: Concepts, folder: str | PathLike[str]) -> None:
    """Write ``concepts.json`` and ``concepts-<digest>.jsonl``.

    Raises
    ------
    DataError
        If a number is NaN or infinite: nothing is written then.
    RunError
        If the folder can't be written; what was there before is unchanged.
    """
    place = Path(folder)
    lines = []
    for concept in concepts:
        try:
            lines.append(json.dumps(_packed(concept), allow_nan=False, ensure_ascii=False))
        except ValueError as error:
            raise DataError(
                "a concept holds a number that is not finite",
                where=f"concept #{concept.id}",
                why=str(error),
            ) from error
    body = "".join(line + "\n" for line in lines)
    digest = hashlib.sha256(body.encode("utf-8", "surrogatepass")).hexdigest()
    name = f"concepts-{digest[:16]}.jsonl"
    report = concepts.report
    head = {
        "format": FORMAT,
        "isthmus": __version__,
        "concepts": len(concepts),
        "passages": concepts.passages,
        "file": name,
        "sha256": digest,
        "fields": {
            kind.__name__: list(kind._fields) for kind in (Example, Word, Neighbour, CoFiring)
        },
        "report": None if report is None else dataclasses.asdict(report),
        "dead": sorted(concepts.names.dead),
        "names": list(concepts.names.names),
    }
    try:
        json.dumps(head, allow_nan=False)
    except ValueError as error:
        raise DataError("the report on names holds a number that is not finite") from error
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError("the folder can't be made", where=str(place), why=str(error)) from error
    write_text(place / name, body)
    write_json(place / HEAD, head)
    for old in place.glob("concepts-????????????????.jsonl"):
        if old.name != name:
            old.unlink(missing_ok=True)


def load(folder: str | PathLike[str]) -> Concepts:
    """Read what `save` wrote.

    Raises
    ------
    RunError
        If a file is missing, damaged, or of a newer format.
    """
    place = Path(folder)
    head = _head(place)
    try:
        path = place / Path(str(head["file"])).name
        body = _read(path)
        if hashlib.sha256(body.encode("utf-8", "surrogatepass")).hexdigest() != head["sha256"]:
            raise RunError("the file is damaged: its digest differs", where=str(path))
        concepts = [_unpacked(json.loads(line, parse_constant=_no)) for line in body.splitlines()]
        if len(concepts) != head["concepts"]:
            raise ValueError(f"{len(concepts)} lines for {head['concepts']} concepts")
        return Concepts(concepts, int(head["passages"]), _report(head["report"]))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        if isinstance(error, DataError):
            raise
        raise RunError("the concepts are damaged", where=str(place), why=str(error)) from error


def load_names(folder: str | PathLike[str]) -> Names:
    """Read the names alone, in a millisecond or so: all that searching and steering need.

    Raises
    ------
    RunError
        As `load`.
    """
    head = _head(Path(folder))
    try:
        names, dead = head["names"], head["dead"]
        if not all(name is None or isinstance(name, str) for name in names):
            raise TypeError("a name is no text")
        return Names(names, [int(j) for j in dead])
    except (KeyError, TypeError, ValueError) as error:
        raise RunError("the names are damaged", where=str(folder), why=str(error)) from error


def as_record(concept: Concept) -> dict[str, Any]:
    """Return a concept as plain JSON values with every field by its name: for ``--json``.

    Examples
    --------
    >>> found = Concept(3, Statistics(1, 0.5, 2.0, 2.0, (2.0,) * 5, (1,)), top=(Example(0, 2.0),))
    >>> as_record(found)["top"]
    [{'row': 0, 'activation': 2.0}]
    """
    record = _packed(concept)
    for name in ("top", "middle", "low", "words", "near", "together"):
        record[name] = [item._asdict() for item in getattr(concept, name)]
    return record | {"dead": concept.dead}


def _packed(concept: Concept) -> dict[str, Any]:
    """Return the fields; rows of numbers stay rows, whose fields the head names."""
    record = dict(vars(concept))
    record["statistics"] = dict(vars(concept.statistics))
    record["score"] = None if concept.score is None else dict(vars(concept.score))
    return record


def _unpacked(record: dict[str, Any]) -> Concept:
    name, proposed, origin = record["name"], record["proposed"], record["origin"]
    if origin not in (None, "rule", "user", "model"):
        raise ValueError(f"unknown origin {origin!r}")
    if any(text is not None and not isinstance(text, str) for text in (name, proposed)):
        raise TypeError("a name is no text")
    statistics = dict(record["statistics"])
    statistics["quantiles"] = tuple(statistics["quantiles"])
    statistics["histogram"] = tuple(statistics["histogram"])
    score = record["score"]
    return Concept(
        id=int(record["id"]),
        statistics=Statistics(**statistics),
        name=name,
        origin=cast("Origin | None", origin),
        score=None if score is None else NameScore(**score),
        proposed=proposed,
        words=tuple(Word(*item) for item in record["words"]),
        top=tuple(Example(*item) for item in record["top"]),
        middle=tuple(Example(*item) for item in record["middle"]),
        low=tuple(Example(*item) for item in record["low"]),
        near=tuple(Neighbour(*item) for item in record["near"]),
        together=tuple(CoFiring(*item) for item in record["together"]),
        parent=record["parent"],
        children=tuple(record["children"]),
        stability=record["stability"],
        hidden=bool(record["hidden"]),
        note=str(record["note"]),
    )


def _report(record: dict[str, Any] | None) -> NameReport | None:
    if record is None:
        return None
    from isthmus.metrics.bootstrap import BootstrapInterval

    values = dict(record)
    for name in ("precision", "difference"):
        values[name] = None if values[name] is None else BootstrapInterval(**values[name])
    return NameReport(**values)


def _head(place: Path) -> dict[str, Any]:
    head = read_json(place / HEAD)
    if head.get("format") != FORMAT:
        raise RunError(
            f"these concepts are of format {head.get('format')!r}, this program reads {FORMAT}",
            where=str(place / HEAD),
            fix="update isthmus, or make the concepts anew",
        )
    return head


def _read(path: Path) -> str:
    try:
        if path.stat().st_size > _LIMIT:
            raise RunError("the file is too large", where=str(path))
        return path.read_bytes().decode("utf-8", "surrogatepass")
    except FileNotFoundError as error:
        raise RunError("the file is missing", where=str(path)) from error
    except (OSError, UnicodeDecodeError) as error:
        raise RunError("the file can't be read", where=str(path), why=str(error)) from error


def _no(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no number")
