"""MultiVae's MVTCAE and MMVAE+ beside Isthmus's models: same data, networks, batches, budget.

    ISTHMUS_DATA=... python benchmarks/multimodal_peers.py --cpu-seconds 217 --seeds 0 1 2
    ISTHMUS_DATA=... python benchmarks/multimodal_peers.py --epochs 3 --regimes IA IAT
    python benchmarks/multimodal_peers.py --table

The budget is CPU seconds of training steps, the drawing of their batches included, or epochs
(as many steps for each). Batches are those of Isthmus's feed without views, so that every model
but ``aligned``, which uses views, sees the same changed items in the same order. Learning rates
are each library's own. Everything is measured by ``isthmus.runs.multimodal``, twice: with the
model's own translation, and with Isthmus's joint mixture fitted to its codes. Rows are added to
``results/multimodal_peers.jsonl``. ``--set`` changes Isthmus's settings, ``--peer-set`` MultiVae's.

To compare objectives alone: ``--same-likelihood --peer-set loop=isthmus``. MVTCAE's two losses are
then equal to seven digits for the same weights, items and codes.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import statistics
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import torch
from torch import Tensor

from isthmus.data.multimodal import MultimodalData, open_multimodal
from isthmus.likelihoods import Laplace
from isthmus.models.multimodal import fit_to
from isthmus.runs.multimodal import MultimodalEvaluation, evaluate_multimodal, train_multimodal
from isthmus.runs.multimodal.judges import Judges
from isthmus.training import stepping
from isthmus.training.multimodal import MultimodalTraining
from isthmus.training.multimodal.averaging import follow
from isthmus.training.multimodal.feeding import Feed

OUT = Path(__file__).resolve().parent / "results" / "multimodal_peers.jsonl"
OURS = ("mvtcae", "mmvae-plus", "aligned")
THEIRS = ("multivae-mvtcae", "multivae-mmvae-plus")
REGIMES = {"IA": ["image", "audio"], "IAT": ["image", "audio", "text"]}
CROSSINGS = ("image->audio", "audio->image", "text->image", "text->audio", "image->text",
             "audio->text")  # fmt: skip
MISSING = "MultiVae is not installed: benchmarks/peers-multimodal.lock says how; left out"


def settings_of(pairs: list[str]) -> dict[str, Any]:
    """Read settings, name=value."""
    found = {}
    for name, _, text in (pair.partition("=") for pair in pairs):
        try:
            found[name] = json.loads(text)
        except ValueError:
            found[name] = text
    return found


@dataclasses.dataclass(frozen=True)
class Trained:
    """A trained model, ready to be measured."""

    ways: dict[str, tuple[Any, Any]]
    """By way of translating, "own" and "mixture": the model, and the mixture to measure with."""
    steps: int
    """Optimiser steps done."""
    cpu_seconds: float
    """CPU seconds of these steps."""
    settings: dict[str, Any]
    """What differs from Isthmus's defaults; of a peer everything."""


def ours(name: str, data: MultimodalData, seed: int, given: argparse.Namespace) -> Trained:
    """Train one of Isthmus's models; its clock is the process's CPU time."""
    settings = settings_of(given.set)
    changes: dict[str, dict[str, Any]] = {}
    if given.same_likelihood:
        likes = {"image": Laplace(0.75, "sigmoid"), "audio": Laplace(0.75)}
        changes = {part: {"likelihood": like} for part, like in likes.items()}
    budget: dict[str, Any] = {"epochs": given.epochs or 10_000, "batch_size": given.batch_size}
    if given.cpu_seconds:
        budget["minutes"] = given.cpu_seconds / 60
    with mock.patch.object(stepping, "time", SimpleNamespace(monotonic=time.process_time)):
        run = train_multimodal(
            name,
            data,
            seed=seed,
            modalities=changes,
            figures=False,
            measure=False,
            **budget,
            **settings,
        )
    if given.same_likelihood:
        settings["likelihood"] = "laplace 0.75"
    ways = {"own": (run.model, None), "mixture": (run.model, run.mixture)}
    return Trained(ways, run.trained.steps, run.trained.seconds, settings)


