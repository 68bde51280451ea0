"""Conditions as Qdrant filters that let through at least what meets them.

Qdrant compares numbers in float64 and knows no order of texts. So a filter is made a little wider
where it must be, and `isthmus.search.filters.matches` has the last word on what comes back.
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from isthmus.data.corpora.documents import Metadata, Value
from isthmus.search.filters import OPERATORS, Condition

if TYPE_CHECKING:
    from qdrant_client import models

__all__ = ["facts_of", "payload_of", "server_filter"]

_PLAIN = re.compile(r"[^A-Za-z0-9_]")
_CODED = re.compile(r"-([0-9a-f]+)-")
FACTS = "metadata"


def payload_of(metadata: Metadata) -> dict[str, Value]:
    """Return metadata under names that no path can mistake: ``a.b`` becomes ``a-2e-b``.

    Examples
    --------
    >>> payload_of({"year": 1999, "a.b": "x"})
    {'f_year': 1999, 'f_a-2e-b': 'x'}
    """
    return {_key(field): value for field, value in metadata.items()}


def facts_of(payload: dict[str, Any]) -> dict[str, Value]:
    """Return the metadata that a payload was made of.

    Examples
    --------
    >>> facts_of(payload_of({"a-2e-b": 1, "": True}))
    {'a-2e-b': 1, '': True}
    """
    return {
        _CODED.sub(lambda found: chr(int(found[1], 16)), key[2:]): value
        for key, value in payload.items()
    }


def server_filter(where: Sequence[Condition]) -> models.Filter | None:
    """Return a filter for all conditions; None where nothing can meet them.

    Parameters
    ----------
    where
        Conditions, at least one.
    """
    from qdrant_client import models

    parts = [_part(condition) for condition in where]
    if any(part is None for part in parts):
        return None
    return models.Filter(must=[part for part in parts if part is not None])


def _key(field: str) -> str:
    return "f_" + _PLAIN.sub(lambda found: f"-{ord(found[0]):x}-", field)


def _part(condition: Condition) -> Any:
    """Return the filter of one condition; None where nothing can meet it."""
    from qdrant_client import models

    key = f"{FACTS}.{_key(condition.field)}"
    if isinstance(condition.value, tuple):
        choices: list[Any] = [_equal(key, value) for value in condition.value]
        return models.Filter(should=choices) if choices else None
    if isinstance(condition.value, bool):
        test = OPERATORS[condition.operator]
        truths: list[Any] = [_equal(key, t) for t in (False, True) if test(t, condition.value)]
        return models.Filter(should=truths) if truths else None
    if condition.operator == "=":
        return _equal(key, condition.value)
    if isinstance(condition.value, str):
        empty = models.IsEmptyCondition(is_empty=models.PayloadField(key=key))
        return models.Filter(must_not=[empty])
    return _between(key, condition.operator, condition.value)


def _equal(key: str, value: Value) -> models.FieldCondition:
    from qdrant_client import models

    if isinstance(value, bool | str):
        return models.FieldCondition(key=key, match=models.MatchValue(value=value))
    low, high = _ends(value)  # an exact match would tell 1 from 1.0
    return models.FieldCondition(key=key, range=models.Range(gte=low, lte=high))


def _between(key: str, sign: str, value: float) -> models.FieldCondition:
    """Return a range; its ends belong to it, for a whole number may round to them."""
    from qdrant_client import models

    low, high = _ends(value)
    if sign == "!=":
        return models.FieldCondition(key=key, range=models.Range(gte=-sys.float_info.max))
    ends = {"lte": high} if sign in ("<", "<=") else {"gte": low}
    return models.FieldCondition(key=key, range=models.Range(**ends))


def _ends(value: float) -> tuple[float, float]:
    """Return the floats beside a number that may have been rounded, else itself."""
    near = float(value)
    if abs(near) < 2**53:
        return near, near
    return max(math.nextafter(near, -math.inf), -sys.float_info.max), min(
        math.nextafter(near, math.inf), sys.float_info.max
    )
