"""The user's own pairs: a CSV file of file names, a column a modality."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from isthmus.data.dataset import SPLITS
from isthmus.data.modalities.audio import AudioAdapter
from isthmus.data.modalities.base import Adapter
from isthmus.data.modalities.image import ImageAdapter
from isthmus.data.modalities.text import TextAdapter
from isthmus.data.multimodal.dataset import ModalityData, MultimodalData
from isthmus.data.multimodal.drawing import stable_order
from isthmus.data.options import SPLIT_WORDS
from isthmus.errors import ConfigError, DataError, MissingDataError

__all__ = ["read_pairs"]

_MOST_ROWS = 10_000_000
_WORDED = frozenset({"text", "sentence"})
"""Kinds whose items are what they say, and no files."""
_SPECIAL = ("label", "split")


@dataclass(frozen=True)
class _Table:
    """The cells of the file."""

    path: Path
    """The file."""
    lines: tuple[int, ...]
    """The line of each row."""
    cells: Mapping[str, tuple[str, ...]]
    """Cells of each column, stripped."""

    def where(self, row: int, column: str = "") -> str:
        """Name a row in messages."""
        return f"{self.path}, row {self.lines[row]}" + (f", column {column!r}" if column else "")


def read_pairs(
    path: str | Path,
    *,
    modalities: Mapping[str, Adapter] | None = None,
    factors: Sequence[str] = (),
    validation: float = 0.1,
    test: float = 0.1,
    seed: int = 0,
) -> MultimodalData:
    """Read pairs from a CSV file whose cells name files (or are texts, for text modalities).

    Parameters
    ----------
    path
        UTF-8 with a header. A column is a modality by its name; ``label`` and ``split`` (train,
        validation or test), where they are there, say the class and the split of a row. File
        names count from the CSV file's folder. An empty cell is a missing modality. A file that
        several rows name is one item; rows that disagree on its label leave it without one. A
        text is an item of its own in each split that it stands in.
    modalities
        The adapter of each modality column; they are fitted to training items. None: ``image``,
        ``audio`` and ``text`` columns get the default adapters, the picture's size taken from
        the first file and the text's window from the longest text.
    factors
        Further columns that are kept as factors of every item, such as ``speaker``.
    validation, test
        Shares of rows for these splits, where there is no ``split`` column.
    seed
        Of those splits. Rows that share an item go to the same split.

    Raises
    ------
    MissingDataError
        If the table or a file that it names is missing; says the row.
    DataError
        If the table is damaged, a column is unknown, a row has no modality, an item lies in two
        splits, or a file can't be read; says the row.
    """
    table = _read_table(Path(path).expanduser())
    chosen = dict(modalities) if modalities is not None else _defaults(table, factors)
    _check_columns(table, chosen, factors)
    keys = {name: _keys(table, name) for name in chosen}
    tables = np.stack([numbers for numbers, _ in keys.values()], axis=1)
    empty = np.flatnonzero((tables < 0).all(axis=1))
    if len(empty):
        raise DataError(
            "the row has no modality at all",
            where=table.where(int(empty[0])),
            why=f"the cells of {', '.join(chosen)} are empty",
            fix="fill one of them, or remove the row",
        )
    # the same word may stand in every split; the same file may not
    files = [i for i, name in enumerate(chosen) if chosen[name].kind not in _WORDED]
    split = _splits(table, tables[:, files], validation, test, seed)
    for name, adapter in chosen.items():
        if adapter.kind in _WORDED:
            keys[name] = _once_a_split(*keys[name], split)
    tables = np.stack([numbers for numbers, _ in keys.values()], axis=1)
    classes, labels = _numbered(table, "label")
    built = {
        name: _modality(table, chosen[name], *keys[name], split, labels, factors) for name in chosen
    }
    pairs = {
        part: np.ascontiguousarray(tables[split == i])
        for i, part in enumerate(SPLITS)
        if part == "train" or (split == i).any()
    }
    if not len(pairs["train"]):
        raise DataError("no row is for training", where=str(table.path))
    rows = len(pairs["train"])
    return MultimodalData(
        table.path.stem, f"pairs in {table.path}", built, pairs, "table", classes, epoch_rows=rows
    )


def _read_table(path: Path) -> _Table:
    if not path.is_file():
        raise MissingDataError("there is no such pair table", where=str(path))
    try:
        rows = list(_rows(path))
    except UnicodeDecodeError as error:
        raise DataError("the pair table is not UTF-8 text", where=str(path)) from error
    except csv.Error as error:
        raise DataError("the pair table is damaged", where=str(path), why=str(error)) from error
    if len(rows) < 2:
        raise DataError("the pair table holds no rows", where=str(path))
    head = [cell.strip() for cell in rows[0][1]]
    if len(set(head)) != len(head) or not all(head):
        raise DataError("the columns need names, each its own", where=f"{path}, row 1: {head}")
    for line, cells in rows[1:]:
        if len(cells) != len(head):
            raise DataError(
                f"a row has {len(cells)} cells where {len(head)} were expected",
                where=f"{path}, row {line}",
            )
    columns = zip(*(cells for _, cells in rows[1:]), strict=True)
    named = {
        name: tuple(cell.strip() for cell in column)
        for name, column in zip(head, columns, strict=True)
    }
    return _Table(path, tuple(line for line, _ in rows[1:]), named)


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    with path.open(encoding="utf-8-sig", newline="") as handle:
        reader = csv.reader(handle, strict=True)
        for count, cells in enumerate(reader):
            if count > _MOST_ROWS:
                raise DataError(f"the pair table has over {_MOST_ROWS:,} rows", where=str(path))
            if cells:
                yield reader.line_num, cells


def _check_columns(table: _Table, chosen: Mapping[str, Adapter], factors: Sequence[str]) -> None:
    """Refuse columns that nothing is known about, and names that have no column."""
    lacking = [name for name in (*chosen, *factors) if name not in table.cells]
    if lacking:
        raise DataError(
            f"the pair table has no column {lacking[0]!r}",
            where=str(table.path),
            why=f"its columns are {', '.join(table.cells)}",
        )
    unknown = [name for name in table.cells if name not in {*chosen, *factors, *_SPECIAL}]
    if unknown:
        raise DataError(
            f"the column {unknown[0]!r} is no modality that is known",
            where=f"{table.path}, row {1}",
            why=f"modalities are {', '.join(chosen) or 'none'}",
            fix="give its adapter with modalities={...}, or name it in factors=[...]",
        )
    if not chosen:
        raise ConfigError("name at least one modality", where=str(table.path))


def _keys(table: _Table, name: str) -> tuple[np.ndarray[Any, np.dtype[np.int64]], list[str]]:
    """Return a number for each different cell of a column, -1 where empty, and those cells."""
    numbers: dict[str, int] = {}
    column = [numbers.setdefault(cell, len(numbers)) if cell else -1 for cell in table.cells[name]]
    return np.array(column, np.int64), list(numbers)


def _once_a_split(
    numbers: np.ndarray[Any, np.dtype[np.int64]],
    cells: list[str],
    split: np.ndarray[Any, np.dtype[np.uint8]],
) -> tuple[np.ndarray[Any, np.dtype[np.int64]], list[str]]:
    """Give a column's texts new numbers: each is one item in each split that it stands in."""
    known = np.flatnonzero(numbers >= 0)
    kinds, found = np.unique(numbers[known] * 3 + split[known], return_inverse=True)
    fresh = np.full(len(numbers), -1, np.int64)
    fresh[known] = found
    return fresh, [cells[kind // 3] for kind in kinds.tolist()]


def _file(table: _Table, row: int, name: str, cell: str) -> Path:
    path = Path(cell)
    path = path if path.is_absolute() else table.path.parent / path
    if not path.is_file():
        raise MissingDataError(
            "the pair table names a file that is not there",
            where=table.where(row, name),
            why=f"there is no file {path}",
            fix="correct the name, or leave the cell empty if the modality is missing",
        )
    return path


def _defaults(table: _Table, factors: Sequence[str]) -> dict[str, Adapter]:
    """Return adapters for the columns called image, audio and text."""
    found: dict[str, Adapter] = {}
    for name, cells in table.cells.items():
        row = next((i for i, cell in enumerate(cells) if cell), None)
        if name in factors or row is None:
            continue
        if name == "image":
            found[name] = ImageAdapter(shape=_picture_shape(_file(table, row, name, cells[row])))
        elif name == "audio":
            found[name] = AudioAdapter()
        elif name == "text":
            longest = max(len(" ".join(cell.split())) for cell in cells)
            found[name] = TextAdapter(length=max(8, -(-longest // 4) * 4))
    return found


def _picture_shape(path: Path) -> tuple[int, int, int]:
    from PIL import Image

    try:
        with Image.open(path, formats=("PNG", "JPEG")) as picture:
            grey = picture.mode in ("1", "L", "LA", "I", "F") or picture.mode.startswith("I;")
            return (1 if grey else 3), picture.size[1], picture.size[0]
    except (OSError, SyntaxError, ValueError) as error:
        raise DataError("the image can't be read", where=str(path), why=str(error)) from error


def _numbered(
    table: _Table, column: str
) -> tuple[tuple[str, ...], np.ndarray[Any, np.dtype[np.int64]]]:
    """Return the sorted names of a column and the number of each row; -1 where empty."""
    cells = table.cells.get(column, ("",) * len(table.lines))
    found = {cell for cell in cells if cell}
    numeric = all(cell.isdecimal() for cell in found)
    names = sorted(found, key=int) if numeric else sorted(found)
    place = {name: i for i, name in enumerate(names)}
    return tuple(names), np.array([place.get(cell, -1) for cell in cells], np.int64)


def _splits(
    table: _Table,
    tables: np.ndarray[Any, np.dtype[np.int64]],
    validation: float,
    test: float,
    seed: int,
) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Return the split of each row."""
    if "split" in table.cells:
        split = np.zeros(len(table.lines), np.uint8)
        for row, cell in enumerate(table.cells["split"]):
            if cell.lower() not in SPLIT_WORDS:
                raise DataError(
                    f"unknown split {cell!r}",
                    where=table.where(row, "split"),
                    fix="write train, validation or test",
                )
            split[row] = SPLITS.index(SPLIT_WORDS[cell.lower()])
        return split
    if not (0 <= validation < 1 and 0 <= test < 1 and validation + test < 1):
        raise ConfigError("shares of validation and test must leave rows to train on")
    groups = _groups(tables)
    names = np.unique(groups)
    order = names[stable_order(len(names), np.random.PCG64(seed))]
    n_test, n_validation = int(len(order) * test), int(len(order) * validation)
    place: np.ndarray[Any, np.dtype[np.uint8]] = np.zeros(int(names.max()) + 1, np.uint8)
    place[order[:n_test]] = 2
    place[order[n_test : n_test + n_validation]] = 1
    return np.asarray(place[groups])


def _groups(tables: np.ndarray[Any, np.dtype[np.int64]]) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Return the number of the group of each row: rows that share an item are one group."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    if not tables.shape[1]:
        return np.arange(len(tables))
    rows, modalities = np.nonzero(tables >= 0)
    starts = np.concatenate([[0], np.cumsum(tables.max(axis=0) + 1)])
    items = starts[modalities] + tables[rows, modalities]
    size = len(tables) + int(starts[-1])
    edges = coo_array((np.ones(len(rows), np.int8), (rows, len(tables) + items)), (size, size))
    groups: np.ndarray[Any, np.dtype[np.int64]] = connected_components(edges, directed=False)[1]
    return groups[: len(tables)].astype(np.int64)


def _modality(
    table: _Table,
    adapter: Adapter,
    numbers: np.ndarray[Any, np.dtype[np.int64]],
    cells: list[str],
    split: np.ndarray[Any, np.dtype[np.uint8]],
    labels: np.ndarray[Any, np.dtype[np.int64]],
    factors: Sequence[str],
) -> ModalityData:
    """Read the items of one column, fit the adapter to training items, and transform all."""
    first = np.full(len(cells), -1, np.int64)
    for row in range(len(numbers) - 1, -1, -1):
        if numbers[row] >= 0:
            first[numbers[row]] = row
    raw = [_item(table, adapter, int(row), cell) for row, cell in zip(first, cells, strict=True)]
    item_split = split[first].astype(np.uint8)
    crossed = np.flatnonzero((numbers >= 0) & (item_split[numbers] != split))
    if len(crossed):
        item = int(numbers[crossed[0]])
        raise DataError(
            "an item lies in two splits",
            where=table.where(int(crossed[0]), adapter.name),
            why=f"{cells[item]!r} is also in row {table.lines[first[item]]}",
            fix="give all rows that name it the same split",
        )
    training = [item for item, part in zip(raw, item_split, strict=True) if part == 0]
    fitted = adapter.fit(training) if training else adapter
    found, names = {}, {}
    for factor in factors:
        names[factor], values = _numbered(table, factor)
        found[factor] = _of_items(numbers, values, len(cells))
    return ModalityData(
        fitted,
        fitted.transform(raw),
        _of_items(numbers, labels, len(cells)),
        item_split,
        found,
        names,
        tuple(cells),
        _contents(table, adapter, first, cells),
    )


def _contents(
    table: _Table, adapter: Adapter, first: np.ndarray[Any, np.dtype[np.int64]], cells: list[str]
) -> str:
    """Return a digest of the raw items: files by their bytes, texts as they stand."""
    found = hashlib.sha256()
    for row, cell in zip(first, cells, strict=True):
        if adapter.kind in _WORDED:
            found.update(hashlib.sha256(cell.encode()).digest())
            continue
        with _file(table, int(row), adapter.name, cell).open("rb") as handle:
            found.update(hashlib.file_digest(handle, "sha256").digest())
    return found.hexdigest()


def _of_items(
    numbers: np.ndarray[Any, np.dtype[np.int64]],
    values: np.ndarray[Any, np.dtype[np.int64]],
    n: int,
) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Return what the rows say of each item; -1 where none says it, or two disagree."""
    there = (numbers >= 0) & (values >= 0)
    low, high = np.full(n, np.iinfo(np.int64).max), np.full(n, -1)
    np.minimum.at(low, numbers[there], values[there])
    np.maximum.at(high, numbers[there], values[there])
    return np.where(low == high, high, -1).astype(np.int64)


def _item(table: _Table, adapter: Adapter, row: int, cell: str) -> Any:
    """Read one cell, naming its row if it fails."""
    try:
        if adapter.kind in _WORDED:
            item = adapter.read(cell)
            if adapter.kind == "text":
                adapter.transform([item])
            return item
        return adapter.read(_file(table, row, adapter.name, cell))
    except MissingDataError:
        raise
    except DataError as error:
        raise DataError(
            error.what,
            where=f"{table.where(row, adapter.name)}: {error.where}",
            why=error.why,
            fix=error.fix,
        ) from error
