"""The documentation strings of the installed Python packages: a real corpus on every machine.

Source files are parsed, never imported or run.
"""

from __future__ import annotations

import ast
import os
import re
import sysconfig
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

from isthmus.data.corpora.choices import Found
from isthmus.data.corpora.documents import Document, Skipped
from isthmus.data.corpora.folders import reason
from isthmus.data.corpora.gathered import Gathered
from isthmus.errors import in_a_line

__all__ = ["Docstrings", "open_docstrings", "site_folders"]

_LARGEST = 4 << 20
_NOT_ENTERED = frozenset({"test", "tests", "idle_test", "site-packages", "dist-packages"})
_TEST_FILE = re.compile(r"(test_.*|.*_tests?|tests?|conftest)\.py")
_GOLDEN = 0.6180339887498949
_LETTERS = re.compile(r"[^\W\d_]+")
_Definition = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Docstrings:
    """What is taken of the documentation strings."""

    shortest: int = 80
    """Characters that a text must have."""
    limit: int | None = None
    """Documents at most; None: all."""
    spread: bool = True
    """Whether a limit takes files evenly spread over all, a few texts of each, instead of the
    first."""


def open_docstrings(
    choices: Docstrings = Docstrings(),
    folders: Sequence[Path] | None = None,
) -> Gathered:
    """Open the documentation strings of Python sources as a corpus.

    A document is the text of a module, class, function or method: its id and title are the
    dotted name, its source the file relative to its site folder, its row the line where the text
    begins; metadata are ``package`` and ``kind``. The text is without the indentation of the
    source. Tests, hidden and private names are left out; a text that differs from an earlier one
    in capitals, blanks, punctuation, digits or the thing's own name only is taken once.

    Parameters
    ----------
    choices
        What is taken.
    folders
        Site folders; None: the standard library, then the installed packages.
    """
    sites = tuple(site_folders() if folders is None else folders)
    looked = "documentation strings in Python files under " + ", ".join(map(str, sites))
    return Gathered(
        "docstrings",
        str(sites[0]) if len(sites) == 1 else "",
        lambda: _found(choices, sites),
        looked_for=looked,
        limit=choices.limit,
    )


def site_folders() -> tuple[Path, ...]:
    """Return the folder of the standard library, then those of the installed packages."""
    known = sysconfig.get_paths()
    folders = [Path(known[name]) for name in ("stdlib", "purelib", "platlib") if name in known]
    return tuple(dict.fromkeys(folder for folder in folders if folder.is_dir()))


def _found(choices: Docstrings, sites: Sequence[Path]) -> Iterator[Found]:
    """Yield the texts, each once."""
    files = [(site, name) for site in sites for name in _python_files(site)]
    most = None
    if choices.limit is not None and choices.spread and files:
        # multiples of the golden ratio fall evenly into any number of parts
        order = sorted(range(len(files)), key=lambda i: (i * _GOLDEN % 1.0, i))
        files = [files[i] for i in order]
        most = max(8, 4 * choices.limit // len(files))
    texts, names = set[bytes](), set[str]()
    for site, name in files:
        for found in _thinned(list(_of_file(site, name, choices.shortest)), most):
            if isinstance(found, Document):
                keys = _keys(found)
                if found.id in names or not texts.isdisjoint(keys):
                    continue
                texts.update(keys)
                names.add(found.id)
            yield found


def _thinned(found: list[Found], most: int | None) -> list[Found]:
    """Return at most so many, evenly spread."""
    if most is None or len(found) <= most:
        return found
    return [found[i * len(found) // most] for i in range(most)]


def _keys(document: Document) -> tuple[bytes, bytes]:
    """Return digests that near-identical texts share: of their words, and without the own name."""
    words = _LETTERS.findall(document.text.lower())
    own = set(_LETTERS.findall(document.id.rpartition(".")[2].lower()))
    others = [word for word in words if word not in own]
    return _digest(words), _digest(others)


def _digest(words: list[str]) -> bytes:
    return blake2b(" ".join(words).encode(), digest_size=12).digest()


def _python_files(site: Path) -> list[str]:
    """Return the Python files of a site folder, relative to it, in the order of their names."""
    names: list[str] = []
    for folder, inner, files in os.walk(site):
        inner[:] = sorted(n for n in inner if n.isidentifier() and n not in _NOT_ENTERED)
        start = Path(folder).relative_to(site).as_posix()
        prefix = "" if start == "." else f"{start}/"
        names += [
            f"{prefix}{name}"
            for name in sorted(files)
            if name.endswith(".py") and name[:-3].isidentifier() and not _TEST_FILE.fullmatch(name)
        ]
    return names


def _of_file(site: Path, source: str, shortest: int) -> Iterator[Found]:
    """Yield the texts of one file."""
    try:
        path = site / source
        if path.stat().st_size > _LARGEST:
            yield Skipped(source, "more than 4 MiB of Python")
            return
        data = path.read_bytes()
        if b'"""' not in data and b"'''" not in data:
            return
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about escapes in other people's strings
            tree = ast.parse(data)
    except OSError as error:
        yield Skipped(source, reason(error))
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        yield Skipped(source, f"not Python of this version: {in_a_line(error)}")
    else:
        module = source[:-3].replace("/", ".").removesuffix(".__init__")
        yield from _of_tree(tree, module, source, shortest)


def _of_tree(tree: ast.Module, module: str, source: str, shortest: int) -> Iterator[Document]:
    package = module.partition(".")[0]
    for name, kind, node in ((module, "module", tree), *_definitions(tree.body, module, "")):
        text = ast.get_docstring(node)
        if text is None or len(text) < shortest:
            continue
        try:
            text.encode()
        except UnicodeEncodeError:  # an escape made half a surrogate pair of it
            continue
        facts = {"package": package, "kind": kind}
        row = node.body[0].lineno
        yield Document(name, text, name, source, row, metadata=facts)


def _definitions(
    body: Iterable[ast.stmt], prefix: str, inside: str
) -> Iterator[tuple[str, str, _Definition]]:
    """Yield (dotted name, kind, node) of public classes and functions, not those in functions."""
    for node in body:
        if isinstance(node, ast.If | ast.Try | ast.With):
            nested = [*node.body, *getattr(node, "orelse", ())]
            yield from _definitions(nested, prefix, inside)
        elif isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            if node.name.startswith("_") and not node.name.endswith("__"):
                continue
            name = f"{prefix}.{node.name}"
            if isinstance(node, ast.ClassDef):
                yield name, "class", node
                yield from _definitions(node.body, name, "class")
            else:
                yield name, "method" if inside else "function", node
