"""Conditions as SQL over a jsonb column, with the meaning of `isthmus.search.filters` exactly.

Nothing that a user wrote becomes SQL text: fields and values are parameters. A value's kind is
looked at before it is cast (``CASE``, for ``AND`` promises no order); numbers are compared as
``numeric``, which loses nothing; texts in collation "C", whose order is that of Python.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from isthmus.data.corpora.documents import Metadata, Value
from isthmus.search.filters import Condition

if TYPE_CHECKING:
    from psycopg import sql

__all__ = ["exact_number", "filter_sql", "metadata_json"]

_CASTS = {
    "string": '({value}) COLLATE "C" {sign} ({given})::text COLLATE "C"',
    "boolean": "({value})::boolean {sign} ({given})::boolean",
    "number": "({value})::numeric {sign} ({given})::numeric",
}
_SIGNS = {"=": "=", "!=": "<>", "<": "<", "<=": "<=", ">": ">", ">=": ">="}


def exact_number(value: float) -> int | Decimal:
    """Return a number as PostgreSQL takes it without rounding.

    The shortest digits of a float are another number than the float itself where it is whole and
    above 2**53, and would not be equal to the same whole number written out.

    Examples
    --------
    >>> exact_number(2.0**60), exact_number(0.1)
    (1152921504606846976, Decimal('0.1'))
    """
    if isinstance(value, int):
        return value
    return int(value) if abs(value) >= 2**53 else Decimal(repr(float(value)))


def metadata_json(metadata: Metadata) -> str:
    """Return metadata as JSON whose numbers PostgreSQL keeps exactly."""
    return json.dumps({field: _kept(value) for field, value in metadata.items()})


def _kept(value: Value) -> Value:
    return int(value) if isinstance(value, float) and abs(value) >= 2**53 else value


def filter_sql(where: Sequence[Condition]) -> tuple[sql.Composable, dict[str, Any]]:
    """Return an SQL expression for all conditions, and its parameters."""
    from psycopg import sql

    parameters: dict[str, Any] = {}
    parts: list[sql.Composable] = [sql.SQL("TRUE")]
    for number, condition in enumerate(where):
        field = f"field_{number}"
        parameters[field] = condition.field
        if isinstance(condition.value, tuple):
            choices: list[sql.Composable] = [sql.SQL("FALSE")]
            for place, value in enumerate(condition.value):
                given = f"value_{number}_{place}"
                choices.append(_compared(field, "=", given, value, parameters))
            parts.append(sql.SQL("({})").format(sql.SQL(" OR ").join(choices)))
        else:
            given = f"value_{number}"
            sign = _SIGNS[condition.operator]
            parts.append(_compared(field, sign, given, condition.value, parameters))
    return sql.SQL(" AND ").join(parts), parameters


def _compared(
    field: str, sign: str, given: str, value: Value, parameters: dict[str, Any]
) -> sql.Composable:
    """Compare a field with a value of its own kind; anything else does not meet it."""
    from psycopg import sql

    if isinstance(value, bool):
        kind = "boolean"
    else:
        kind = "string" if isinstance(value, str) else "number"
        value = value if isinstance(value, str) else exact_number(value)  # type: ignore[assignment]
    parameters[given] = value
    name, asked = sql.Placeholder(field), sql.Placeholder(given)
    text = sql.SQL("metadata ->> {}::text").format(name)
    compared = sql.SQL(_CASTS[kind]).format(value=text, sign=sql.SQL(sign), given=asked)
    return sql.SQL(
        "CASE WHEN jsonb_typeof(metadata -> {}::text) = {} THEN {} ELSE FALSE END"
    ).format(name, sql.Literal(kind), compared)
