"""One self-contained HTML page: text, tables and pictures, nothing loaded from elsewhere."""

from __future__ import annotations

import base64
import hashlib
import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np

from isthmus.errors import DataError
from isthmus.figures.picture import Picture
from isthmus.figures.table import Table

__all__ = ["ReportPicture", "ReportSound", "ReportTable", "Section", "html_report"]

_PNG = b"\x89PNG\r\n\x1a\n"
_MOST_CELLS = 2000


@dataclass(frozen=True)
class ReportTable:
    """A table with its caption."""

    table: Table
    """The numbers and words."""
    caption: str
    """What it shows, and how it was measured."""


@dataclass(frozen=True)
class ReportPicture:
    """A picture as the bytes of a PNG, with its words."""

    png: bytes
    """A whole PNG file."""
    alt: str
    """What it shows, for those who can't see it."""
    caption: str = ""
    """What stands under it."""
    table: Table | None = None
    """The numbers behind it, folded away under it where they have at most 2,000 cells."""

    @classmethod
    def of(cls, picture: Picture, caption: str = "") -> ReportPicture:
        """Take a :class:`Picture` with its words and its table."""
        return cls(picture.png(), picture.alt, caption, picture.table)


@dataclass(frozen=True)
class ReportSound:
    """A sound as the bytes of a WAV file, to be played on the page."""

    wav: bytes
    """A whole WAV file."""
    what: str
    """What is heard; sounds of the same stand in one row."""
    where: str
    """Where it comes from; sounds of the same stand in one column."""


@dataclass(frozen=True)
class Section:
    """A part of the page: words, then tables, then pictures, then sounds."""

    heading: str
    """What stands above it and in the contents."""
    text: Sequence[str] = ()
    """Paragraphs, as plain text."""
    tables: Sequence[ReportTable] = ()
    """Tables, in order."""
    pictures: Sequence[ReportPicture | Picture] = ()
    """Pictures, in order."""
    sounds: Sequence[ReportSound] = ()
    """Sounds, in order."""


