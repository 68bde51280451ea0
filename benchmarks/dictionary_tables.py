"""The tables of ``dictionary_table.py`` in Markdown, from its rows."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable
from typing import Any

Row = dict[str, Any]
Group = tuple[str, str, int, int]
Cell = Callable[[list[Row]], str]


def tables(rows: list[Row]) -> str:
    """Return all tables; ± is one standard deviation over seeds."""
    quality = _groups(rows, "quality")
    named = {group: _name(group, quality) for group in (*quality, *_groups(rows, "stability"))}
    parts = [
        _table("Reconstruction and firing", quality, named, RECONSTRUCTION),
        _table("Texts", quality, named, TEXTS),
        _table("Directions", quality, named, DIRECTIONS),
        _table("Between seeds", _groups(rows, "stability"), named, STABILITY),
        _at_other_k(quality, named),
        _recovery(rows),
    ]
    return "\n\n".join(part for part in parts if part)


def _groups(rows: Iterable[Row], part: str) -> dict[Group, list[Row]]:
    """Gather the seeds of each model, in the order in which they came."""
    found: dict[Group, list[Row]] = {}
    for row in rows:
        if row["part"] == part:
            passes = row.get("passes") or 0
            group = (row["model"], row.get("lr") or "", row["k"], passes)
            found.setdefault(group, []).append(row)
    return found


def _name(group: Group, others: Iterable[Group]) -> str:
    """Say which model it is, with what sets it apart from others of its name."""
    model, lr, k, passes = group
    alike = [other for other in others if other[0] == model]
    apart = [f"rate {lr}"] if lr else []
    apart += [f"k = {k}"] if len({other[2] for other in alike}) > 1 else []
    apart += [f"{passes} passes"] if len({other[3] for other in alike}) > 1 else []
    return ", ".join([f"`{model}`", *apart])


def _table(
    title: str, groups: dict[Group, list[Row]], named: dict[Group, str], cells: dict[str, Cell]
) -> str:
    """Return one table, a row a model; nothing where no model has anything to show."""
    lines = []
    for group, own in groups.items():
        shown = [cell(own) for cell in cells.values()]
        if any(shown):
            seeds = sum(len(row["seed"]) if isinstance(row["seed"], list) else 1 for row in own)
            lines.append("| " + " | ".join([named[group], str(seeds), *shown]) + " |")
    if not lines:
        return ""
    head = "| model | seeds | " + " | ".join(cells) + " |"
    return "\n".join([f"**{title}**", "", head, "|" + "---|" * (len(cells) + 2), *lines])


def _at_other_k(groups: dict[Group, list[Row]], named: dict[Group, str]) -> str:
    """Return the FVU of each dictionary at other k's than its own."""
    ks = sorted({int(k) for own in groups.values() for row in own for k in row.get("fvu_at", ())})
    cells: dict[str, Cell] = {f"k = {k}": mean("fvu_at", str(k), form=".4f") for k in ks}
    return _table("FVU encoded with another k", groups, named, cells)


def _recovery(rows: Iterable[Row]) -> str:
    groups: dict[Group, list[Row]] = {}
    for row in rows:
        if row["part"] == "recovery":
            groups.setdefault((row["model"], "", row["rows"], row["passes"]), []).append(row)
    named = {
        group: f"`{group[0]}`" + ("" if len({g[2:] for g in groups}) == 1 else f" {group[2:]}")
        for group in groups
    }
    return _table("Recovery of known directions", groups, named, RECOVERY)


def mean(*path: str, form: str = ".3f", scale: float = 1.0) -> Cell:
    """Return a cell with the mean over seeds of a value, and its standard deviation."""

    def cell(own: list[Row]) -> str:
        values = [scale * value for value in (_at(row, path) for row in own) if value is not None]
        if not values:
            return ""
        spread = f" ± {format(statistics.stdev(values), form)}" if len(values) > 1 else ""
        return format(statistics.fmean(values), form) + spread

    return cell


def several(*cells: Cell) -> Cell:
    """Return a cell that holds several."""

    def cell(own: list[Row]) -> str:
        shown = [part(own) for part in cells]
        return " / ".join(shown) if any(shown) else ""

    return cell


def short(*path: str, form: str = ".3f", scale: float = 1.0) -> Cell:
    """Return a cell with the mean over seeds alone."""

    def cell(own: list[Row]) -> str:
        return mean(*path, form=form, scale=scale)(own).split(" ± ")[0]

    return cell


def _at(row: Row, path: tuple[str, ...]) -> float | None:
    found: Any = row
    for name in path:
        found = (found or {}).get(name)
    return found


def _interval(name: str) -> Cell:
    """Return a cell with the interval over rows of the first seed."""

    def cell(own: list[Row]) -> str:
        low, high = own[0].get(f"{name}_low"), own[0].get(f"{name}_high")
        return "" if low is None or high is None else f"{low:.4f}-{high:.4f}"

    return cell


RECONSTRUCTION: dict[str, Cell] = {
    "FVU": mean("fvu", form=".4f"),
    "95 %": _interval("fvu"),
    "FVU, training": short("fvu_train", form=".4f"),
    "FVU, refined": mean("fvu_refined", form=".4f"),
    "L0": mean("l0", form=".1f"),
    "dead %": mean("dead", form=".1f", scale=100),
    "largest rate": mean("max_firing_rate", form=".2f"),
    "training s": short("seconds", form=".0f"),
}
TEXTS: dict[str, Cell] = {
    "CLINC150 probe": mean("probe"),
    "1-NN": short("nearest"),
    "k' = 1 / 5 / 16": several(*(short("sparse_probe", k) for k in ("1", "5", "16"))),
    "F1 of the same": several(*(short("sparse_probe_f1", k) for k in ("1", "5", "16"))),
    "SciFact, codes / reconstructions": several(
        mean("ndcg", "scifact", "codes"), mean("ndcg", "scifact", "reconstructions")
    ),
    "Cranfield, codes / reconstructions": several(
        mean("ndcg", "cranfield", "codes"), mean("ndcg", "cranfield", "reconstructions")
    ),
}
DIRECTIONS: dict[str, Cell] = {
    "largest cosine": short("coherence_max"),
    "mean / of random ones": several(short("coherence_mean"), short("coherence_random")),
    "nearest, mean": mean("nearest_mean"),
    "pairs above .9, %": mean("near_pairs", form=".3f", scale=100),
}
STABILITY: dict[str, Cell] = {
    "matched cosine": mean("stability"),
    "95 %": _interval("stability"),
    "chance": mean("stability_chance"),
    "above .7, %": mean("stability_shares", "0.7", form=".1f", scale=100),
    "above .9, %": mean("stability_shares", "0.9", form=".1f", scale=100),
}
RECOVERY: dict[str, Cell] = {
    "matched cosine": mean("mcc"),
    "chance": short("chance"),
    "above .9, %": mean("recovered", form=".1f", scale=100),
    "F1 of firing": mean("f1"),
    "correlation": mean("correlation"),
}
