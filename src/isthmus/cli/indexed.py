"""What became of an index, in words and as JSON values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from isthmus.cli.plain_text import line_of
from isthmus.cli.screen import Screen, number
from isthmus.cli.words import bytes_of, time_of

if TYPE_CHECKING:
    from isthmus.concepts import NameReport
    from isthmus.data.corpora import Corpus, Skipped
    from isthmus.search.embedders import Embedder
    from isthmus.search.fitting import HybridFit
    from isthmus.search.index.comparing import Compared
    from isthmus.search.index.config import Built, Indexing

__all__ = ["Outcome", "show_outcome", "show_plan", "size_of"]

_SKIPPED = 5
_SAMPLE = 1000


def size_of(folder: Path) -> int:
    """Return the bytes of all files of an index."""
    return sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())


@dataclass(frozen=True)
class Outcome:
    """All that is told of an index that was made."""

    built: Built
    """What was done."""
    skipped: int
    """What could not be read, by count."""
    first: tuple[Skipped, ...]
    """The first of these."""
    concepts: int
    """Concepts that are active on any passage; 0: they were not described."""
    named: int
    """Those that have a name."""
    report: NameReport | None
    """How good the names are."""
    fitted: HybridFit | None
    """Weights that were fitted."""
    bytes: int
    """Size on disk."""

    @classmethod
    def of(cls, built: Built, corpus: Corpus, fitted: HybridFit | None) -> Outcome:
        """Gather it."""
        from isthmus.search.index.index import Index

        described, named, report = 0, 0, None
        if built.manifest.concepts is not None:
            with Index(built.folder) as index:
                concepts = index.concepts
            described = sum(not concept.dead for concept in concepts)
            named = sum(concept.name is not None for concept in concepts)
            report = concepts.report
        skipped = corpus.skipped
        count = int(getattr(corpus, "skipped_count", len(skipped)))
        first = tuple(skipped[:_SKIPPED])
        return cls(built, count, first, described, named, report, fitted, size_of(built.folder))

    def json(self) -> dict[str, Any]:
        """Return what ``isthmus index --json`` prints."""
        built, manifest = self.built, self.built.manifest
        embedder = {k: manifest.embedder.get(k) for k in ("name", "description", "dim", "digest")}
        how = dict(manifest.dictionary.get("training", {}))
        return {
            "index": str(built.folder),
            "documents": manifest.documents,
            "passages": manifest.passages,
            "added": built.added,
            "changed": built.changed,
            "deleted": built.deleted,
            "unchanged": built.unchanged,
            "skipped": self.skipped,
            "skipped_first": [asdict(skipped) for skipped in self.first],
            "cut": built.cut,
            "embedder": embedder,
            "dictionary": {
                "latents": manifest.dictionary["latents"],
                "k": manifest.dictionary.get("k"),
                "training": how,
            },
            "concepts": self._concepts(),
            "hybrid": None if self.fitted is None else asdict(self.fitted),
            "seconds": dict(built.seconds),
            "bytes": self.bytes,
            "notes": list(built.notes),
        }

    def _concepts(self) -> dict[str, Any] | None:
        if self.built.manifest.concepts is None:
            return None
        report = self.report
        scored = report is not None and report.precision is not None
        return {
            "described": self.concepts,
            "named": self.named,
            "precision": report.precision.value if scored and report and report.precision else None,
            "shuffled": report.shuffled if scored and report else None,
            "chance": report.chance if scored and report else None,
        }


def show_outcome(screen: Screen, outcome: Outcome) -> None:
    """Tell what was made, what was left out, and what can be done now."""
    if screen.as_json:
        screen.json(outcome.json())
        return
    built, manifest = outcome.built, outcome.built.manifest
    moved = f"{built.added:,} new, {built.changed:,} changed, {built.deleted:,} deleted"
    lines = [
        ("index", str(built.folder)),
        ("documents", f"{manifest.documents:,}: {moved}, {built.unchanged:,} as they were"),
        ("passages", f"{manifest.passages:,}" + (f"; {built.cut}" if built.cut else "")),
        *_skipped(outcome),
        ("embedder", line_of(str(manifest.embedder["description"]))),
        ("dictionary", _dictionary(outcome)),
        ("concepts", _named(outcome)),
    ]
    if outcome.fitted is not None:
        lines.append(("hybrid", _fit(outcome.fitted)))
    lines += [("note", line_of(note)) for note in built.notes]
    stages = ", ".join(f"{name} {time_of(value)}" for name, value in built.seconds.items())
    if stages:
        lines.append(("time", f"{time_of(sum(built.seconds.values()))}: {stages}"))
    lines += [
        ("size", bytes_of(outcome.bytes)),
        ("next", f'isthmus search {built.folder} "what you look for"'),
    ]
    screen.words(lines)


def _skipped(outcome: Outcome) -> list[tuple[str, str]]:
    if not outcome.skipped:
        return []
    more = outcome.skipped - len(outcome.first)
    named = [line_of(_place(s), 200) for s in outcome.first]
    said = [f"{outcome.skipped:,} could not be read", *named]
    said += [f"and {more:,} more"] if more > 0 else []
    return [("skipped" if i == 0 else "", line) for i, line in enumerate(said)]


def _place(skipped: Skipped) -> str:
    row = "" if skipped.row is None else f", row {skipped.row}"
    return f"{skipped.source}{row}: {skipped.why}"


def _dictionary(outcome: Outcome) -> str:
    said = outcome.built.manifest.dictionary
    how = dict(said.get("training", {}))
    active = "" if said.get("k") is None else f", at most {said['k']} active"
    parts = [f"{said['latents']:,} concepts{active}"]
    if how.get("given"):
        parts.append("trained elsewhere")
    if how.get("each_passage"):
        parts.append("one for each passage: there are too few to learn from")
    if how.get("fvu_held_out") is not None:
        parts.append(f"variance unexplained on held-out passages {number(how['fvu_held_out'])}")
    if how.get("kept_ids") is not None:
        parts.append(f"{how['kept_ids']:.0%} kept their numbers")
    return "; ".join(parts)


def _named(outcome: Outcome) -> str:
    if outcome.built.manifest.concepts is None:
        return "not described"
    share = outcome.named / outcome.concepts if outcome.concepts else 0.0
    told = f"{outcome.named:,} of {outcome.concepts:,} active ones are named ({share:.0%})"
    report = outcome.report
    if report is None or report.precision is None:
        return f"{told}; too few passages to score names"
    return (
        f"{told}; on held-out passages names rank with precision {report.precision.value:.3f}, "
        f"shuffled names {report.shuffled:.3f}, chance {report.chance:.3f}"
    )


def _fit(fit: HybridFit) -> str:
    weights = ", ".join(f"{name} {value:g}" for name, value in asdict(fit.weights).items())
    end = "" if fit.kept else "; the gain may be luck, so the weights stay as they were"
    return (
        f"weights {weights}; nDCG@10 on {fit.queries:,} queries ({fit.fitted_on}) "
        f"{fit.before:.3f} before, {fit.after:.3f} at best{end}"
    )


# --- before anything is made ----------------------------------------------------------------------


def show_plan(
    screen: Screen,
    folder: Path,
    corpus: Corpus,
    found: Compared,
    embedder: Embedder,
    config: Indexing,
    *,
    new: bool,
) -> None:
    """Say what would be read and made, from the texts and a sample of their passages."""
    skipped = corpus.skipped
    count = int(getattr(corpus, "skipped_count", len(skipped)))
    characters = sum(len(document.text) for document in found.fresh)
    passages = _passages(found.fresh[:_SAMPLE], len(found.fresh), embedder, config)
    sizes = config.dictionary.sized(passages) if passages else config.dictionary
    answer = {
        "index": str(folder),
        "new": new,
        "documents": found.total,
        "added": found.added,
        "changed": found.changed,
        "deleted": found.deleted,
        "unchanged": found.unchanged,
        "skipped": count,
        "skipped_first": [asdict(s) for s in skipped[:_SKIPPED]],
        "characters": characters,
        "passages": passages,
        "embedder": {"name": embedder.name, "description": embedder.description},
        "dictionary": asdict(sizes) if new else None,
        "vector_bytes": 2 * embedder.dim * passages,
    }
    if screen.as_json:
        screen.json(answer)
        return
    moved = f"{found.added:,} new, {found.changed:,} changed, {found.deleted:,} deleted"
    lines = [
        ("index", f"{folder}, {'new' if new else 'which is there already'}; nothing was written"),
        ("documents", f"{found.total:,}: {moved}, {found.unchanged:,} as they are"),
        ("to embed", f"{characters:,} characters, about {passages:,} passages"),
        *([("skipped", f"{count:,} could not be read")] if count else []),
        *[("", line_of(_place(s), 200)) for s in skipped[:_SKIPPED]],
        ("embedder", line_of(embedder.description)),
    ]
    if new and passages:
        told = f"{sizes.latents:,} concepts, at most {sizes.k} active, {sizes.epochs} epochs"
        lines.append(("dictionary", told))
    lines.append(("vectors", f"about {bytes_of(2 * embedder.dim * passages)} in float16"))
    screen.words(lines)


def _passages(sample: Sequence[Any], total: int, embedder: Embedder, config: Indexing) -> int:
    """Return how many passages documents make, from some of them."""
    if not sample:
        return 0
    if hasattr(embedder, "table"):  # ready-made vectors: documents stay whole
        return total
    from isthmus.search.cutter import Cutter

    cutter = Cutter(embedder.token_spans, embedder.max_tokens, config.cutting)
    made = sum(len(passages) for passages in cutter.cut(list(sample)))
    return round(made * total / len(sample))
