"""Queries and which documents answer them, in BEIR's or TREC's layout."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from isthmus.data.corpora.bytes_in import decoded_line, lines, opened
from isthmus.data.corpora.choices import Choices
from isthmus.data.corpora.folders import reason
from isthmus.data.corpora.json_lines import objects
from isthmus.data.corpora.named import find_corpus
from isthmus.errors import ConfigError, DataError, MissingDataError

__all__ = ["Judgements", "read_judgements", "splits"]

_ENDINGS = (".tsv", ".txt", ".qrels")
_LONGEST_LINE = 1 << 20
_UNPACKED = 16 << 30


@dataclass(frozen=True)
class Judgements:
    """Judged queries of one split."""

    name: str
    """The folder's name, or that of the named set."""
    split: str
    """Which judgements these are, such as ``test``."""
    queries: Mapping[str, str]
    """The text of each judged query, by id, in the order of the queries' file."""
    relevance: Mapping[str, Mapping[str, int]]
    """For each of these queries, in the same order, its judged documents with their grades;
    above 0 is relevant."""

    @property
    def pairs(self) -> int:
        """How many pairs of a query and a document are judged."""
        return sum(len(judged) for judged in self.relevance.values())


def splits(folder: str | Path) -> tuple[str, ...]:
    """List the judgements of a folder: the files of its ``qrels``, without their endings.

    Raises
    ------
    MissingDataError
        If there is no such folder, or it has no judgements.
    """
    return tuple(_files(_root(folder)))


def read_judgements(folder: str | Path, split: str = "test") -> Judgements:
    """Read queries and judgements.

    Parameters
    ----------
    folder
        A folder with ``queries.jsonl`` (``_id``, ``text``; perhaps packed, .gz) and
        ``qrels/SPLIT.tsv``; or a named set that is one. Lines of judgements are those of BEIR
        (query, document, grade; with or without a line of column names) or of TREC (query, 0,
        document, grade), between tabs or blanks.
    split
        Which judgements: a file in ``qrels``, without its ending.

    Returns
    -------
    Judgements
        Of the queries that have any.

    Raises
    ------
    MissingDataError
        If a file is not there.
    ConfigError
        If there is no such split; says which there are.
    DataError
        If a line can't be read, a judged query has no text, an id comes twice, or a pair is
        judged twice and differently; says the file and the line.
    """
    root = _root(folder)
    files = _files(root)
    if split not in files:
        raise ConfigError(
            f"there are no judgements called {split!r}",
            where=str(root / "qrels"),
            fix=f"choose one of: {', '.join(files)}",
        )
    texts = _queries(_queries_file(root))
    relevance: dict[str, dict[str, int]] = {}
    first: dict[tuple[str, str], int] = {}
    for line, query, document, grade in _judged(files[split]):
        where = f"{files[split]}, line {line}"
        if query not in texts:
            raise DataError(f"the query {query!r} is not in the file of queries", where=where)
        before = relevance.setdefault(query, {}).setdefault(document, grade)
        if before != grade:
            raise DataError(
                f"the pair {query!r}, {document!r} is judged {before} and {grade}",
                where=f"{where}, and line {first[query, document]}",
                fix="keep one of the two",
            )
        first.setdefault((query, document), line)
    if not relevance:
        raise DataError("there are no judgements in the file", where=str(files[split]))
    queries = {query: text for query, text in texts.items() if query in relevance}
    name = folder if isinstance(folder, str) and find_corpus(folder) else root.resolve().name
    return Judgements(name, split, queries, {query: relevance[query] for query in queries})


def _root(folder: str | Path) -> Path:
    """Return the folder of a path or of a named set."""
    named = find_corpus(folder) if isinstance(folder, str) else None
    root = named.folder() if named is not None else Path(folder).expanduser()
    if not root.is_dir():
        raise MissingDataError("there is no such folder", where=str(root))
    return root


