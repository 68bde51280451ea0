"""Conditions on metadata that a search may put on its hits."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from isthmus.data.corpora.documents import Metadata, Value
from isthmus.errors import ConfigError

__all__ = ["OPERATORS", "Condition", "matches", "read_condition"]

OPERATORS: Mapping[str, Callable[[Any, Any], bool]] = MappingProxyType(
    {
        "=": operator.eq,
        "!=": operator.ne,
        "<=": operator.le,
        ">=": operator.ge,
        "<": operator.lt,
        ">": operator.gt,
        "in": lambda value, choices: value in choices,
    }
)
_PATTERN = re.compile(r"\s*([^\s=!<>]+)\s*(<=|>=|!=|=|<|>)\s*(.*?)\s*", re.DOTALL)


@dataclass(frozen=True)
class Condition:
    """A field of the metadata held against a value.

    A document without the field, or with one of another kind (a number against a text), does not
    meet the condition, whatever the operator.
    """

    field: str
    """The field's name; "source", "document" and "title" are always there."""
    operator: str
    """One of `OPERATORS`."""
    value: Value | tuple[Value, ...]
    """What it is held against; several values for "in"."""

    def __post_init__(self) -> None:
        if self.operator not in OPERATORS:
            raise ConfigError(
                f"unknown operator {self.operator!r}", fix=f"one of {', '.join(OPERATORS)}"
            )
        if (self.operator == "in") != isinstance(self.value, tuple):
            raise ConfigError('several values go with "in", and only with it')

    def holds(self, metadata: Metadata) -> bool:
        """Say whether a document with this metadata meets it."""
        value = metadata.get(self.field)
        if value is None:
            return False
        if isinstance(self.value, tuple):
            return any(_alike(value, v) and value == v for v in self.value)
        return _alike(value, self.value) and OPERATORS[self.operator](value, self.value)


def matches(conditions: Sequence[Condition], metadata: Metadata) -> bool:
    """Say whether every condition holds."""
    return all(condition.holds(metadata) for condition in conditions)


def read_condition(text: str) -> Condition:
    """Read ``field=value`` (also ``!=``, ``<``, ``<=``, ``>``, ``>=``; ``field=a|b`` for either).

    Numbers and ``true``/``false`` are read as such; quotes keep them text.

    Raises
    ------
    ConfigError
        If there is no operator.

    Examples
    --------
    >>> read_condition("year>=1999")
    Condition(field='year', operator='>=', value=1999)
    >>> read_condition("kind=note|letter").value
    ('note', 'letter')
    """
    found = _PATTERN.fullmatch(text)
    if found is None:
        raise ConfigError(
            f"{text!r} is no condition", fix="write field=value, field!=value, field>=value, ..."
        )
    field, sign, value = found.groups()
    if sign == "=" and "|" in value:
        return Condition(field, "in", tuple(_value(part.strip()) for part in value.split("|")))
    return Condition(field, sign, _value(value))


def _value(text: str) -> Value:
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    quoted = len(text) >= 2 and text[0] == text[-1] and text[0] in "\"'"
    return text[1:-1] if quoted else text


def _alike(a: Value, b: Value) -> bool:
    """Whether two values may be compared: texts with texts, truths with truths, numbers."""
    if isinstance(a, bool) or isinstance(b, bool):
        return isinstance(a, bool) and isinstance(b, bool)
    return isinstance(a, str) == isinstance(b, str)
