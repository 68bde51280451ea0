"""Speed of training a TopK dictionary, side by side: Isthmus, and every peer that is installed.

    python benchmarks/dictionary_speed.py                      # all of it, under ten minutes
    python benchmarks/dictionary_speed.py --peers isthmus,saelens --threads 2 --repeats 9
    python benchmarks/dictionary_speed.py --shapes 384x3072x32x4096,768x24576x32x1024

Full training steps in float32 (``train``), the same with a tenth of the latents dead and revival at
work (``dead``), and encoding alone (``encode``), in samples a second. The candidates take turns, so
that what else the machine does falls on all of them; the median over the rounds is printed, and the
best is kept beside it. ``x matmul`` is the time of a step over that of its encoder's matrix product
alone at the best rate that torch reaches here (``dictionary_matmul.py``). The ratios of Isthmus are
medians of the ratios round by round. A shape is D x N x k x batch.

On a machine that has other work ``--threads 1 --clock cpu`` counts the process' own seconds, which
come close to those of a quiet machine; with more threads they mean nothing, for idle ones spin.

Each thread count runs in a process of its own on as many cores; with more than one, torch's workers
are bound to a core each. What is printed is also written to ``results/dictionary_speed.json``.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
SHAPES = "384x3072x32x4096,384x12288x32x4096"
USUAL = (
    *("isthmus", "isthmus-fast", "saelens", "dictionary_learning"),
    *("sparsify", "sparsify-signum", "overcomplete", "naive"),
)
KINDS = ("train", "dead", "encode")
# Those that treat dead latents apart; the others spend the same on them at all times, or nothing.
REVIVE = ("isthmus", "isthmus-fast", "saelens", "dictionary_learning", "sparsify")
RIVALS = {
    "best of saelens, dictionary_learning": ("saelens", "dictionary_learning"),
    "sparsify": ("sparsify",),
    "best of all peers": (
        *("saelens", "dictionary_learning", "sparsify", "sparsify-signum"),
        *("overcomplete", "csr"),
    ),
}
Speeds = dict[str, list[float]]
PASSED = ("peers", "shapes", "repeats", "clock")
Clock = Callable[[], float]
CLOCKS: dict[str, Clock] = {"wall": time.perf_counter, "cpu": time.process_time}


def machine() -> dict[str, Any]:
    """Say what this runs on."""
    import torch

    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    model = next((line.split(":")[1].strip() for line in lines if "model name" in line), "")
    flags = next((line for line in lines if line.startswith("flags")), "").split()
    wide = [flag for flag in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if flag in flags]
    return {
        "processor": model or platform.machine(),
        "cores": os.cpu_count(),
        "instructions": wide,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "load_before": round(os.getloadavg()[0], 2),
    }


def bind(threads: int) -> None:
    """Keep this process on as many cores, and torch's workers on one each but the first."""
    import torch

    torch.set_num_threads(threads)
    if not hasattr(os, "sched_setaffinity"):
        return
    cores = sorted(os.sched_getaffinity(0))[:threads]
    os.sched_setaffinity(0, set(cores))
    tasks = Path("/proc/self/task")
    before = {task.name for task in tasks.iterdir()}
    torch.randn(512, 512) @ torch.randn(512, 512)  # starts the workers
    workers = sorted(int(task.name) for task in tasks.iterdir() if task.name not in before)
    for worker, core in zip(workers, cores[1:], strict=False):
        os.sched_setaffinity(worker, {core})


def rate(work: Callable[[int], Any], samples: int, seconds: float, clock: Clock) -> float:
    """Return samples a second of calls that take at least ``seconds`` together."""
    start = clock()
    calls = 0
    while not calls or clock() - start < seconds:
        work(calls)
        calls += 1
    return calls * samples / (clock() - start)


