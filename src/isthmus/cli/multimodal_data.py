"""Data of several modalities as the commands open them: by name or table, thinned, described."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from isthmus.errors import ConfigError, DataError

if TYPE_CHECKING:
    from isthmus.data.modalities import Adapter
    from isthmus.data.multimodal import MultimodalData
    from isthmus.runs.multimodal import MultimodalRun

__all__ = [
    "SeveralOptions",
    "columns_of",
    "described",
    "description",
    "is_several",
    "opened",
    "seen_by",
    "several_options",
]

_LISTS = frozenset({"only", "factors"})
_SPECIAL = frozenset({"label", "split"})
_USUAL = frozenset({"image", "audio", "text"})


@dataclass(frozen=True)
class SeveralOptions:
    """How data of several modalities are opened, beside the usual options of loading."""

    only: tuple[str, ...] | None = None
    """The modalities to keep, such as image,audio."""
    fold: str | None = None
    """digit-trio, fsdd: seen speakers (seen) or one that is held out (unseen:theo)."""
    text: str | None = None
    """digit-trio, digits-words: a word each (word), or sentences around it (templates)."""
    factors: tuple[str, ...] = ()
    """A CSV file of pairs: columns that are kept as factors of the items, such as speaker; aligned
    keeps them out of the shared codes, unless --hide "" is given."""
    missing: float = 0.0
    """Share of the training rows' items that are taken away at random; each row keeps one."""
    pairs_per_class: int = 0
    """Training pairs that are kept of each class, all other items standing alone; 0: all."""