def theirs(name: str, data: MultimodalData, seed: int, given: argparse.Namespace) -> Trained:
    """Train one of MultiVae's models."""
    from multimodal_peer_models import PEERS, MultiVaePeer, WithMixture

    settings = PEERS[name].changed(settings_of(given.peer_set))
    peer = MultiVaePeer(name, data, settings, seed)
    steps, seconds = fit_peer(peer, data, seed, given)
    mixed = WithMixture(peer, fit_to(peer, data, seed=seed))  # type: ignore[arg-type]
    ways = {"own": (peer, None), "mixture": (mixed, None)}
    return Trained(ways, steps, seconds, dataclasses.asdict(settings))


def fit_peer(
    peer: Any, data: MultimodalData, seed: int, given: argparse.Namespace
) -> tuple[int, float]:
    """Train a peer until its budget is spent; return steps and CPU seconds of steps."""
    settings, model = peer.settings, peer.model
    plain = settings.loop == "multivae"
    training = MultimodalTraining(seed=seed, batch_size=given.batch_size)
    feed = Feed(data, training, views=False, device=torch.device("cpu"))
    generator = torch.Generator().manual_seed(seed + 1)
    torch.manual_seed(seed)  # MultiVae draws from the global state
    model.to(memory_format=torch.channels_last).train()
    optimiser = torch.optim.Adam(model.parameters(), lr=settings.lr, amsgrad=settings.amsgrad)
    average: dict[str, Tensor] = {}
    rows_each = len(data.table("train", seed, 0))
    total = (given.epochs or 10_000) * math.ceil(rows_each / given.batch_size)
    limit = given.cpu_seconds or math.inf
    step, spent, epoch = 0, 0.0, 0
    while step < total and spent < limit:
        table = data.table("train", seed, epoch)
        for start in range(0, len(table), given.batch_size):
            if spent >= limit:
                break
            began = time.process_time()
            rows = feed.rows(table[start : start + given.batch_size], generator)
            out = peer.output(rows)
            optimiser.zero_grad(set_to_none=True)
            if plain:
                out.loss.backward()
            else:
                share = max(step / total, spent / limit)
                falling = 0.5 * (1 + math.cos(math.pi * share))
                for group in optimiser.param_groups:
                    group["lr"] = settings.lr * falling * min(1, (step + 1) / training.warmup_steps)
                (out.loss_sum / len(rows)).backward()
                torch.nn.utils.clip_grad_norm_(model.parameters(), training.clip)
            optimiser.step()
            if not plain:
                follow(average, model, training.average, step)
            step, spent = step + 1, spent + time.process_time() - began
            if given.progress and step % 50 == 0:
                print(f"step {step}, {spent:.0f} CPU s, loss {float(out.loss):.4g}", flush=True)
        epoch += 1
    if average:
        model.load_state_dict(average)
    model.eval()
    return step, spent


def measured(name: str, regime: str, seed: int, given: argparse.Namespace) -> list[dict[str, Any]]:
    """Train and measure one model; return a row for each way of translating."""
    data = open_multimodal("digit-trio", fold="seen", only=REGIMES[regime])
    trained = (ours if name in OURS else theirs)(name, data, seed, given)
    judges = Judges.trained(data, given.judges)
    fewer = {"queries": 100, "samples": 2, "gallery": 1000, "train_rows": 1000, "joint": 100}
    options = MultimodalEvaluation(
        baselines=False, round_trip=0, rates=(0.0, 0.5), **(fewer if given.quick else {})
    )
    found = []
    for way, (model, mixture) in trained.ways.items():
        report = evaluate_multimodal(model, mixture, data, judges, options=options)
        found.append(
            {
                "model": name,
                "translation": way,
                "regime": regime,
                "fold": "seen",
                "seed": seed,
                "budget": {
                    "cpu_seconds": given.cpu_seconds,
                    "epochs": given.epochs,
                    "quick": given.quick,
                },
                "batch_size": given.batch_size,
                "settings": trained.settings,
                "steps": trained.steps,
                "training_cpu_seconds": round(trained.cpu_seconds, 1),
                "threads": torch.get_num_threads(),
                "metrics": report.as_json(),
            }
        )
    return found


def said(row: dict[str, Any]) -> str:
    """Return what sets a row's model apart, for the table."""
    name, settings = row["model"], dict(row["settings"])
    if name in THEIRS:
        shown = ("likelihood", "scale", "lr", "loop")
        return ", ".join(f"{key} {settings[key]}" for key in shown)
    return ", ".join(f"{key} {value}" for key, value in settings.items()) or "presets"


