"""What a search found, for reading: every hit with what its score is made of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from isthmus.cli.plain_text import aligned, bar, label_of, line_of, wrapped
from isthmus.cli.screen import Screen

if TYPE_CHECKING:
    from isthmus.search.hits import Contribution, Hit
    from isthmus.search.index.index import Index, Results

Shared = Callable[[str], int]
"""Counts the different words of a query that stand in a text."""

__all__ = ["Labels", "moved_lines", "place_of", "show_results", "snippet"]

_REASONS = 5
_QUERY = 8
_SNIPPET = 320


def show_results(screen: Screen, index: Index, results: Results, *, filtered: bool = False) -> None:
    """Write what was found, or why nothing was."""
    embedder = index.manifest.embedder
    if screen.as_json:
        said = {key: embedder.get(key) for key in ("name", "description")}
        found = {"index": str(index.folder), "embedder": said, "unknown": results.unknown}
        screen.json({**results.json(), **found})
        return
    screen.say(f"embedder: {line_of(str(embedder.get('description')))}")
    labels = Labels(index)
    screen.words([*_query(results, labels), *moved_lines(results, labels)])
    if not results.hits:
        _nothing(screen, results, filtered=filtered)
    asked = index.words.content_words(results.query).keys()

    def shared(text: str) -> int:
        return len(asked & set(index.words.tokens(text)))

    for rank, hit in enumerate(results.hits, 1):
        screen.line()
        _show_hit(screen, rank, hit, shared, labels)


class Labels:
    """What an index' concepts are called; one without a name by the words that set it apart.

    Parameters
    ----------
    index
        The index.
    """

    def __init__(self, index: Index) -> None:
        self._index = index

    def __call__(self, concept: int) -> str:
        """Return a name, or words, and the number."""
        name = self._index.names[concept]
        words = () if name is not None else self._words(concept)
        return label_of(concept, name) + (f" ({line_of(', '.join(words), 40)})" if words else "")

    def _words(self, concept: int) -> tuple[str, ...]:
        if self._index.manifest.concepts is None:
            return ()
        return tuple(word.text for word in self._index.concepts[concept].words[:3])


def _query(results: Results, labels: Labels) -> list[tuple[str, str]]:
    shown = results.concepts[:_QUERY]
    told = [f"{labels(c.id)} {c.contribution:+.2f}" for c in shown]
    more = len(results.concepts) - len(shown)
    told += [f"and {more} more"] if more > 0 else []
    return [
        ("query", line_of(results.query, 500)),
        ("ranked by", results.by),
        ("concepts", ", ".join(told) if told else "none"),
    ]


def moved_lines(results: Results, labels: Labels) -> list[tuple[str, str]]:
    """Return what steering changed about a query."""
    return [
        ("steered" if first == 0 else "", f"{labels(m.id)} {m.before:.2f} -> {m.after:.2f}")
        for first, m in enumerate(results.moved)
    ]


def _nothing(screen: Screen, results: Results, *, filtered: bool) -> None:
    if results.unknown and results.by in ("concepts", "reconstruction"):
        screen.words(
            [
                ("found", "nothing: no passage has a concept of this query"),
                ("try", "other words, or --by words, --by dense or --by hybrid"),
            ]
        )
        return
    why = "no passage that meets the conditions" if filtered else "no passage"
    screen.words([("found", f"nothing: {why} has anything of the query")])


def _show_hit(screen: Screen, rank: int, hit: Hit, shared: Shared, labels: Labels) -> None:
    title = f"  {line_of(hit.title, 100)}" if hit.title.strip() else ""
    screen.line(f"{rank}. {hit.score:.4f}  {line_of(hit.document, 80)}{title}", style="bold")
    screen.line(f"    {place_of(hit)}", style="dim")
    for line in wrapped(snippet(hit.text, shared), min(screen.out.width, 100)):
        screen.line(line)
    for line in _reasons(hit, labels):
        screen.line(f"    {line}")


def place_of(hit: Hit) -> str:
    """Say where a passage stands: file, line, and bytes where it is there word for word.

    Examples
    --------
    >>> from isthmus.search.hits import Hit
    >>> place_of(Hit("a.md#0", 1.0, "Bread.", "a.md", source="a.md", start_byte=4, end_byte=10))
    'a.md, bytes 4-10'
    """
    source = line_of(hit.source or hit.document, 200)
    if hit.row is not None:
        source = f"{source}:{hit.row}"
    if hit.start_byte is not None:
        return f"{source}, bytes {hit.start_byte}-{hit.end_byte}"
    return f"{source}, characters {hit.start}-{hit.end}"


def snippet(text: str, shared: Shared, longest: int = _SNIPPET) -> str:
    """Return the part of a passage that begins with the sentence nearest to the query.

    Parameters
    ----------
    text
        The passage.
    shared
        Counts the query's words in a text.
    longest
        Characters at most.
    """
    from isthmus.data.corpora.sentences import sentences

    if len(text) <= longest:
        return line_of(text, longest)
    spans = sentences(text)
    if not spans:
        return line_of(text, longest)
    best = max(range(len(spans)), key=lambda i: (shared(text[spans[i][0] : spans[i][1]]), -i))
    start = spans[best][0]
    # the passage's end is shown whole rather than in half a line
    while best > 0 and len(text) - start < longest:
        best -= 1
        if len(text) - spans[best][0] > longest:
            break
        start = spans[best][0]
    return ("… " if start else "") + line_of(text[start:], longest)


def _reasons(hit: Hit, labels: Labels) -> list[str]:
    """Return what a score is made of, the largest parts by name, with bars; all add up to it."""
    order = sorted(hit.concepts, key=lambda c: -abs(c.contribution))
    rows = [(labels(c.id), c.contribution) for c in order[:_REASONS]]
    rest = order[_REASONS:]
    if rest:
        rows.append((_counted(rest), sum(c.contribution for c in rest)))
    rows += [(f"({name})", value) for name, value in hit.parts.items()]
    largest = max((abs(value) for _, value in rows), default=0.0)
    cells = [(name, f"{value:+.3f}", bar(value, largest)) for name, value in rows]
    return aligned(cells, (False, True, False))


def _counted(rest: Sequence[Contribution]) -> str:
    return f"{len(rest)} more concept{'s' if len(rest) > 1 else ''}"
