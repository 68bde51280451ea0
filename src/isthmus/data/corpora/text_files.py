"""One file of text is one document."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from itertools import islice, pairwise
from pathlib import Path, PurePosixPath

from isthmus.data.corpora.bytes_in import decoded, opened, too_large
from isthmus.data.corpora.choices import Choices, Found
from isthmus.data.corpora.documents import Document, Skipped

__all__ = ["heading", "read_text_file"]

_MARKDOWN = frozenset({".md", ".markdown"})
_HEADING = re.compile(r" {0,3}#{1,6}[ \t]+(.*?)(?:[ \t]+#+)?[ \t]*")
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_LINE = re.compile(r"[^\n]*\n?")
_UNDERLINES = {".rst": re.compile(r"([=\-~^\"'`#*+.:_])\1{2,}[ \t]*")}
_UNDERLINED = re.compile(r" {0,3}(=+|-{2,})[ \t]*")
_GIVEN = re.compile(r"title:[ \t]*(.+)", re.IGNORECASE)
_SEARCHED_LINES = 400


def read_text_file(path: Path, source: str, choices: Choices) -> Iterator[Found]:
    """Yield the document that a file is.

    Its id is its name relative to the root; its title the first heading of a Markdown or
    reStructuredText file, else the file's name without ending; its metadata ``folder`` and
    ``ending``.
    """
    with opened(path, choices.unpacked) as handle:
        packed = path.suffix.lower() == ".gz"
        size = os.fstat(handle.fileno()).st_size if not packed else 0
        if size > choices.largest:
            yield Skipped(source, too_large(size, choices.largest))
            return
        data = handle.read(choices.largest + 1)
    if len(data) > choices.largest:
        yield Skipped(source, too_large(len(data), choices.largest))
        return
    text, offset = decoded(data, choices.encoding)
    name = PurePosixPath(source.removesuffix(".gz") if packed else source)
    folder = str(name.parent)
    yield Document(
        id=source,
        text=text,
        title=heading(text, name.suffix.lower()) or name.stem,
        source=source,
        offset=None if packed else offset,
        metadata={"folder": "" if folder == "." else folder, "ending": name.suffix.lower()},
    )


def heading(text: str, ending: str) -> str:
    r"""Return the first heading of a marked-up text, or nothing.

    Of a Markdown text with a header between lines of ``---``, its title.

    Parameters
    ----------
    text
        The text; its first 400 lines are looked at.
    ending
        The file's ending in lower case: ``.md``, ``.markdown``, ``.rst``; others have no headings.

    Examples
    --------
    >>> heading("```\n# no\n```\n\n## Yes ##\n", ".md"), heading("A word\n======\n", ".rst")
    ('Yes', 'A word')
    """
    start = [found[0].rstrip("\r\n") for found in islice(_LINE.finditer(text), _SEARCHED_LINES)]
    if ending in _MARKDOWN:
        return _markdown_heading(start)
    underline = _UNDERLINES.get(ending)
    if underline is None:
        return ""
    for line, below in pairwise(start):
        title = line.strip()
        under = len(below.rstrip()) if underline.fullmatch(below) else 0
        if title and under >= len(title) and not underline.fullmatch(line):
            return title
    return ""


def _markdown_heading(start: list[str]) -> str:
    header = start.index("---", 1) if start[:1] == ["---"] and "---" in start[1:] else 0
    for line in start[1:header]:
        if given := _GIVEN.fullmatch(line):
            return given[1].strip().strip("\"'")
    fence, above = "", ""
    for line in start[header + 1 if header else 0 :]:
        if found := _FENCE.match(line):
            if not fence:
                fence = found[1]
            elif found[1].startswith(fence):
                fence = ""
            above = ""
            continue
        if fence:
            continue
        if (found := _HEADING.fullmatch(line)) and found[1]:
            return found[1]
        if above and _UNDERLINED.fullmatch(line):
            return above
        above = "" if line.startswith(("    ", "\t", ">", "- ", "* ", "|")) else line.strip()
    return ""
