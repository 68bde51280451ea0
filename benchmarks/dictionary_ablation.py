"""What each of the defaults brings, and the trade-off between error and busy latents, drawn.

    python benchmarks/dictionary_ablation.py --threads 1       # about 10 minutes; goes on
    python benchmarks/dictionary_ablation.py --table           # print the table, draw the figure

The protocol of ``dictionary_quality.py`` at k = 32, one seed: the defaults, each of encoder decay,
noise and the limit on firing rates left out, all three left out, other limits, other rates. The
figure, ``docs/dictionary-trade-off.png``, also holds the peers of ``dictionary_quality.py``.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import torch

from dictionary_data import split
from dictionary_face import Task
from dictionary_ours import ours
from dictionary_quality import BATCH, RESULTS, done, measured, train

HERE = Path(__file__).resolve().parent
OUT = HERE / "results" / "dictionary_ablation.jsonl"
OFF: dict[str, float] = {"encoder_decay": 0.0, "noise": 0.0, "max_rate": 1.0}
VARIANTS: dict[str, dict[str, float]] = {
    "defaults": {},
    "no encoder decay": {"encoder_decay": 0.0},
    "no noise": {"noise": 0.0},
    "no limit": {"max_rate": 1.0},
    "none of the three": OFF,
    "encoder decay alone": OFF | {"encoder_decay": 0.4},
    "limit alone": OFF | {"max_rate": 0.16},
    "limit .08": {"max_rate": 0.08},
    "limit .30": {"max_rate": 0.30},
    "half the rate": {"lr": 0.0025},
    "twice the rate": {"lr": 0.01},
}


def made(name: str, rows: torch.Tensor, held: torch.Tensor) -> dict[str, Any]:
    """Train one variant and measure it."""
    task = Task(rows.shape[1], 3072, 32, BATCH, len(rows) // BATCH * 20)
    peer = ours(task, rows, **VARIANTS[name])
    seconds = train(peer, rows, 20, 0)
    return {"variant": name, "seconds": round(seconds, 1)} | measured(
        peer.weights(), rows, held, 32
    )


def shown(rows: list[dict[str, Any]]) -> None:
    """Print the table and draw the figure."""
    print("| variant | FVU | 95 % | FVU, training | dead % | largest rate |")
    print("|---|---|---|---|---|---|")
    for row in rows:
        interval = f"{row['fvu_low']:.4f}-{row['fvu_high']:.4f}"
        errors = (f"{row['fvu']:.4f}", interval, f"{row['fvu_train']:.4f}")
        cells = (*errors, f"{100 * row['dead']:.1f}", f"{row['max_firing_rate']:.2f}")
        print(f"| {row['variant']} | {' | '.join(cells)} |")
    from isthmus.figures import fvu_against_max_rate

    points = [dict(row, series="Isthmus", label=row["variant"]) for row in rows]
    points += [
        dict(row, series=row["name"], label=f"{row['lr']:g}" if row["lr"] else "defaults")
        for row in done(RESULTS)
        if row["k"] == 32 and not row["name"].startswith("isthmus")
    ]
    fvu_against_max_rate(points).save(HERE.parent / "docs", "dictionary-trade-off")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--variants", default=",".join(VARIANTS), help="names, with commas")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--table", action="store_true", help="only print and draw")
    args = parser.parse_args()
    if not args.table:
        torch.set_num_threads(args.threads)
        rows, held = (torch.from_numpy(part) for part in split())
        for name in args.variants.split(","):
            if name in {row["variant"] for row in done(OUT)}:
                continue
            row = made(name, rows, held)
            with OUT.open("a") as out:
                out.write(json.dumps(row) + "\n")
    order = {name: place for place, name in enumerate(VARIANTS)}
    shown(sorted(done(OUT), key=lambda row: order[row["variant"]]))


if __name__ == "__main__":
    main()
