"""Documentation strings: of made sources exactly, of the installed packages within bounds."""

import sys
import time
import warnings

import pytest

from isthmus.data.corpora import Docstrings, open_corpus, open_docstrings
from isthmus.data.corpora.docstrings import site_folders
from isthmus.errors import DataError

SOURCE = '''"""What the module is for.

    Indented more.
"""
import a_module_that_does_not_exist

raise SystemExit("this file must never run")


class Shelf(a_module_that_does_not_exist.Base):
    """A shelf that holds jars of every kind."""

    def __init__(self):
        r"""Make a shelf with \\d jars on it."""

    def take(self, jar):
        """Take a jar from the shelf and hand it over."""

        def inner():
            """A function in a function is left out here."""

    @property
    def _hidden(self):
        """A private name is left out of the corpus."""

    class Board:
        """A board that is a part of a shelf."""


try:
    async def wait(seconds):
        """Wait for some seconds, politely and silently."""
except ImportError:
    pass

def wait(seconds):
    """The second one of this name is left out."""

def short():
    """Too short."""
'''


@pytest.fixture
def site(tmp_path):
    root = tmp_path / "site"
    files = {
        "shop/__init__.py": SOURCE,
        "shop/jars.py": '"""A shelf, that holds 3 jars of  EVERY kind!"""\n\ndef jars_called(n):\n'
        '    """Return the jars_called with this number."""\n\ndef pots_called(n):\n'
        '    """Return the pots_called with this number."""\n',
        "shop/tests/test_jars.py": '"""Tests are left out, whatever they say."""',
        "shop/test_more.py": '"""Tests are left out, whatever they say."""',
        "shop/broken.py": '"""It is not Python."""\ndef (:\n',
        "shop/old.py": '"""It is old Python."""\nprint "x"\n',
        "shop/cookie.py": '# -*- coding: latin-1 -*-\n"""Caf\xe9 au lait is what it says."""\n',
        "shop/nul.py": '"""It holds a NUL."""\0',
        "shop/pair.py": '"""Half a surrogate pair \\ud83d is in here."""',
        "shop/escape.py": '"""A wrong escape \\d is in this one."""',
        "shop/bare.py": "def nothing(): pass\n",
        "shop-1.0.dist-info/x.py": '"""Not a package, for its name is no identifier."""',
        "alone.py": "'''A module that stands alone, in simple quotes.'''",
    }
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(text.encode("latin-1"))
    return root


def test_texts_of_sources_that_are_never_run(site):
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # nobody is to hear of other people's escapes
        corpus = open_docstrings(Docstrings(shortest=20), [site])
        found = list(corpus)
    told = {d.id: d for d in found}
    assert list(told) == [
        "alone",
        "shop",
        "shop.Shelf",
        "shop.Shelf.__init__",
        "shop.Shelf.take",
        "shop.Shelf.Board",
        "shop.wait",
        "shop.cookie",
        "shop.escape",
        "shop.jars.jars_called",
    ]
    assert "shop" not in sys.modules
    assert told["shop"].text == "What the module is for.\n\nIndented more."
    take = told["shop.Shelf.take"]
    assert (take.title, take.source, take.row) == ("shop.Shelf.take", "shop/__init__.py", 17)
    assert take.metadata == {"package": "shop", "kind": "method"}
    kinds = [d.metadata["kind"] for d in found]
    assert kinds[:7] == ["module", "module", "class", "method", "method", "class", "function"]
    assert told["shop.wait"].text.startswith("Wait for some")
    assert told["shop.cookie"].text == "Café au lait is what it says."
    assert sorted(s.source for s in corpus.skipped) == [
        "shop/broken.py",
        "shop/nul.py",
        "shop/old.py",
    ]
    assert all(s.why.startswith("not Python of this version: ") for s in corpus.skipped)
    assert corpus.root == str(site)
    lines = (site / take.source).read_text("latin-1").splitlines()
    assert lines[take.row - 1].strip().strip('"') == take.text


def test_a_limit_and_the_shortest_length(site):
    assert [d.id for d in open_docstrings(Docstrings(39, 2, spread=False), [site])] == [
        "alone",
        "shop",
    ]
    spread = [d.id for d in open_docstrings(Docstrings(20, 5), [site])]
    assert len(spread) == 5
    assert spread == [d.id for d in open_docstrings(Docstrings(20, 5), [site])]
    with pytest.raises(DataError, match="documentation strings in Python files under"):
        list(open_docstrings(Docstrings(shortest=10_000), [site]))


def test_a_file_that_is_too_large_or_gone_is_named(site, monkeypatch):
    import ast

    (site / "huge.py").write_bytes(b'"""Much."""\n' + b"#" * (4 << 20))
    parse = ast.parse

    def deep(data, *rest):
        if b"stands alone" in data:
            raise RecursionError
        return parse(data, *rest)

    monkeypatch.setattr(ast, "parse", deep)
    corpus = open_docstrings(Docstrings(shortest=20), [site])
    list(corpus)
    told = {s.source: s.why for s in corpus.skipped}
    assert told["huge.py"] == "more than 4 MiB of Python"
    assert told["alone.py"] == "not Python of this version: RecursionError"


def test_the_installed_packages_are_a_corpus_on_every_machine():
    start = time.process_time()
    before = set(sys.modules)
    corpus = open_corpus("docstrings", limit=300)
    found = list(corpus)
    assert time.process_time() - start < 5
    assert len(found) == 300
    assert len({d.id for d in found}) == 300
    assert len({d.text for d in found}) == 300
    assert len({d.metadata["package"] for d in found}) >= 10  # evenly spread
    assert min(len(d.text) for d in found) >= 80
    assert not any("test" in d.source.split("/") for d in found)
    assert [d.id for d in corpus] == [d.id for d in found]
    new = {name.partition(".")[0] for name in set(sys.modules) - before}
    assert not new & {d.metadata["package"] for d in found} - set(sys.stdlib_module_names)
    sites = site_folders()
    for document in found[::20]:
        (path,) = {s / document.source for s in sites if (s / document.source).is_file()}
        line = path.read_text(encoding="utf-8").splitlines()[document.row - 1]
        assert '"""' in line or "'''" in line or '"' in line
