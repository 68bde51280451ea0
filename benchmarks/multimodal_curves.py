"""What missing items and few pairs cost in training: curves of any preset on digit-trio.

    ISTHMUS_DATA=... python benchmarks/multimodal_curves.py --missing 0 0.2 0.5 0.8
    ISTHMUS_DATA=... python benchmarks/multimodal_curves.py --pairs 1 10 100 --only image audio
    python benchmarks/multimodal_curves.py --table --figures .bench/figures

Trains with a share of the training items taken away at random, or with a few pairs a class and
all other items alone and unlabelled, and measures on whole test items. Rows go to
``results/multimodal_curves.jsonl``.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import Any

import torch

from isthmus.data.multimodal import open_multimodal
from isthmus.figures.multimodal_curves import robustness_curves
from isthmus.metrics.multimodal.curves import Curve, curve
from isthmus.runs.multimodal import MultimodalEvaluation, train_multimodal

OUT = Path(__file__).resolve().parent / "results" / "multimodal_curves.jsonl"
SHORT = MultimodalEvaluation(round_trip=0, rates=(0.0,), joint=500, train_rows=2000)
DIRECTIONS = ("image->audio", "audio->image")


def measured(model: str, seed: int, given: argparse.Namespace, **thinned: float) -> dict[str, Any]:
    """Train on thinned data and measure."""
    options = {"only": given.only} if given.only else {}
    data = open_multimodal("digit-trio", **options, **thinned)
    settings = dict(pair.partition("=")[::2] for pair in given.set)
    cpu = time.process_time()
    run = train_multimodal(
        model,
        data,
        seed=seed,
        figures=False,
        judge_folder=given.judges,
        measure=False,
        **{key: json.loads(text) for key, text in settings.items()},
    )
    spent = time.process_time() - cpu
    report = run.evaluate(options=SHORT).as_json()
    return {
        "model": model,
        "only": given.only,
        "seed": seed,
        **thinned,
        "settings": settings,
        "training_cpu_seconds": round(spent, 1),
        "threads": torch.get_num_threads(),
        "retrieval": {d: found["map"] for d, found in report["retrieval"].items()},
        "coherence": {d: found["coherence"] for d, found in report["coherence"].items()},
    }


def rows() -> list[dict[str, Any]]:
    """Return what was measured so far."""
    if not OUT.exists():
        return []
    return [json.loads(line) for line in OUT.read_text(encoding="utf-8").splitlines()]


def shown(folder: Path | None) -> None:
    """Print every curve as a table, and draw it."""
    for setting, title in (("missing", "share missing"), ("pairs_per_class", "pairs a class")):
        groups: dict[tuple[str, ...], list[dict[str, Any]]] = {}
        for row in rows():
            if setting in row:
                given = ", ".join(f"{k}={v}" for k, v in row["settings"].items())
                key = (row["model"], "+".join(row["only"] or ["all"]), given)
                groups.setdefault(key, []).append(row)
        for key, found in groups.items():
            curves = curves_of(found, setting)
            at = next(iter(curves.values())).at
            print(f"\n{', '.join(filter(None, key))}\n")
            print("| | " + " | ".join(f"{title} {x:g}" for x in at) + " |")
            print("|---|" + "---|" * len(at))
            for name, one in curves.items():
                print(f"| {name} | " + " | ".join(f"{m:.3f}" for m in one.means) + " |")
            seeds = [len({row["seed"] for row in found if row[setting] == x}) for x in at]
            print("| seeds | " + " | ".join(map(str, seeds)) + " |")
            seconds = statistics.mean(row["training_cpu_seconds"] for row in found)
            print(f"\n{seconds:.0f} CPU seconds a training")
            if folder is not None:
                drawn(curves, folder / f"{'-'.join(key[:2])}-{setting}.png", title)


def curves_of(found: list[dict[str, Any]], setting: str) -> dict[str, Curve]:
    """Return each measure against the setting, over seeds."""
    curves = {}
    for part, word in (("retrieval", "mAP"), ("coherence", "coherence")):
        for direction in DIRECTIONS:
            values: dict[float, list[float]] = {}
            for row in found:
                values.setdefault(row[setting], []).append(row[part][direction])
            curves[f"{direction} {word}"] = curve(values, log=setting != "missing")
    return curves


def drawn(curves: dict[str, Curve], place: Path, title: str) -> None:
    """Draw curves into a PNG file."""
    place.parent.mkdir(parents=True, exist_ok=True)
    at = next(iter(curves.values())).at
    picture = robustness_curves(
        at,
        {name: one.means for name, one in curves.items()},
        {name: [point.half for point in one.points] for name, one in curves.items()},
        across=title,
        log=min(at) > 0,
    )
    picture.figure.savefig(place, dpi=150)
    print(f"drawn in {place}")


def main() -> None:
    """Measure what is asked for, or show the curves."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", default=["aligned"])
    parser.add_argument("--missing", nargs="*", type=float, default=[])
    parser.add_argument("--pairs", nargs="*", type=int, default=[])
    parser.add_argument("--only", nargs="+", default=None, help="modalities; default: all")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--set", nargs="+", default=[], help="settings, name=value as JSON")
    parser.add_argument("--judges", type=Path, default=Path(".bench/judges"))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--table", action="store_true")
    parser.add_argument("--figures", type=Path, default=None, help="folder for the curves")
    given = parser.parse_args()
    if given.table:
        shown(given.figures)
        return
    torch.set_num_threads(given.threads)
    thinnings: list[dict[str, float]] = [{"missing": rate} for rate in given.missing]
    thinnings += [{"pairs_per_class": count} for count in given.pairs]
    for model in given.models:
        for thinned in thinnings:
            for seed in given.seeds:
                row = measured(model, seed, given, **thinned)
                with OUT.open("a", encoding="utf-8") as log:
                    log.write(json.dumps(row) + "\n")
                print(model, thinned, seed, row["retrieval"], row["coherence"], flush=True)


if __name__ == "__main__":
    main()
