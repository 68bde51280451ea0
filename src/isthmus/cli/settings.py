"""The settings of training and models, read from the dataclasses that declare them.

Read from their source, not by importing them: a help page needs no torch. Nothing is said
twice: names, types, defaults and documentation are those of the fields.
"""

from __future__ import annotations

import ast
import functools
import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files

_WITH_DEFAULTS = frozenset(
    {"Training", "Evaluation", "Sparse dictionaries", "Passages", "Embedder", "Dictionary", "Index"}
    | {"Several modalities: measuring"}
)

__all__ = ["DeclaredField", "Setting", "declared", "grouped", "registered"]


@dataclass(frozen=True)
class DeclaredField:
    """A field of a configuration."""

    panel: str
    """The group in which it is shown."""
    owner: str
    """The dataclass that has it."""
    name: str
    """Its name."""
    kind: str
    """Its type, as it is written."""
    default: str
    """Its default, as it is written; empty for none."""
    doc: str
    """The documentation under it, on one line."""


@dataclass(frozen=True)
class Setting:
    """A name on the command line, and the fields that it sets."""

    name: str
    """Name of the fields."""
    panel: str
    """The group in which it is shown: that of its first field."""
    fields: tuple[DeclaredField, ...]
    """The fields of that name, one a class."""

    @property
    def flag(self) -> str:
        """The option, such as ``--batch-size``."""
        return "--" + self.name.replace("_", "-")

    @property
    def is_flag(self) -> bool:
        """Whether it is switched on or off, and not given a value."""
        return all(field.kind == "bool" for field in self.fields)

    @property
    def is_on(self) -> bool:
        """Whether it is on unless switched off."""
        return self.is_flag and all(field.default == "True" for field in self.fields)

    @property
    def metavar(self) -> str:
        """What stands for the value in help."""
        kinds = dict.fromkeys(_metavar(field.kind) for field in self.fields)
        known = any(kind[:1].islower() for kind in kinds)
        # one class's plain text is no more than the words that another lists
        return "|".join(kind for kind in kinds if kind != "TEXT" or not known)

    @property
    def help(self) -> str:
        """The fields' documentation, each said once."""
        said: dict[str, list[DeclaredField]] = {}
        for field in self.fields:
            said.setdefault(field.doc, []).append(field)
        if len(said) == 1:
            return next(iter(said)) + self._default(self.fields)
        parts = []
        for doc, fields in said.items():
            owners = ", ".join(field.owner for field in fields)
            parts.append(f"{owners}: {doc}{self._default(tuple(fields))}")
        return " ".join(parts)

    @staticmethod
    def _default(fields: tuple[DeclaredField, ...]) -> str:
        # presets choose their parts' settings; only the defaults of training hold for them all
        default = fields[0].default
        silent = {"", "None", "True", "False"}
        if fields[0].panel not in _WITH_DEFAULTS or default in silent:
            return ""
        return f" Default {default}."


def declared(panel: str, place: str, *classes: str) -> tuple[DeclaredField, ...]:
    """Return the fields of dataclasses that stand in a module or a package.

    Parameters
    ----------
    panel
        The group in which they are shown.
    place
        A file or folder within the package, such as ``bottlenecks``.
    classes
        Names of the classes; default those that a registry names (``by_name(...)``).
    """
    trees = _trees(place)
    wanted = classes or registered(place)
    bodies = {
        node.name: node.body
        for tree in trees
        for node in tree.body
        if isinstance(node, ast.ClassDef) and node.name in wanted
    }
    return tuple(field for name in wanted for field in _fields(panel, name, bodies.get(name, [])))


def registered(place: str, registry: str = "") -> tuple[str, ...]:
    """Return the names of the classes in a place's registry, ``NAME = by_name(...)``.

    Parameters
    ----------
    registry
        The registry's name, where a place has several.
    """
    return tuple(name for tree in _trees(place) for name in _registered(tree, registry))


def grouped(fields: tuple[DeclaredField, ...]) -> tuple[Setting, ...]:
    """Put fields of one name together, in the order of their first appearance."""
    by_name: dict[str, list[DeclaredField]] = {}
    for field in fields:
        by_name.setdefault(field.name, []).append(field)
    return tuple(Setting(name, found[0].panel, tuple(found)) for name, found in by_name.items())


@functools.cache
def _trees(place: str) -> tuple[ast.Module, ...]:
    """Parse a file, or every file of a folder, within the package; they do not change."""
    root = files("isthmus").joinpath(*place.split("/"))
    found = [root] if root.is_file() else [f for f in root.iterdir() if f.name.endswith(".py")]
    found.sort(key=lambda file: file.name)
    return tuple(ast.parse(file.read_text(encoding="utf-8")) for file in found)


def _registered(tree: ast.Module, registry: str) -> list[str]:
    return [
        argument.id
        for node in tree.body
        if isinstance(node, ast.Assign | ast.AnnAssign)
        and isinstance(node.value, ast.Call)
        and isinstance(node.value.func, ast.Name)
        and node.value.func.id == "by_name"
        for argument in node.value.args
        if isinstance(argument, ast.Name) and (not registry or registry in _targets(node))
    ]


def _targets(node: ast.Assign | ast.AnnAssign) -> set[str]:
    """Return the names that are assigned to."""
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    return {target.id for target in targets if isinstance(target, ast.Name)}


def _fields(panel: str, owner: str, body: list[ast.stmt]) -> Iterator[DeclaredField]:
    for statement, after in zip(body, [*body[1:], ast.Pass()], strict=True):
        if not isinstance(statement, ast.AnnAssign) or not isinstance(statement.target, ast.Name):
            continue
        doc = ""
        if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
            doc = " ".join(inspect.cleandoc(str(after.value.value)).replace("``", "").split())
        default = ast.unparse(statement.value) if statement.value is not None else ""
        name, kind = statement.target.id, ast.unparse(statement.annotation)
        yield DeclaredField(panel, owner, name, kind, default.strip("()' "), doc)


def _metavar(kind: str) -> str:
    """Write a type for people.

    Examples
    --------
    >>> _metavar("tuple[int, ...]"), _metavar("Literal['a', 'b']"), _metavar("float | None")
    ('INT,..', 'a|b', 'FLOAT')
    """
    parts = [part.strip() for part in kind.split(" | ") if part.strip() != "None"]
    return "|".join(dict.fromkeys(_one(part) for part in parts))


def _one(kind: str) -> str:
    if kind.startswith("tuple["):
        first = kind.removeprefix("tuple[").split(",")[0].strip("]").upper()
        return f"{first},.."
    if kind.startswith("Literal["):
        return "|".join(str(value) for value in ast.literal_eval(f"[{kind[8:-1]}]"))
    return {"str": "TEXT", "bool": "BOOL"}.get(kind, kind.upper() if kind.islower() else "TEXT")