def html_report(title: str, sections: Sequence[Section], *, language: str = "en") -> str:
    """Write a whole HTML page as a string.

    All text is escaped; images and sounds are ``data:`` URIs; there is no script and no address of
    anything else, and the page's own policy forbids the browser to load any. It follows the
    reader's choice of dark or light.

    Parameters
    ----------
    title
        Of the page.
    sections
        Its parts, in order; more than one make a list of contents.
    language
        Of the text, as HTML's ``lang``.

    Returns
    -------
    str
        The page; write it as UTF-8.

    Raises
    ------
    DataError
        If a picture isn't a PNG, or a sound isn't a WAV file.
    """
    digest = base64.b64encode(hashlib.sha256(_CSS.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; img-src data:; {_heard(sections)}style-src 'sha256-{digest}'; "
        "base-uri 'none'; form-action 'none'"
    )
    parts = [
        "<!DOCTYPE html>",
        f'<html lang="{escape(language)}">',
        "<head>",
        '<meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{escape(policy)}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        '<meta name="color-scheme" content="light dark">',
        '<meta name="referrer" content="no-referrer">',
        f"<title>{_text(title)}</title>",
        f"<style>{_CSS}</style>",
        "</head>",
        "<body>",
        "<main>",
        f"<h1>{_text(title)}</h1>",
        *_contents(sections),
        *(line for i, section in enumerate(sections, 1) for line in _section(i, section)),
        "</main>",
        "</body>",
        "</html>",
    ]
    return "\n".join(parts) + "\n"


def _text(value: object) -> str:
    """Escape text and drop what HTML can't hold: control characters and lone surrogates."""
    clean = str(value).encode("utf-8", "replace").decode("utf-8")
    return escape("".join(c for c in clean if c in "\n\t" or (c >= " " and c != "\x7f")))


def _contents(sections: Sequence[Section]) -> list[str]:
    if len(sections) < 2:
        return []
    items = [
        f'<li><a href="#s{i}">{_text(section.heading)}</a></li>'
        for i, section in enumerate(sections, 1)
    ]
    return ['<nav aria-label="Contents">', "<ol>", *items, "</ol>", "</nav>"]


def _section(index: int, section: Section) -> list[str]:
    lines = [
        f'<section id="s{index}" aria-labelledby="h{index}">',
        f'<h2 id="h{index}">{_text(section.heading)}</h2>',
    ]
    lines += [f"<p>{_text(paragraph)}</p>" for paragraph in section.text]
    for entry in section.tables:
        lines += _table(entry.table, entry.caption)
    for picture in section.pictures:
        shown = ReportPicture.of(picture) if isinstance(picture, Picture) else picture
        lines += _picture(shown)
    if section.sounds:
        lines += _sounds(section.sounds)
    return [*lines, "</section>"]


def _heard(sections: Sequence[Section]) -> str:
    """Return what the page's policy says of sounds: nothing where there are none."""
    return "media-src data:; " if any(section.sounds for section in sections) else ""


def _sounds(sounds: Sequence[ReportSound]) -> list[str]:
    """Write players as a table: a row for what is heard, a column for where it comes from."""
    columns = list(dict.fromkeys(sound.where for sound in sounds))
    rows: dict[str, dict[str, ReportSound]] = {}
    for sound in sounds:
        rows.setdefault(sound.what, {})[sound.where] = sound
    head = "".join(f'<th scope="col">{_text(name)}</th>' for name in columns)
    lines = ['<div class="wide" tabindex="0">', "<table>"]
    lines += [f"<thead><tr><td></td>{head}</tr></thead>", "<tbody>"]
    for what, found in rows.items():
        cells = "".join(
            f"<td>{_player(found[name]) if name in found else ''}</td>" for name in columns
        )
        lines.append(f'<tr><th scope="row">{_text(what)}</th>{cells}</tr>')
    return [*lines, "</tbody>", "</table>", "</div>"]


def _player(sound: ReportSound) -> str:
    if sound.wav[:4] != b"RIFF" or sound.wav[8:12] != b"WAVE":
        raise DataError("a sound of the report isn't a WAV file", why=f"{len(sound.wav)} bytes")
    data = base64.b64encode(sound.wav).decode()
    return (
        f'<audio controls preload="metadata" aria-label="{_text(f"{sound.what}, {sound.where}")}" '
        f'src="data:audio/wav;base64,{data}"></audio>'
    )


def _table(table: Table, caption: str) -> list[str]:
    """Write a table; columns of numbers stand to the right, the first column heads its row."""
    numeric = [_is_numeric(values) for values in table.columns.values()]
    head = "".join(
        f'<th scope="col"{_side(right)}>{_text(name)}</th>'
        for name, right in zip(table.columns, numeric, strict=True)
    )
    body = []
    for row in table.rows():
        cells = "".join(
            f'<th scope="row"{_side(right)}>{_text(_shown(value))}</th>'
            if first
            else f"<td{_side(right)}>{_text(_shown(value))}</td>"
            for first, value, right in zip(
                [True] + [False] * (len(row) - 1), row, numeric, strict=True
            )
        )
        body.append(f"<tr>{cells}</tr>")
    return [
        '<div class="wide" tabindex="0">',
        "<table>",
        f"<caption>{_text(caption)}</caption>",
        f"<thead><tr>{head}</tr></thead>",
        "<tbody>",
        *body,
        "</tbody>",
        "</table>",
        "</div>",
    ]


def _side(right: bool) -> str:
    return ' class="n"' if right else ""


def _is_numeric(values: Any) -> bool:
    return all(v is None or (isinstance(v, int | float | np.number)) for v in values)


def _shown(value: Any) -> str:
    """Write a value for reading: 4 significant figures; the CSV beside a figure has them all."""
    if value is None:
        return "\N{EN DASH}"
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if isinstance(value, float | np.floating):
        return f"{float(value):.4g}" if math.isfinite(value) else "\N{EN DASH}"
    return str(value)


def _picture(picture: ReportPicture) -> list[str]:
    width, height = _size(picture.png)
    data = base64.b64encode(picture.png).decode()
    lines = [
        "<figure>",
        f'<img src="data:image/png;base64,{data}" alt="{_text(picture.alt)}" '
        f'width="{width // 2}" height="{height // 2}">',
    ]
    if picture.caption:
        lines.append(f"<figcaption>{_text(picture.caption)}</figcaption>")
    table = picture.table
    if table is not None and 0 < len(table) * len(table.columns) <= _MOST_CELLS:
        lines += ["<details>", "<summary>The numbers behind it</summary>"]
        lines += [*_table(table, picture.caption or picture.alt), "</details>"]
    return [*lines, "</figure>"]


def _size(png: bytes) -> tuple[int, int]:
    """Read width and height from a PNG's header."""
    if not png.startswith(_PNG) or len(png) < 24 or png[12:16] != b"IHDR":
        raise DataError("a picture of the report isn't a PNG", why=f"{len(png)} bytes")
    width, height = struct.unpack(">II", png[16:24])
    return int(width), int(height)


_CSS = """
:root { color-scheme: light dark; --ink: #1b1b1b; --paper: #ffffff; --line: #c9c9c9;
  --soft: #f3f3f3; --quiet: #555555; --link: #005a92; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #ececec; --paper: #161616; --line: #4a4a4a; --soft: #232323;
    --quiet: #b5b5b5; --link: #7cc4f5; } }
* { box-sizing: border-box; }
body { margin: 0; color: var(--ink); background: var(--paper);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
main { max-width: 62rem; margin: 0 auto; padding: 1.5rem 1.25rem 4rem; }
h1 { font-size: 1.8rem; line-height: 1.2; }
h2 { font-size: 1.3rem; margin-top: 2.5rem; padding-top: .6rem;
  border-top: 1px solid var(--line); }
p { max-width: 46rem; white-space: pre-line; }
a { color: var(--link); }
nav ol { columns: 2; padding-left: 1.4rem; }
.wide { overflow-x: auto; margin: 1rem 0; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .92rem; }
caption { text-align: left; color: var(--quiet); padding-bottom: .4rem; }
th, td { padding: .3rem .7rem; border-bottom: 1px solid var(--line); text-align: left;
  font-weight: normal; white-space: nowrap; }
thead th { font-weight: 600; background: var(--soft); }
.n { text-align: right; }
figure { margin: 1.5rem 0; }
img { max-width: 100%; height: auto; background: #ffffff; border-radius: 4px; padding: 6px; }
figcaption { color: var(--quiet); max-width: 46rem; }
summary { cursor: pointer; color: var(--link); padding: .4rem 0; }
audio { vertical-align: middle; height: 2.2rem; width: 13rem; }
@media print { nav, details { display: none; } }
"""