def turns(
    shape: tuple[int, ...], names: list[str], repeats: int, until: float, clock: Clock
) -> dict[str, Any]:
    """Let all candidates of one shape take turns; at least one round after the warm-up."""
    import torch

    from dictionary_data import vectors
    from dictionary_face import Task
    from dictionary_matmul import best, ways
    from dictionary_peers import installed

    dim, latents, k, batch = shape
    rows, what = vectors(dim, 4 * batch)
    batches = torch.from_numpy(rows).split(batch)
    task = Task(dim, latents, k, batch, steps=100_000)
    revived = Task(dim, latents, k, batch, steps=100_000, aux=True)
    made = {name: make(task, batches[0]) for name, make in installed(names).items()}
    dead = {
        name: make(revived, batches[0])
        for name, make in installed([n for n in names if n in REVIVE], quiet=True).items()
    }
    speeds: dict[str, Speeds] = {kind: {} for kind in KINDS}
    product: dict[str, float] = {}
    for round_ in range(repeats + 1):
        least = best(ways(batches[0], latents), clock)
        product = {way: min(took, product.get(way, took)) for way, took in least.items()}
        timed = functools.partial(rate, samples=batch, seconds=0.3 if round_ else 0, clock=clock)
        for name, peer in made.items():
            found = {
                "train": timed(lambda i, p=peer: p.step(batches[i % 4])),
                "encode": timed(lambda i, p=peer: p.encode(batches[i % 4])),
            }
            if name in dead:
                lost = dead[name]
                lost.step(batches[0])  # the first step of some sets the pre-bias
                lost.retire(latents // 10, batches[0])
                found["dead"] = timed(lambda i, p=lost: p.step(batches[i % 4]))
            if round_:  # the first round warms up
                for kind, speed in found.items():
                    speeds[kind].setdefault(name, []).append(speed)
        if round_ and time.perf_counter() > until:
            break
    return report(shape, what, speeds, product)


def report(
    shape: tuple[int, ...], data: str, speeds: dict[str, Speeds], product: dict[str, float]
) -> dict[str, Any]:
    """Return what is kept of one shape."""
    dim, latents, _, batch = shape
    way = min(product, key=lambda key: product[key])
    flops = 2 * batch * dim * latents
    candidates: dict[str, dict[str, Any]] = {}
    for kind, own in speeds.items():
        for name, values in own.items():
            cell = {"median": round(statistics.median(values)), "best": round(max(values))}
            candidates.setdefault(name, {})[kind] = cell
    for cells in candidates.values():
        step = batch / cells["train"]["best"]  # as the product is
        cells["step_over_matmul"] = round(step / product[way], 2)
        if "dead" in cells:
            cells["dead_costs"] = round(cells["train"]["median"] / cells["dead"]["median"] - 1, 3)
    ratios: dict[str, dict[str, float]] = {}
    for ours in ("isthmus", "isthmus-fast"):
        for rival, members in RIVALS.items():
            for kind, own in speeds.items():
                against = [own[name] for name in members if name in own]
                if ours in own and against:
                    fastest = [max(each) for each in zip(*against, strict=True)]
                    pairs = zip(own[ours], fastest, strict=True)
                    ratio = statistics.median(mine / theirs for mine, theirs in pairs)
                    ratios.setdefault(f"{ours} / {rival}", {})[kind] = round(ratio, 2)
    return {
        "shape": "x".join(map(str, shape)),
        "data": data,
        "rounds": len(next(iter(speeds["train"].values()), [])),
        "matmul": {
            "way": way,
            "milliseconds": round(1e3 * product[way], 2),
            "gflops": {name: round(flops / took / 1e9) for name, took in product.items()},
        },
        "candidates": candidates,
        "ratios": ratios,
    }


def show(result: dict[str, Any]) -> None:
    """Print what was measured of one shape with one thread count."""
    matmul = result["matmul"]
    print(f"\n{result['shape']}, {result['threads']} threads, {result['rounds']} rounds,", end=" ")
    print(f"{result['clock']} clock,", end=" ")
    print(f"{result['data']}; samples/s. Matrix product: {matmul['milliseconds']} ms,", end=" ")
    print(f"{matmul['gflops'][matmul['way']]} GFLOP/s ({matmul['way']};", end=" ")
    print(f"linear: {matmul['gflops']['linear']})")
    print(f"  {'':20} {'train':>9} {'dead':>9} {'encode':>9}   x matmul   dead costs")
    for name, cells in result["candidates"].items():
        row = [f"{cells[kind]['median']:9,}" if kind in cells else " " * 9 for kind in KINDS]
        costs = f"{cells['dead_costs']:+.0%}" if "dead_costs" in cells else ""
        print(f"  {name:20} {' '.join(row)}   {cells['step_over_matmul']:8}   {costs:>10}")
    for pair, by_kind in result["ratios"].items():
        print(f"  {pair}: " + ", ".join(f"{kind} {ratio} x" for kind, ratio in by_kind.items()))


def child(args: argparse.Namespace) -> None:
    """Measure with one thread count."""
    threads = int(args.threads)
    bind(threads)
    shapes = [tuple(map(int, shape.split("x"))) for shape in args.shapes.split(",")]
    costs = [shape[0] * shape[1] * shape[3] for shape in shapes]
    found = []
    for shape, cost in zip(shapes, costs, strict=True):
        until = time.perf_counter() + 60 * args.minutes * cost / sum(costs)
        names, clock = args.peers.split(","), CLOCKS[args.clock]
        result = turns(shape, names, args.repeats, until, clock)
        found.append(result | {"threads": threads, "clock": args.clock})
        show(found[-1])
    Path(args.child).write_text(json.dumps(found))


def main() -> None:
    from dictionary_peers import PEERS

    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--peers", default=",".join(USUAL), help="of " + ", ".join(PEERS))
    parser.add_argument("--shapes", default=SHAPES, help="D x N x k x batch, with commas")
    parser.add_argument("--repeats", type=int, default=5, help="rounds at most")
    parser.add_argument("--threads", default="1,2", help="thread counts, with commas")
    parser.add_argument("--minutes", type=float, default=8.0, help="for everything, about")
    parser.add_argument("--clock", choices=CLOCKS, default="wall")
    parser.add_argument("--out", default=str(HERE / "results" / "dictionary_speed.json"))
    parser.add_argument("--child", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        child(args)
        return
    whole: dict[str, Any] = {"machine": machine(), "results": []}
    print(json.dumps(whole["machine"]))
    counts = args.threads.split(",")
    for count in counts:
        environment = os.environ | {"OMP_NUM_THREADS": count, "NUMBA_NUM_THREADS": count}
        with tempfile.TemporaryDirectory() as folder:
            own = [f"--threads={count}", f"--minutes={args.minutes / len(counts)}"]
            own += [f"--{name}={getattr(args, name)}" for name in PASSED]
            own += [f"--child={folder}/found.json"]
            subprocess.run([sys.executable, __file__, *own], env=environment, check=True)
            whole["results"] += json.loads(Path(folder, "found.json").read_text())
    whole["machine"]["load_after"] = round(os.getloadavg()[0], 2)
    out = Path(args.out)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(whole, indent=2) + "\n")


if __name__ == "__main__":
    main()
