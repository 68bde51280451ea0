"""`isthmus concepts diff`: what became of the concepts of one dictionary in another."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from isthmus.cli.options import Debug, Json, Quiet, help_text
from isthmus.cli.plain_text import label_of
from isthmus.cli.screen import Screen
from isthmus.errors import ConfigError

if TYPE_CHECKING:
    from isthmus.cli.concept_sources import Side
    from isthmus.concepts import DictionaryDiff, Names

__all__ = ["register"]

_ROWS = 20_000


def register(app: typer.Typer) -> None:
    """Add the command to a group."""
    app.command(
        short_help="Compare the concepts of two dictionaries.",
        help=help_text(
            "isthmus concepts diff old.index new.index",
            "isthmus concepts diff runs/topk-seed-0 runs/topk-seed-1 --json",
            "Match the concepts of two indexes or runs over the same kind of vectors: kept, split, "
            "merged, new, lost. Directions decide, and where one is an index also on which of its "
            "passages both are active.",
        ),
    )(diff)


def diff(
    a: Annotated[Path, typer.Argument(metavar="A", help="An index or a run: the old one.")],
    b: Annotated[Path, typer.Argument(metavar="B", help="The new one.")],
    limit: Annotated[
        int, typer.Option("--limit", "-n", metavar="INT", help="Lines of each kind at most.")
    ] = 20,
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Compare two dictionaries."""
    from isthmus.cli.concept_sources import side_of
    from isthmus.concepts import diff as compared

    screen = Screen(as_json=as_json, quiet=quiet)
    one, other = side_of(a), side_of(b)
    if one.dictionary.dim != other.dictionary.dim:
        raise ConfigError(
            "the dictionaries are for other vectors",
            where=f"{a} and {b}",
            why=f"they have {one.dictionary.dim} and {other.dictionary.dim} numbers",
        )
    codes = _codes(one, other)
    found = compared(one.decoder, other.decoder, *codes)
    if as_json:
        screen.json({"a": str(a), "b": str(b), **_json(found, one.names, other.names)})
        return
    screen.line(found.summary(), style="bold")
    _show(screen, found, one.names, other.names, limit)
    seen = "directions and activations" if codes[0] is not None else "directions alone"
    screen.words(
        [
            (
                "matched",
                f"by {seen}; kept from a cosine of {found.cosine:.2f}, by chance "
                f"{found.chance:.2f}",
            )
        ]
    )


def _codes(one: Side, other: Side) -> tuple[Any, Any]:
    """Return codes of the same passages by both, where one of them belongs to an index."""
    import numpy as np

    from isthmus.search.index.gathering import joined_vectors

    index = one.index if one.index is not None else other.index
    digests = {s.index.manifest.embedder.get("digest") for s in (one, other) if s.index is not None}
    if index is None or len(digests) > 1:
        return None, None
    vectors = joined_vectors(index.segments)
    chosen = np.unique(np.linspace(0, len(vectors) - 1, min(_ROWS, len(vectors))).astype(int))
    rows = vectors[chosen].astype(np.float32)
    return one.dictionary.encode(rows), other.dictionary.encode(rows)


def _json(found: DictionaryDiff, a: Names, b: Names) -> dict[str, Any]:
    return {
        "summary": found.summary(),
        "sizes": list(found.sizes),
        "cosine": found.cosine,
        "chance": found.chance,
        "kept": [{**asdict(k), "name_a": a[k.a], "name_b": b[k.b]} for k in found.kept],
        "split": [
            {**asdict(s), "name_a": a[s.a], "names_b": [b[j] for j in s.b]} for s in found.split
        ],
        "merged": [
            {**asdict(m), "names_a": [a[j] for j in m.a], "name_b": b[m.b]} for m in found.merged
        ],
        "new": [{"id": j, "name": b[j]} for j in found.new],
        "lost": [{"id": j, "name": a[j]} for j in found.lost],
    }


def _show(screen: Screen, found: DictionaryDiff, a: Names, b: Names, limit: int) -> None:
    kinds = {
        "kept": [
            f"{label_of(k.a, a[k.a])} -> {label_of(k.b, b[k.b])}  cosine {k.cosine:.2f}"
            for k in sorted(found.kept, key=lambda k: (a[k.a] is None, -k.cosine, k.a))
        ],
        "split": [
            f"{label_of(s.a, a[s.a])} -> {', '.join(label_of(j, b[j]) for j in s.b)}"
            for s in found.split
        ],
        "merged": [
            f"{', '.join(label_of(j, a[j]) for j in m.a)} -> {label_of(m.b, b[m.b])}"
            for m in found.merged
        ],
        "new": [label_of(j, b[j]) for j in sorted(found.new, key=lambda j: (b[j] is None, j))],
        "lost": [label_of(j, a[j]) for j in sorted(found.lost, key=lambda j: (a[j] is None, j))],
    }
    for kind, lines in kinds.items():
        more = len(lines) - limit
        shown = [*lines[:limit], *([f"and {more:,} more"] if more > 0 else [])]
        screen.words([(kind if i == 0 else "", line) for i, line in enumerate(shown)])