def table(path: Path) -> None:
    """Print means over seeds, a row a model, its settings, way of translating and budget."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in map(json.loads, lines):
        budget = json.dumps(row["budget"])
        key = (row["regime"], budget, row["model"], said(row), row["translation"])
        groups.setdefault(key, []).append(row["metrics"] | {"row": row})
    for regime, names in REGIMES.items():
        here = [d for d in CROSSINGS if set(d.split("->")) <= set(names)]
        chosen = {key: rows for key, rows in groups.items() if key[0] == regime}
        if not chosen:
            continue
        heads = ["model", "settings", "translation", "seeds", "i-a mAP", "a-i mAP"]
        heads += [f"coherence {d}" for d in here]
        heads += ["probe image", "probe audio", "CPU s", "steps"]
        print(f"\n{regime}; in brackets the variance inside classes over the real one.\n")
        print("| " + " | ".join(heads) + " |\n" + "|---" * len(heads) + "|")
        for (_, _, model, settings, way), rows in chosen.items():
            cells = [model, settings, way, str(len(rows))]
            cells += [f"{_mean(rows, 'retrieval', d, 'map'):.3f}" for d in CROSSINGS[:2]]
            cells += [_crossed(rows, d) for d in here]
            cells += [f"{_mean(rows, 'probes', n, 'accuracy'):.3f}" for n in ("image", "audio")]
            cells += [f"{_mean(rows, 'row', n):.0f}" for n in ("training_cpu_seconds", "steps")]
            print("| " + " | ".join(cells) + " |")


def _mean(rows: list[dict[str, Any]], *path: str) -> float:
    values = []
    for row in rows:
        value: Any = row
        for part in path:
            value = value[part]
        values.append(value)
    return statistics.mean(values)


def _crossed(rows: list[dict[str, Any]], direction: str) -> str:
    """Return coherence of draws, and their variance where there is one."""
    coherence = f"{_mean(rows, 'coherence', direction, 'coherence'):.3f}"
    if rows[0]["coherence"][direction]["variance_ratio"] is None:
        return coherence
    return f"{coherence} ({_mean(rows, 'coherence', direction, 'variance_ratio'):.2f})"


def main() -> None:
    """Measure what is asked for, or print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", default=[*THEIRS, *OURS], choices=[*THEIRS, *OURS])
    parser.add_argument("--regimes", nargs="+", default=["IA"], choices=list(REGIMES))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--cpu-seconds", type=float, default=0.0, help="of training steps, each")
    parser.add_argument("--epochs", type=int, default=0, help="of 30,000 rows; or beside seconds")
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--set", nargs="+", default=[], help="settings of Isthmus, name=value")
    parser.add_argument("--peer-set", nargs="+", default=[], help="settings of MultiVae's models")
    parser.add_argument(
        "--same-likelihood", action="store_true", help="Isthmus's models get Laplace(0.75) too"
    )
    parser.add_argument("--judges", type=Path, default=Path(".bench/judges"))
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="measure on few items")
    parser.add_argument("--progress", action="store_true")
    parser.add_argument("--table", action="store_true")
    given = parser.parse_args()
    if given.table:
        table(given.out)
        return
    if not given.cpu_seconds and not given.epochs:
        parser.error("give a budget: --cpu-seconds or --epochs")
    torch.set_num_threads(given.threads)
    for regime in given.regimes:
        for seed in given.seeds:
            for name in given.models:
                try:
                    rows = measured(name, regime, seed, given)
                except ModuleNotFoundError as error:
                    if name in OURS:
                        raise
                    print(f"{name}: {MISSING} ({error.name})", file=sys.stderr)
                    continue
                with given.out.open("a", encoding="utf-8") as log:
                    log.writelines(json.dumps(row) + "\n" for row in rows)
                for row in rows:
                    scores = [
                        round(row["metrics"]["retrieval"][d]["map"], 3) for d in CROSSINGS[:2]
                    ]
                    made = [_crossed([row["metrics"]], d) for d in CROSSINGS[:2]]
                    cost = (row["steps"], row["training_cpu_seconds"])
                    print(regime, seed, name, row["translation"], scores, made, *cost, flush=True)


if __name__ == "__main__":
    main()
