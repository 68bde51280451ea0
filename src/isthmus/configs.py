"""Frozen dataclasses as configuration: to JSON and back, and their fields' documentation.

Every choice that a user can make is a field of a frozen dataclass with a line of
documentation under it. The command line, the run folder and the help texts are all made
from these fields, so that no default stands twice.
"""

from __future__ import annotations

import ast
import dataclasses
import functools
import inspect
import itertools
import textwrap
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from isthmus.errors import ConfigError

__all__ = ["by_name", "field_docs", "from_json", "to_json", "validated"]

T = TypeVar("T")


def by_name(*classes: type[T]) -> dict[str, type[T]]:
    """Return the classes keyed by their names, for reading configurations back."""
    return {cls.__name__: cls for cls in classes}


def to_json(config: Any) -> dict[str, Any]:
    """Return a configuration as plain JSON values, with its class under ``"kind"``.

    Examples
    --------
    >>> import dataclasses
    >>> @dataclasses.dataclass(frozen=True)
    ... class Shade:
    ...     depth: int = 3
    >>> to_json(Shade())
    {'kind': 'Shade', 'depth': 3}
    """
    values = {field.name: getattr(config, field.name) for field in dataclasses.fields(config)}
    return {"kind": type(config).__name__} | {k: _plain(v) for k, v in values.items()}


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return to_json(value)
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    return value


def from_json(value: Mapping[str, Any], kinds: Mapping[str, type[T]]) -> T:
    """Build the configuration that :func:`to_json` wrote.

    Parameters
    ----------
    value
        The object read from JSON, its class named under ``"kind"``.
    kinds
        The classes that may stand here, by name.

    Raises
    ------
    ConfigError
        If the class is not among ``kinds`` or a field is unknown or of the wrong type.
    """
    kind = value.get("kind")
    if not isinstance(kind, str) or kind not in kinds:
        known = ", ".join(sorted(kinds))
        raise ConfigError(f"unknown kind {kind!r}", why=f"known here: {known}")
    return validated(kinds[kind], {k: v for k, v in value.items() if k != "kind"})


def validated(cls: type[T], values: Mapping[str, Any]) -> T:
    """Build ``cls`` from untrusted values, each checked against its field's type.

    Raises
    ------
    ConfigError
        If a field is unknown or its value has the wrong type.
    """
    import pydantic

    known = [field.name for field in dataclasses.fields(cls)]  # type: ignore[arg-type]
    unknown = sorted(set(values) - set(known))
    if unknown:
        raise ConfigError(
            f"{cls.__name__} has no setting {unknown[0]!r}", why=f"it has: {', '.join(known)}"
        )
    try:
        return pydantic.TypeAdapter(cls).validate_python(dict(values))
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        own = first.get("ctx", {}).get("error")
        if isinstance(own, ConfigError):  # from the class itself, about several fields together
            raise own from error
        name = ".".join(str(part) for part in first["loc"])
        raise ConfigError(
            f"{cls.__name__}: {name} can't be {first['input']!r}", why=str(first["msg"])
        ) from error


@functools.cache
def field_docs(cls: type) -> Mapping[str, str]:
    """Return the line of documentation that stands under each field of a dataclass.

    Examples
    --------
    >>> from isthmus.bottlenecks import Plain
    >>> field_docs(Plain)["latent"]
    'Number of latents (the width of the code).'
    """
    docs: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        if dataclasses.is_dataclass(base):
            docs |= _own_docs(base)
    return docs


def _own_docs(cls: type) -> dict[str, str]:
    body = ast.parse(textwrap.dedent(inspect.getsource(cls))).body[0]
    statements = body.body if isinstance(body, ast.ClassDef) else []
    return {
        field.target.id: inspect.cleandoc(doc.value.value)
        for field, doc in _pairs(statements)
        if isinstance(field, ast.AnnAssign)
        and isinstance(field.target, ast.Name)
        and isinstance(doc, ast.Expr)
        and isinstance(doc.value, ast.Constant)
        and isinstance(doc.value.value, str)
    }


def _pairs(statements: Iterable[ast.stmt]) -> Iterable[tuple[ast.stmt, ast.stmt]]:
    return itertools.pairwise(statements)
