"""Concepts in words: as a list, one by one, as families, and two dictionaries held together."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from isthmus.cli.concept_sources import Shown, Source
from isthmus.cli.plain_text import bar, label_of, line_of
from isthmus.cli.screen import NOTHING, Screen, number, percent

if TYPE_CHECKING:
    from isthmus.concepts import Concept, Concepts, Example

__all__ = ["brief", "family_lines", "full", "show_concept", "show_list"]

_BINS = 10
_EXAMPLES = 4
_TEXT = 160


def label(concept: Concept) -> str:
    """Return name and number."""
    return label_of(concept.id, concept.name)


def brief(concept: Concept) -> dict[str, Any]:
    """Return what a list says of a concept."""
    score = concept.score
    return {
        "id": concept.id,
        "name": concept.name,
        "origin": concept.origin,
        "passages": concept.statistics.passages,
        "rate": concept.statistics.rate,
        "score": None if score is None else score.precision,
        "shuffled": None if score is None else score.shuffled,
        "chance": None if score is None else score.chance,
        "stability": concept.stability,
        "words": [word.text for word in concept.words],
        "hidden": concept.hidden,
    }


def show_list(screen: Screen, source: Source, chosen: Sequence[Concept], total: int) -> None:
    """Write a table of concepts, and how good the names are in all."""
    concepts = source.concepts
    if chosen:
        # stability is only measured where that was asked for
        measured = any(c.stability is not None for c in chosen)
        columns = ("passages", "share", "score", "shuffled", *(["stability"] if measured else []))
        screen.table(
            ("concept", "name", "words", *columns),
            (_row(c)[: 3 + len(columns)] for c in chosen),
            left=3,
        )
    active = sum(not c.dead for c in concepts)
    named = sum(c.name is not None for c in concepts)
    told = (
        f"{len(concepts):,}: {active:,} active on {concepts.passages:,} passages, {named:,} named"
    )
    lines = [("shown", f"{len(chosen):,} of {total:,}"), ("concepts", told)]
    if concepts.report is not None:
        lines.append(("names", concepts.report.describe()))
    if not chosen:
        lines.append(("try", "--all, which lists those without a name, too, or another --find"))
    lines += [("note", source.note)] if source.note else []
    screen.words(lines)


def _row(concept: Concept) -> tuple[str, ...]:
    score = concept.score
    return (
        f"#{concept.id}",
        line_of(concept.name, 40) if concept.name is not None else NOTHING,
        line_of(", ".join(word.text for word in concept.words[:5]), 60),
        f"{concept.statistics.passages:,}",
        percent(concept.statistics.rate),
        NOTHING if score is None else f"{score.precision:.3f}",
        NOTHING if score is None else f"{score.shuffled:.3f}",
        NOTHING if concept.stability is None else f"{concept.stability:.3f}",
    )


# --- one concept ----------------------------------------------------------------------------------


def full(source: Source, concept: Concept) -> dict[str, Any]:
    """Return all that is known of a concept, its examples with their passages."""
    from isthmus.concepts import as_record

    record = as_record(concept)
    for part in ("top", "middle", "low"):
        given = getattr(concept, part)
        found = source.passages([example.row for example in given])
        record[part] = [
            {
                "row": example.row,
                "activation": example.activation,
                "passage": None if shown is None else shown.passage,
                "source": None if shown is None else shown.source,
                "text": None if shown is None else shown.text,
            }
            for example, shown in zip(given, found, strict=True)
        ]
    names = source.concepts.names
    for part in ("near", "together"):
        record[part] = [{**item, "name": names[item["id"]]} for item in record[part]]
    record["edits"] = [
        {"action": e.action, "text": e.text, "time": e.time}
        for e in source.edits
        if e.concept == concept.id
    ]
    return record


def show_concept(screen: Screen, source: Source, concept: Concept) -> None:
    """Write all that is known of a concept."""
    screen.line(label(concept) + (" (hidden)" if concept.hidden else ""), style="bold")
    screen.words(_facts(source, concept))
    if concept.dead:
        return
    screen.line()
    screen.line("activations", style="bold")
    screen.line("  passages by how strongly the concept is active on them, from weak to strong")
    for line in _histogram(concept):
        screen.line(f"  {line}")
    for part, what in (
        ("top", "strongest passages"),
        ("middle", "passages in the middle of its range"),
        ("low", "weak passages, about the 10 % quantile"),
    ):
        _examples(screen, source, getattr(concept, part), what)


def _facts(source: Source, concept: Concept) -> list[tuple[str, str]]:
    known, names = concept.statistics, source.concepts.names
    lines = [("name", _name(concept))]
    if concept.score is not None:
        lines.append(("score", _score(concept)))
    lines.append(("words", line_of(", ".join(w.text for w in concept.words)) or "none"))
    if concept.dead:
        lines.append(("active", "on no passage"))
    else:
        q = ", ".join(number(value) for value in known.quantiles)
        lines += [
            ("active", f"on {known.passages:,} passages ({percent(known.rate)})"),
            ("activation", f"mean {number(known.mean)}, largest {number(known.max)}"),
            ("quantiles", f"{q} at 5, 25, 50, 75 and 95 %"),
        ]
    near = [f"{label_of(n.id, names[n.id])} (cosine {n.cosine:.2f})" for n in concept.near]
    beside = [
        f"{label_of(t.id, names[t.id])} ({t.lift:.1f} times as often as by chance)"
        for t in concept.together
    ]
    lines += [("near", ", ".join(near))] if near else []
    lines += [("together", ", ".join(beside))] if beside else []
    if concept.parent is not None:
        lines.append(("case of", label_of(concept.parent, names[concept.parent])))
    if concept.children:
        cases = [label_of(child, names[child]) for child in concept.children]
        lines.append(("cases", ", ".join(cases)))
    if concept.stability is not None:
        told = f"{concept.stability:.3f}: mean cosine with its best match in other trainings"
        lines.append(("stability", told))
    if concept.note:
        lines.append(("note", line_of(concept.note)))
    edits = [e for e in source.edits if e.concept == concept.id]
    lines += [
        ("edits" if first == 0 else "", f"{e.time} {e.action} {line_of(e.text, 80)}".rstrip())
        for first, e in enumerate(edits)
    ]
    return lines


def _name(concept: Concept) -> str:
    origins = {"rule": "by rule", "user": "by a person", "model": "by a language model"}
    if concept.name is not None:
        return f"{line_of(concept.name)} (given {origins.get(concept.origin or '', 'by rule')})"
    if concept.origin == "user":
        return "none: a person took it away"
    if concept.proposed is None:
        return "none: no word sets it apart"
    tried = line_of(concept.proposed, 60)
    return f"none: {tried!r} did not score well enough on held-out passages"


def _score(concept: Concept) -> str:
    score = concept.score
    if score is None:
        return NOTHING
    told = (
        f"{score.precision:.3f} average precision on held-out passages; shuffled names "
        f"{score.shuffled:.3f}, chance {score.chance:.3f} (p = {score.p:.2g}); a word of it stands "
        f"in {score.fit:.0%} of its strongest"
    )
    if score.direction is not None:
        told += f"; lies along the concept more than {score.direction:.0%} of other names"
    return told


def _histogram(concept: Concept) -> list[str]:
    """Return a line a bin: its range, a bar, the passages in it."""
    known = concept.statistics
    bins, width = list(known.histogram), max(1, len(known.histogram) // _BINS)
    joined = [sum(bins[i : i + width]) for i in range(0, len(bins), width)]
    step = known.max * width / max(len(bins), 1)
    largest = max(joined, default=0)
    ranges = [f"{number(i * step)} to {number((i + 1) * step)}" for i in range(len(joined))]
    wide = max((len(text) for text in ranges), default=0)
    return [
        f"{text:<{wide}}  {count:>8,}  {bar(count, largest, 30)}".rstrip()
        for text, count in zip(ranges, joined, strict=True)
    ]


def _examples(screen: Screen, source: Source, given: Sequence[Example], what: str) -> None:
    if not given:
        return
    screen.line()
    screen.line(what, style="bold")
    some = list(given)[:_EXAMPLES]
    for example, shown in zip(some, source.passages([e.row for e in some]), strict=True):
        screen.line(f"  {number(example.activation):<8}{_shown(shown)}")


def _shown(shown: Shown | None) -> str:
    if shown is None:
        return "(deleted since)"
    text = f"  {line_of(shown.text, _TEXT)}" if shown.text else ""
    return f"{line_of(shown.source, 100)}{text}"


# --- families -------------------------------------------------------------------------------------


def family_lines(concepts: Concepts, roots: Iterable[Concept], limit: int) -> list[str]:
    """Return families as lines, the particular indented under the general."""
    lines: list[str] = []
    seen: set[int] = set()

    def write(concept: Concept, depth: int) -> None:
        if concept.id in seen or len(lines) >= limit:
            return
        seen.add(concept.id)
        told = f"{concept.statistics.passages:,} passages"
        lines.append(f"{'  ' * depth}{label(concept)}  {told}")
        for child in concept.children:
            write(concepts[child], depth + 1)

    for root in roots:
        write(root, 0)
    return lines
