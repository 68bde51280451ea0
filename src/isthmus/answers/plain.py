"""Plain text and nothing else: what a model or a file says, made safe to print."""

from __future__ import annotations

import re
import unicodedata

from isthmus.answers.normal import is_ignorable, normal

__all__ = ["in_one_line", "plain", "without_links"]

REMOVED = "(link removed)"
_TLD = r"(?:[\w-]+\.)+[a-z][\w-]+"
_LINK = re.compile(
    # A Markdown link or image goes whole with its target, then addresses of any scheme, then
    # addresses without one that name a host and a path or a user, then HTML that would load.
    rf"!?\[[^\[\]]*\]\s*\([^()\s]*(?:\s[^()]*)?\)?"
    rf"|!?\[[^\[\]]*\]\s*\[[^\[\]]*\]|!\["
    rf"|\[[^\[\]]+\]:\s*\S+"
    rf"|\b[a-z][a-z0-9+.-]*:\s?/\s?/\s?[^\s<>\"']*"
    rf"|\b(?:mailto:|javascript:|vbscript:|blob:|tel:|data:[a-z]+/)[^\s<>\"']+"
    rf"|(?:\\\\|//){_TLD}[^\s<>\"']*"
    rf"|\bwww\.[^\s<>\"']+"
    rf"|\b{_TLD}(?::\d+)?[/?][^\s<>\"']*"
    rf"|\b\d{{1,3}}(?:\.\d{{1,3}}){{3}}(?::\d+)?/[^\s<>\"']*"
    rf"|</?(?:a|img|script|iframe|svg|object|embed|link|style|form|input|video|audio|meta|base)"
    rf"\b[^<>]*>?",
    re.IGNORECASE,
)
_ANSI = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_])|\x9b[0-?]*[ -/]*[@-~]"
)


def plain(text: str, *, visible: bool = True) -> str:
    r"""Return text without anything that a terminal or a page would act on.

    Characters without a shape (controls, escapes, zero width, direction; `is_ignorable`) are
    named in angle brackets, or left out; line ends and tabs stay.

    Parameters
    ----------
    text
        Any text.
    visible
        Whether what is taken out is named in its place, as ``<U+202E>``; False: escape sequences
        are left out whole. Joiners between letters that are not Latin stay, for they spell.

    Examples
    --------
    >>> plain("\x1b[31mred\u202e"), plain("\x1b[31mred\u202e", visible=False)
    ('<U+001B>[31mred<U+202E>', 'red')
    """
    text = text if visible else _ANSI.sub("", text)
    if text.isascii() and text.isprintable():
        return text
    kept = []
    for place, character in enumerate(text):
        if character in "\n\t" or not _acts(character) or _spells(text, place):
            kept.append(character)
        elif character.isspace():
            kept.append("\n" if character in "\r\x0b\x0c\x85\u2028\u2029" else " ")
        elif visible:
            kept.append(f"<U+{ord(character):04X}>")
    return "".join(kept)


def in_one_line(text: str, *, visible: bool = True, longest: int | None = None) -> str:
    r"""Return plain text on one line, white space as single spaces, cut to a length.

    Examples
    --------
    >>> in_one_line("one\r\n two\tthree", longest=8)
    'one two…'
    """
    line = " ".join(plain(text, visible=visible).split())
    return line if longest is None or len(line) <= longest else line[: longest - 1].rstrip() + "…"


def without_links(text: str, allowed: str = "") -> str:
    """Return text whose links, images and addresses are taken out, or made inert.

    Parameters
    ----------
    text
        Plain text of a model.
    allowed
        The passage: an address that stands in it word for word is shown, but inert
        (``https(:)//``), so that nothing makes a link of it.

    Examples
    --------
    >>> without_links("see ![a](https://x.example/?q=1) or https://y.example/a", "https://y.example/a")
    'see (link removed) or https(:)//y.example/a'
    """
    form = normal(text)
    links = list(_LINK.finditer(form.text))
    known = normal(allowed).text if links else ""
    done, parts = 0, []
    for found in links:
        start, end = form.starts[found.start()], form.ends[found.end() - 1]
        if start < done:
            continue
        parts += [text[done:start], _inert(found.group(), known)]
        done = end
    return "".join([*parts, text[done:]])


def _inert(link: str, known: str) -> str:
    address = link.rstrip(".,;:!?)")
    stands = re.search(rf"(?<!\S){re.escape(address)}(?=[.,;:!?)]*(?:\s|$))", known)
    if stands is None or "[" in link or "<" in link or "(" in link:
        return REMOVED
    # Without a scheme or a host nothing can be clicked on.
    sign, inert = ("://", "(:)//") if "://" in address else (".", "(.)")
    return address.replace(sign, inert) + link[len(address) :]


def _acts(character: str) -> bool:
    return (
        is_ignorable(character)
        or (character.isspace() and character != " ")
        or (unicodedata.category(character) in ("Cc", "Co", "Cn"))
    )


def _spells(text: str, place: int) -> bool:
    """Whether a joiner stands between letters or signs of scripts that need it."""
    if text[place] not in "\u200c\u200d" or not 0 < place < len(text) - 1:
        return False
    return all(c > "\u02ff" and not _acts(c) for c in (text[place - 1], text[place + 1]))
