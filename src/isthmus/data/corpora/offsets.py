"""From characters of a text to lines and columns, and to bytes of the file."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["byte_offsets", "locate"]


def locate(text: str, start: int, end: int | None = None) -> tuple[int, int]:
    r"""Return line and column, from 1, of the first character of a span that is not white space.

    Parameters
    ----------
    text
        The whole text.
    start, end
        The span in characters, half-open; without an end, to the end of the text.

    Examples
    --------
    >>> locate("one\n  two", 3)
    (2, 3)
    """
    part = text[start:end]
    blank = len(part) - len(part.lstrip())
    place = start + (blank if blank < len(part) else 0)
    return text.count("\n", 0, place) + 1, place - text.rfind("\n", 0, place)


def byte_offsets(text: str, places: Iterable[int]) -> dict[int, int]:
    """Return where characters of a text stand in its UTF-8 form, in one pass over the text.

    Parameters
    ----------
    text
        The whole text.
    places
        Positions in characters, in any order, from 0 to the length of the text.

    Examples
    --------
    >>> byte_offsets("naïve", [5, 2, 3])
    {2: 2, 3: 4, 5: 6}
    """
    wanted = sorted(set(places))
    if text.isascii():
        return {place: place for place in wanted}
    found, last, size = {}, 0, 0
    for place in wanted:
        size += len(text[last:place].encode("utf-8", "surrogatepass"))
        found[place], last = size, place
    return found
