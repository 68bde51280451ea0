"""From a row of named values to a document: which field is the text, the title, the id."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from isthmus.data.corpora.choices import Choices, Found
from isthmus.data.corpora.documents import Document, Skipped, Value

__all__ = ["IDS", "TEXTS", "TITLES", "document_of", "field_called", "number_or_text", "without_odd"]

TEXTS = (
    *("text", "body", "content", "contents", "passage", "document", "article", "abstract"),
    *("description", "summary", "review", "comment", "message", "sentence", "claim", "question"),
)
"""Names of fields that hold texts, the likeliest first."""
TITLES = ("title", "heading", "headline", "subject")
"""Names of fields that hold titles."""
IDS = ("_id", "id", "doc_id", "docid", "document_id", "docno", "uid", "uuid")
"""Names of fields that name documents."""

_LONGEST_FACT = 1000
_ODD = re.compile("[\ud800-\udfff\0]")
_WHOLE = re.compile(r"-?(0|[1-9]\d{0,17})")
_DECIMAL = re.compile(r"-?(0|[1-9]\d*)\.\d+([eE][-+]?\d{1,3})?")


def field_called(names: Iterable[str], wanted: Sequence[str]) -> str | None:
    """Return the first of the wanted names that is there, capitals and blanks apart.

    Examples
    --------
    >>> field_called(["ID", " Body "], ("text", "body"))
    ' Body '
    """
    there = {name.strip().lower(): name for name in reversed(list(names))}
    return next((there[name] for name in wanted if name in there), None)


def without_odd(text: str) -> str:
    """Put U+FFFD for what no text may hold: NUL, and halves of surrogate pairs."""
    return _ODD.sub("\ufffd", text)


def number_or_text(cell: str) -> Value:
    """Return a cell of a table as a number where it is written as one.

    Examples
    --------
    >>> [number_or_text(cell) for cell in ("12", "-0.5", "007", "1e5", "x")]
    [12, -0.5, '007', '1e5', 'x']
    """
    if _WHOLE.fullmatch(cell):
        return int(cell)
    if _DECIMAL.fullmatch(cell) and math.isfinite(float(cell)):
        return float(cell)
    return cell


def document_of(record: Mapping[str, Any], source: str, row: int, choices: Choices) -> Found:
    """Make a document of a row.

    A row whose text is empty but whose title is not has its title as text. A row without an id
    is called ``source#row``. NUL and halves of surrogate pairs become U+FFFD.

    Parameters
    ----------
    record
        Values by name.
    source
        The file, relative to the corpus' root.
    row
        The line or row in it, from 1.
    choices
        Which fields are meant.
    """
    text_field, text = _text(record, choices.text)
    if text_field is None:
        return Skipped(source, _no_text(record, choices.text), row)
    title_field, title = _named(record, choices.title, TITLES)
    id_field, name = _named(record, choices.id, IDS)
    if choices.id is not None and not name:
        return Skipped(source, f"there is no id in the field {choices.id!r}", row)
    used = {text_field, title_field, id_field}
    if not text or text.isspace():
        text, title = title, ""
    return Document(
        id=name or (f"{source}#{row}" if source else str(row)),
        text=text,
        title=title,
        source=source,
        row=row,
        metadata=_metadata(record, choices.metadata, used),
    )


def _text(record: Mapping[str, Any], chosen: str | None) -> tuple[str | None, str]:
    """Return the field that holds the text, and the text; sentences in a list are joined."""
    names = (
        (chosen,) if chosen is not None else [n for n in TEXTS if n in record] or _folded(record)
    )
    for name in names:
        value = record.get(name)
        if isinstance(value, list) and value and all(isinstance(part, str) for part in value):
            value = " ".join(value)
        if isinstance(value, str):
            return name, without_odd(value)
    return None, ""


def _folded(record: Mapping[str, Any]) -> list[str]:
    """Return the fields that are called like texts but for capitals."""
    there = {str(name).strip().lower(): name for name in reversed(list(record))}
    return [there[name] for name in TEXTS if name in there]


def _named(
    record: Mapping[str, Any], chosen: str | None, usual: Sequence[str]
) -> tuple[str | None, str]:
    """Return a field and its value as text; nothing where it is no text or number."""
    name = chosen if chosen is not None else next((n for n in usual if n in record), None)
    if name is None:
        name = field_called(record, usual)
    value = record.get(name) if name is not None else None
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return name, ""
    return name, without_odd(str(value)).strip()


def _no_text(record: Mapping[str, Any], chosen: str | None) -> str:
    shown = ", ".join(repr(str(name)[:40]) for name in list(record)[:12]) or "none"
    missing = f"field {chosen!r}" if chosen is not None else "field of texts"
    hint = "" if chosen is not None else "; choose one with text=..."
    return f"there is no {missing}; the fields are {shown}{hint}"


def _metadata(
    record: Mapping[str, Any], chosen: tuple[str, ...] | None, used: set[str | None]
) -> dict[str, Value]:
    """Return the single values, those of a nested field called "metadata" among them."""
    inner = record.get("metadata")
    whole = {**inner, **record} if isinstance(inner, Mapping) else record
    names = [n for n in whole if n not in used] if chosen is None else chosen
    facts = {without_odd(str(name)): _fact(whole.get(name)) for name in names}
    return {name: value for name, value in facts.items() if value is not None}


def _fact(value: Any) -> Value | None:
    """Return a single short value, or None for what is no fact to filter by."""
    if isinstance(value, str):
        return without_odd(value) if 0 < len(value) <= _LONGEST_FACT else None
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, int):  # bool among them
        return value if abs(value) < 1 << 63 else str(value)
    return None