def several_options(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return what was typed of :class:`SeveralOptions`, checked, and as values.

    Raises
    ------
    ConfigError
        If a value can't be read.
    """
    import dataclasses

    from isthmus.cli.values import read_as
    from isthmus.configs import validated

    kinds = {field.name: str(field.type) for field in dataclasses.fields(SeveralOptions)}
    typed = {name: read_as(kinds[name], value) for name, value in given.items() if name in kinds}
    found = validated(SeveralOptions, typed)
    if not 0 <= found.missing < 1:
        raise ConfigError(
            f"--missing can't be {found.missing:g}", fix="give a share from 0 to below 1, as 0.5"
        )
    if found.pairs_per_class < 0:
        raise ConfigError("--pairs-per-class can't be negative", fix="give a number, such as 10")
    values = {name: getattr(found, name) for name in typed}
    return {name: list(v) if name in _LISTS else v for name, v in values.items()}


def opened(source: str, options: Mapping[str, Any], **more: Any) -> MultimodalData:
    """Open data of several modalities, and take away what is to be missing.

    Parameters
    ----------
    source
        A named set, or a CSV file of pairs.
    options
        Those of :class:`SeveralOptions`, and of the set itself.
    more
        Further options of the set that are no JSON values.
    """
    from isthmus.data.multimodal import open_multimodal

    given = {name: value for name, value in options.items() if value is not None}
    return open_multimodal(source, **given, **more)


def columns_of(path: Path) -> tuple[str, ...]:
    """Return the names in the first line of a CSV file; none where it can't be read."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as handle:
            return tuple(cell.strip() for cell in next(csv.reader(handle), []))
    except (OSError, UnicodeDecodeError, csv.Error):
        return ()


def is_several(source: str) -> bool:
    """Say whether this is a set of several modalities, or a table of pairs of files.

    A table is one of pairs if two of its columns or more are called image, audio or text.
    """
    from isthmus.data import CATALOGUE

    if any(entry.name == source and entry.kind == "modalities" for entry in CATALOGUE):
        return True
    path = Path(source).expanduser()
    if path.suffix.lower() != ".csv" or not path.is_file():
        return False
    return len(_USUAL & set(columns_of(path))) > 1


# --- through the eyes of a run --------------------------------------------------------------------


class _Fitted:
    """An adapter that learned what it knows: fitting it again changes nothing."""

    def __init__(self, adapter: Adapter) -> None:
        self._adapter = adapter

    def __getattr__(self, name: str) -> Any:
        return getattr(self._adapter, name)

    def fit(self, items: Any) -> Adapter:
        """Return the adapter as it is."""
        return self._adapter


def seen_by(run: MultimodalRun, source: str) -> MultimodalData:
    """Open data for a run, every item transformed by the run's own adapters.

    Parameters
    ----------
    source
        A CSV file of pairs with one of the run's modalities or more, a named set, or the run's
        own data.

    Raises
    ------
    ConfigError
        If a named set was transformed by other statistics than the run's.
    DataError
        If a table has no column of the run's modalities.
    """
    path = Path(source).expanduser()
    if run.origin.source in (source, str(path.resolve())):
        return run.data
    if not path.is_file():
        data = opened(source, {})
        known = [name for name in run.model.names if name in data.names]
        _refuse_others(run, data, known)
        return data.only(known)
    columns = columns_of(path)
    known = [name for name in run.model.names if name in columns]
    if not known:
        raise DataError(
            "the pair table has no column of a modality of the run",
            where=str(path),
            why=f"its columns are {', '.join(columns) or 'none'}",
            fix=f"call them {', '.join(run.model.names)}",
        )
    factors = [name for name in columns if name not in {*run.model.names, *_SPECIAL}]
    adapters = {name: _Fitted(run.adapter(name)) for name in known}
    return opened(str(path), {"factors": factors}, modalities=adapters)


def _refuse_others(run: MultimodalRun, data: MultimodalData, names: list[str]) -> None:
    import numpy as np

    for name in names:
        mine, theirs = run.adapter(name), data[name].adapter
        state, other = mine.state(), theirs.state()
        alike = set(state) == set(other) and all(np.array_equal(state[k], other[k]) for k in state)
        if mine.config() != theirs.config() or not alike:
            raise ConfigError(
                f"items of {name!r} in these data were transformed in another way than the run's",
                where=data.name,
                why="the run's statistics come from other training items",
                fix="give the run's own data, or a CSV file of pairs of files",
            )


# --- what is in them ------------------------------------------------------------------------------


def description(data: MultimodalData) -> dict[str, Any]:
    """Return what is in the data, as JSON values."""
    from isthmus.data.dataset import SPLITS

    parts = {}
    for name, part in data.modalities.items():
        sizes = {split: len(part.rows(split)) for split in SPLITS}
        parts[name] = {
            "kind": part.adapter.kind,
            "shape": list(part.adapter.shape),
            "items": len(part),
            "splits": {split: count for split, count in sizes.items() if count},
            "labelled": int((part.labels >= 0).sum()),
            "factors": {key: list(part.factor_names.get(key, ())) for key in part.factors},
        }
    rows = {
        split: {
            "rows": len(table),
            "whole": int((table >= 0).all(axis=1).sum()),
            "missing": float((table < 0).mean()) if table.size else 0.0,
        }
        for split, table in data.pairs.items()
    }
    return {
        "name": data.name,
        "source": data.source,
        "kind": "modalities",
        "modalities": parts,
        "pairs": rows,
        "pair_rule": data.pair_rule,
        "epoch_rows": data.epoch_rows,
        "classes": list(data.classes),
        "digest": data.digest,
        "notes": list(data.notes),
    }


_RULES = {
    "class": "drawn anew each epoch by class; fixed tables stand beside them",
    "table": "as the table has them",
    "few": "few paired rows mixed with items that stand alone",
}


def described(data: MultimodalData) -> list[str]:
    """Return the same as lines for people."""
    found = description(data)
    lines = [f"{data.name}: {len(data.names)} modalities", f"from     {data.source}"]
    width = max(len(name) for name in data.names)
    for name, part in found["modalities"].items():
        sizes = ", ".join(f"{split} {count:,}" for split, count in part["splits"].items())
        shape = " x ".join(map(str, part["shape"]))
        lines.append(f"  {name:<{width}}  {part['kind']} of {shape}; {sizes}")
        lines += [
            f"  {'':<{width}}  {factor}: {_few(values)}"
            for factor, values in part["factors"].items()
        ]
    lines.append(f"pairs    {_RULES[data.pair_rule]}; {data.epoch_rows:,} rows an epoch")
    for split, rows in found["pairs"].items():
        gone = f", {rows['missing']:.0%} of items missing" if rows["missing"] else ""
        lines.append(f"  {split:<10}  {rows['rows']:,} rows, {rows['whole']:,} whole{gone}")
    if data.classes:
        lines.append(f"classes  {len(data.classes)}: {_few(list(data.classes))}")
    lines.append(f"digest   {data.digest}")
    return [*lines, *(f"note     {note}" for note in data.notes)]


def _few(values: list[str]) -> str:
    shown = ", ".join(values[:12])
    return shown + (f" and {len(values) - 12:,} more" if len(values) > 12 else "")
