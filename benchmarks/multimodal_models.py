"""Models of image, sound and word on the whole protocol: every preset, fold, seed.

    ISTHMUS_DATA=... python benchmarks/multimodal_models.py --models aligned --folds seen
    ISTHMUS_DATA=... python benchmarks/multimodal_models.py --folds nicolas theo --only image audio
    python benchmarks/multimodal_tables.py        # what was measured so far

Trains with the presets' settings (``--set name=value`` changes one), measures with
``isthmus.runs.multimodal`` and adds a row to ``results/multimodal_models.jsonl``. Judges and
oracles are kept in ``--judges``, so that they are trained once.
"""

from __future__ import annotations

import argparse
import json
import re
import time
from pathlib import Path
from typing import Any

import torch

from isthmus.data.multimodal import open_multimodal
from isthmus.runs.multimodal import MultimodalEvaluation, train_multimodal

OUT = Path(__file__).resolve().parent / "results" / "multimodal_models.jsonl"
DIRECTIONS = ("image->audio", "audio->image")
SHORT = MultimodalEvaluation(
    queries=500, round_trip=0, rates=(0.0,), joint=500, train_rows=2000, baselines=False
)


def value(text: str) -> Any:
    """Read a setting."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def measured(model: str, fold: str, seed: int, given: argparse.Namespace) -> dict[str, Any]:
    """Train and measure one model."""
    name = fold if fold == "seen" else f"unseen:{fold}"
    data = open_multimodal("digit-trio", fold=name, **({"only": given.only} if given.only else {}))
    settings = dict(pair.partition("=")[::2] for pair in given.set)
    began, cpu = time.monotonic(), time.process_time()
    place = "-".join([model, fold, str(seed), *(given.only or ()), *given.set])
    run = train_multimodal(
        model,
        data,
        out=given.runs / re.sub(r"[^\w.=-]", "_", place) if given.runs else None,
        seed=seed,
        figures=False,
        judge_folder=given.judges,
        progress=given.progress,
        measure=False,
        **{key: value(text) for key, text in settings.items()},
    )
    trained = time.monotonic() - began, time.process_time() - cpu
    report = run.evaluate(options=SHORT if given.short else None)
    return {
        "model": model,
        "fold": name,
        "only": given.only,
        "seed": seed,
        "settings": settings,
        "training_seconds": round(trained[0], 1),
        "training_cpu_seconds": round(trained[1], 1),
        "threads": torch.get_num_threads(),
        "metrics": report.as_json(),
    }


def main() -> None:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", default=["aligned"])
    parser.add_argument("--folds", nargs="+", default=["seen"], help="seen, or speakers")
    parser.add_argument("--only", nargs="+", default=None, help="modalities; default: all")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--set", nargs="+", default=[], help="settings, name=value")
    parser.add_argument("--judges", type=Path, default=Path(".bench/judges"))
    parser.add_argument("--runs", type=Path, default=None, help="where runs are kept")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--short", action="store_true", help="measure on fewer items, no ladder")
    parser.add_argument("--progress", action="store_true")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    for model in given.models:
        for fold in given.folds:
            for seed in given.seeds:
                row = measured(model, fold, seed, given)
                with OUT.open("a", encoding="utf-8") as log:
                    log.write(json.dumps(row) + "\n")
                found = row["metrics"]["retrieval"]
                scores = {d: round(found[d]["map"], 4) for d in DIRECTIONS if d in found}
                print(model, fold, seed, scores, row["training_cpu_seconds"], flush=True)


if __name__ == "__main__":
    main()
