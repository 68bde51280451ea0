"""An index held against judged queries, on the command line."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from isthmus.cli.plain_text import line_of
from isthmus.cli.screen import NOTHING, Screen
from isthmus.cli.stages import counting, staging
from isthmus.cli.words import bytes_of
from isthmus.errors import ConfigError

if TYPE_CHECKING:
    from isthmus.search.index.index import Index
    from isthmus.search.judging import Judged

__all__ = ["evaluate_index", "is_index"]


def is_index(folder: Path) -> bool:
    """Say whether a folder holds an index."""
    from isthmus.search.index.manifest import HEAD

    return (folder / HEAD).is_file()


def evaluate_index(
    folder: Path, judgements: str | None, split: str, threads: int, screen: Screen
) -> None:
    """Search for every judged query in every way, and show how well each does.

    Raises
    ------
    ConfigError
        If nothing says what is relevant.
    """
    from isthmus.cli.searching import opened
    from isthmus.data.corpora import read_judgements
    from isthmus.search.judging import judge

    with opened(folder, threads) as index:
        source = judgements if judgements is not None else _own(index)
        found = read_judgements(source, split)
        screen.say(f"embedder: {line_of(str(index.manifest.embedder.get('description')))}")
        with staging(screen) as tell:
            judged = judge(index, found, progress=counting(tell, "searching"))
        if screen.as_json:
            screen.json(_json(folder, judged, index))
            return
        _show(screen, folder, judged)


def _own(index: Index) -> str:
    source = index.manifest.corpus.get("source")
    if not isinstance(source, str) or not _has_judgements(source):
        raise ConfigError(
            "nothing says which passages are relevant",
            where=str(index.folder),
            fix="add --judgements FOLDER, with queries.jsonl and qrels/test.tsv, or a named set",
        )
    return source


def _has_judgements(source: str) -> bool:
    from isthmus.data.corpora import splits
    from isthmus.errors import MissingDataError

    try:
        return bool(splits(source))
    except (MissingDataError, ConfigError):
        return False


def _json(folder: Path, judged: Judged, index: Index) -> dict[str, Any]:
    return {
        "index": str(folder),
        "judgements": judged.name,
        "split": judged.split,
        "queries": judged.queries,
        "missing": judged.missing,
        "passages": index.living,
        "embedder": index.manifest.embedder.get("description"),
        "metrics": {way: ranking.json() for way, ranking in judged.rankings.items()},
        "hybrid": {**asdict(judged.hybrid), "fitted_on": judged.hybrid_fitted_on},
    }


def _show(screen: Screen, folder: Path, judged: Judged) -> None:
    head = f"{folder} on {judged.name}, {judged.split}: {judged.queries:,} queries"
    screen.line(head, style="bold")
    rows = []
    for way, found in judged.rankings.items():
        beside = found.against_dense
        rows.append(
            (
                way,
                f"{found.ndcg_10:.4f}",
                f"{found.interval.low:.3f} to {found.interval.high:.3f}",
                f"{found.recall_100:.4f}",
                f"{found.mrr_10:.4f}",
                NOTHING
                if beside is None
                else f"{beside.mean:+.4f} ({beside.low:+.3f} to {beside.high:+.3f})",
                f"{found.milliseconds:.2f}",
                bytes_of(found.bytes),
            )
        )
    columns = ("nDCG@10", "95 %", "recall@100", "MRR@10", "minus dense (95 %)", "ms", "size")
    screen.table(("ranked by", *columns), rows)
    weights = ", ".join(f"{name} {value:g}" for name, value in asdict(judged.hybrid).items())
    fitted = judged.hybrid_fitted_on
    lines = [
        ("hybrid", f"{weights}; {f'fitted on {fitted}' if fitted else 'the defaults'}"),
        ("95 %", "bootstrap over queries; differences are paired, query by query"),
    ]
    if judged.missing:
        told = f"{judged.missing:,} relevant documents are not in the index, and count as not found"
        lines.append(("missing", told))
    screen.words(lines)