def _files(root: Path) -> dict[str, Path]:
    """Return the files of judgements by split."""
    try:
        found = sorted((root / "qrels").iterdir())
    except OSError as error:
        raise MissingDataError(
            "there are no judgements",
            where=str(root / "qrels"),
            why=reason(error),
            fix="give a folder that holds queries.jsonl and qrels/test.tsv",
        ) from error
    files = {path.stem: path for path in found if path.suffix in _ENDINGS and path.is_file()}
    if not files:
        raise MissingDataError(
            "there are no judgements",
            where=str(root / "qrels"),
            why=f"no file ends in {', '.join(_ENDINGS)}",
        )
    return files


def _queries_file(root: Path) -> Path:
    candidates = [root / "queries.jsonl", root / "queries.jsonl.gz"]
    for path in candidates:
        if path.is_file():
            return path
    raise MissingDataError("the file of queries is missing", where=str(candidates[0]))


def _queries(path: Path) -> dict[str, str]:
    """Read the texts of all queries."""
    texts: dict[str, str] = {}
    lines_of: dict[str, int] = {}
    try:
        for line, record in objects(path, Choices(largest=_LONGEST_LINE)):
            where = f"{path}, line {line}"
            if isinstance(record, str):
                raise DataError(f"the query can't be read: {record}", where=where)
            name, text = record.get("_id", record.get("id")), record.get("text")
            if isinstance(name, bool) or not isinstance(name, str | int):
                raise DataError("the query has no _id", where=where)
            if not isinstance(text, str) or not text.strip():
                raise DataError(f"the query {str(name)!r} has no text", where=where)
            if str(name) in texts:
                places = f"{where}, and line {lines_of[str(name)]}"
                raise DataError(f"the query {str(name)!r} is there twice", where=places)
            texts[str(name)], lines_of[str(name)] = text, line
    except (OSError, EOFError) as error:
        if isinstance(error, MissingDataError):
            raise
        raise DataError(f"the queries can't be read: {reason(error)}", where=str(path)) from error
    return texts


def _judged(path: Path) -> Iterator[tuple[int, str, str, int]]:
    """Yield (line, query, document, grade)."""
    places: tuple[int, ...] = ()
    try:
        with opened(path, _UNPACKED) as handle:
            for number, line in lines(handle, _LONGEST_LINE):
                where = f"{path}, line {number}"
                cells = _cells(line, where)
                if not cells:
                    continue
                if not places:
                    places = _places(cells, where)
                    if not _is_grade(cells[-1]):
                        continue  # the names of the columns
                yield number, *_judgement(cells, places, where)
    except OSError as error:
        raise DataError(
            f"the judgements can't be read: {reason(error)}", where=str(path)
        ) from error


def _cells(line: bytes | None, where: str) -> list[str]:
    if line is None:
        raise DataError("the line is longer than a judgement can be", where=where)
    try:
        text = decoded_line(line).rstrip("\r\n")
    except DataError as error:
        raise DataError(error.what, where=where) from error
    cells = [cell.strip() for cell in text.split("\t")] if "\t" in text else text.split()
    return cells if any(cells) else []


def _places(cells: list[str], where: str) -> tuple[int, ...]:
    """Return where query, document and grade stand, from the first line."""
    names = {cell.lower(): i for i, cell in enumerate(cells)}
    named = tuple(names.get(name, -1) for name in ("query-id", "corpus-id", "score"))
    if len(cells) == 3:
        return (0, 1, 2) if -1 in named else named
    if len(cells) == 4:
        return (0, 2, 3) if -1 in named else named
    raise DataError(
        f"a judgement has 3 or 4 columns, not {len(cells)}",
        where=where,
        fix="write query, document and grade between tabs (BEIR), or query, 0, document and grade "
        "(TREC)",
    )


def _is_grade(cell: str) -> bool:
    try:
        return float(cell).is_integer()
    except (ValueError, OverflowError):
        return False


def _judgement(cells: list[str], places: tuple[int, ...], where: str) -> tuple[str, str, int]:
    if len(cells) <= max(places):
        raise DataError(f"a judgement with {len(cells)} columns only", where=where)
    query, document, grade = (cells[i] for i in places)
    if not query or not document:
        raise DataError("a judgement without a query or a document", where=where)
    if not _is_grade(grade):
        raise DataError(f"the grade {grade[:40]!r} is not a whole number", where=where)
    return query, document, int(float(grade))
