"""What any model of image and sound must beat at retrieval, and the supervised bound.

    python benchmarks/multimodal_baselines.py                       # seen speakers
    python benchmarks/multimodal_baselines.py --folds seen theo nicolas --no-oracle
    python benchmarks/multimodal_baselines.py --folds all --separate 3

Class-level retrieval between the 10,000 test images of MNIST and the test clips of the spoken
digits, mAP over the whole gallery: random codes, the nearest training item and what it is paired
with, ridge regression between separate codes, canonical correlation on 100 principal components,
and the oracle (two supervised classifiers, the product of their probabilities). ``--separate``
trains one autoencoder a modality for so many epochs for the ridge; without it, ridge maps
principal components. Nothing needs a model of ours. Rows are added to
``benchmarks/results/multimodal_baselines.jsonl``. Set ``ISTHMUS_DATA`` to a folder that holds
``fsdd/`` and ``mnist/``.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from isthmus.data.multimodal import MultimodalData, open_multimodal
from isthmus.data.multimodal.spoken_digits import SPEAKERS
from isthmus.models.multimodal import Aligned, MultimodalAutoencoder, modality_of
from isthmus.runs.multimodal.baselines import ladder
from isthmus.runs.multimodal.judge_training import JudgeSettings
from isthmus.runs.multimodal.judges import oracles
from isthmus.training.multimodal import MultimodalTraining, fit_multimodal

HERE = Path(__file__).resolve().parent


def separate(data: MultimodalData, epochs: int) -> Any:
    """Train one autoencoder a modality, and return what encodes items by number."""
    models = {}
    for name in data.names:
        alone = data.only([name])
        modality = modality_of(alone[name].adapter, private=0)
        model = MultimodalAutoencoder([modality], Aligned(contrast=0.0, spread=0.0, cross=0.0))
        fit_multimodal(model, alone, MultimodalTraining(epochs=epochs, augment=False))
        models[name] = model

    def codes(name: str, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        items = data[name].items[torch.from_numpy(rows)]
        return models[name].encode({name: items}).shared.double().numpy()

    return codes


def measured(fold: str, args: argparse.Namespace) -> dict[str, Any]:
    """Measure one fold."""
    name = fold if fold == "seen" else f"unseen:{fold}"
    data = open_multimodal("digit-trio", fold=name, only=["image", "audio"])
    start = time.process_time()
    settings = JudgeSettings(steps=args.steps, seeds=(0,))
    bound = None if args.no_oracle else oracles(data, args.judges, settings)
    seconds = time.process_time() - start
    codes = separate(data, args.separate) if args.separate else None
    found = ladder(data, bound, separate=codes, components=args.components)
    return {
        "fold": name,
        "directions": {
            direction: {
                rung: {"map": round(s.map, 4), "p@1": round(s.p1, 4)} for rung, s in rungs.items()
            }
            | {"chance": round(next(iter(rungs.values())).chance, 4)}
            for direction, rungs in found.scores.items()
        },
        "components": args.components,
        "separate_epochs": args.separate,
        "oracle_steps": None if args.no_oracle else args.steps,
        "cpu_seconds": {
            "oracle": round(seconds, 1),
            "all": round(time.process_time() - start, 1),
        },
        "machine": f"{platform.machine()}, {torch.get_num_threads()} threads",
    }


def main() -> None:
    """Measure, print a table, and keep the rows."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--folds", nargs="+", default=["seen"], help="seen, a speaker, or all")
    parser.add_argument("--components", type=int, default=100, help="principal components")
    parser.add_argument("--steps", type=int, default=600, help="steps of the oracle's classifiers")
    parser.add_argument("--no-oracle", action="store_true", help="leave the oracle out")
    parser.add_argument("--separate", type=int, default=0, help="epochs of separate autoencoders")
    parser.add_argument("--judges", type=Path, help="folder in which classifiers are kept")
    args = parser.parse_args()
    folds = ["seen", *SPEAKERS] if args.folds == ["all"] else args.folds
    out = HERE / "results" / "multimodal_baselines.jsonl"
    out.parent.mkdir(exist_ok=True)
    rows = []
    for fold in folds:
        row = measured(fold, args)
        rows.append(row)
        with out.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        for direction, rungs in row["directions"].items():
            numbers = "  ".join(
                f"{rung} {found['map']:.3f}" for rung, found in rungs.items() if rung != "chance"
            )
            print(f"{row['fold']:16} {direction:14} chance {rungs['chance']:.3f}  {numbers}")
    unseen = [row for row in rows if row["fold"] != "seen"]
    for direction in unseen[0]["directions"] if len(unseen) > 1 else ():
        for rung in unseen[0]["directions"][direction]:
            if rung != "chance":
                values = [row["directions"][direction][rung]["map"] for row in unseen]
                print(
                    f"unseen, mean of {len(values)} (worst)  {direction:14} {rung:8} "
                    f"{np.mean(values):.3f} ({min(values):.3f})"
                )


if __name__ == "__main__":
    main()
