"""Tables of what ``multimodal_models.py`` measured: unseen speakers first, then the whole protocol.

python benchmarks/multimodal_tables.py        # reads results/multimodal_*.jsonl
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from isthmus.metrics.stats import mean_interval
from isthmus.runs.multimodal import MultimodalReport

RESULTS = Path(__file__).resolve().parent / "results"
DIRECTIONS = ("image->audio", "audio->image")
Row = dict[str, Any]


def rows(name: str) -> list[Row]:
    """Return what a benchmark measured so far."""
    path = RESULTS / f"{name}.jsonl"
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def said(values: Iterable[float], digits: int = 3) -> str:
    """Return a mean over seeds with half its 95 % interval, where there are several."""
    found = mean_interval(list(values))
    half = "" if found.half is None else f" ± {found.half:.{digits}f}".replace("0.", ".")
    return f"{found.mean:.{digits}f}".replace("0.", ".") + half


def unseen(model: str, measured: list[Row]) -> None:
    """Print retrieval for each unseen speaker, beside a baseline and the supervised oracle."""
    bounds = {row["fold"]: row["directions"] for row in rows("multimodal_baselines")}
    groups: dict[str, list[Row]] = {}
    for row in measured:
        if row["model"] == model and row["fold"] != "seen" and row["only"]:
            groups.setdefault(row["fold"], []).append(row)
    if not groups:
        return
    print(f"\n{model}, image and sound, speaker unseen in training: mAP\n")
    print("| speaker | seeds | image to audio | CCA | oracle | audio to image | CCA | oracle |")
    print("|---|---|---|---|---|---|---|---|")
    columns: dict[str, list[float]] = {}
    for fold, found in sorted(groups.items()):
        cells = [fold.removeprefix("unseen:"), str(len(found))]
        for direction in DIRECTIONS:
            values = [row["metrics"]["retrieval"][direction]["map"] for row in found]
            columns.setdefault(direction, []).append(sum(values) / len(values))
            cells.append(said(values))
            for bound in ("cca", "oracle"):
                value = bounds[fold][direction][bound]["map"]
                columns.setdefault(direction + bound, []).append(value)
                cells.append(said([value]))
        print("| " + " | ".join(cells) + " |")
    for word, reduce in (("mean", lambda v: sum(v) / len(v)), ("worst", min)):
        numbers = [said([reduce(values)]) for values in columns.values()]
        print("| " + " | ".join([f"**{word}**", "", *numbers]) + " |")


def seen(measured: list[Row]) -> None:
    """Print the whole protocol on seen speakers, a column a model and regime."""
    groups: dict[str, list[Row]] = {}
    for row in measured:
        if row["fold"] == "seen":
            words = "+".join(row["only"] or ["image", "audio", "text"])
            groups.setdefault(f"{row['model']}, {words}", []).append(row)
    if not groups:
        return
    found = {
        name: [MultimodalReport.from_json(row["metrics"]).measures() for row in part]
        for name, part in groups.items()
    }
    print("\nSeen speakers, the whole protocol\n")
    print("| | " + " | ".join(f"{name}, {len(part)} seeds" for name, part in found.items()) + " |")
    print("|---|" + "---|" * len(found))
    keys = dict.fromkeys(key for part in found.values() for one in part for key in one)
    for key in keys:
        cells = [
            said(one[key] for one in part) if all(key in one for one in part) else ""
            for part in found.values()
        ]
        print(f"| {key} | " + " | ".join(cells) + " |")
    spent: Callable[[list[Row]], str] = lambda part: said(  # noqa: E731
        (row["training_cpu_seconds"] for row in part), 0
    )
    print("| training, CPU s | " + " | ".join(spent(part) for part in groups.values()) + " |")


def main() -> None:
    """Print every table."""
    measured = rows("multimodal_models")
    for model in dict.fromkeys(row["model"] for row in measured):
        unseen(model, measured)
    seen(measured)


if __name__ == "__main__":
    main()
