"""What a training step costs as dictionaries and data grow: time, and memory beside its bound.

    python benchmarks/dictionary_scale.py                              # some ten minutes
    python benchmarks/dictionary_scale.py --latents 3072 --rows "" --explain
    python benchmarks/dictionary_scale.py --table                      # print from the results

Two sweeps, each measurement in a process of its own, through ``fit_dictionary`` with its defaults:
TopK dictionaries of 1,536 to 24,576 latents (d = 384, k = 32, batch 4096) on rows in memory, and
100,000 to 10 million rows (64 wide, n = 1024) streamed from a float16 ``.npy`` that is written to a
temporary folder (1.3 GB for the largest). Steps are taken for ``--seconds``; the seconds of a whole
pass are the rows over the speed, not a run to the end.

Memory is what the training adds to the process (``VmHWM`` less ``VmRSS`` before, Linux only) once
everything is imported and compiled and the rows stand in memory; the mark is set back after the
first steps, so that "start" holds the initialisation and "steps" what the training itself holds.
Bound: parameters, Adam's two moments and one batch of codes (k x B numbers and values). Beside the
ratio stand the batches of rows in flight (the one in work, those made ahead) and the shuffle
buffer, which are data; with the noise on the rows and the batch's residual they are what small
dictionaries spend most of their memory on. ``--explain`` lists what NumPy holds between two steps.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results" / "dictionary_scale.json"
MEGA = 1e6
Row = dict[str, Any]


class Enough(Exception):
    """Enough steps were taken: no error, but the only way out of a training."""


# --- memory -----------------------------------------------------------------------------------


def memory(name: str) -> float:
    """Return a line of /proc/self/status in MB: VmRSS or VmHWM; NaN where there is none."""
    path = Path("/proc/self/status")
    lines = path.read_text().splitlines() if path.exists() else []
    found = next((line for line in lines if line.startswith(f"{name}:")), None)
    return float(found.split()[1]) * 1024 / MEGA if found else float("nan")


def set_back() -> None:
    """Set the high-water mark back to what is held now."""
    clear = Path("/proc/self/clear_refs")
    if clear.exists():
        clear.write_text("5")


def trim() -> None:
    """Give freed memory back to the system, so that none is used again unseen; glibc only."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def bound(latents: int, dim: int, k: int, batch: int) -> Row:
    """Return what a training can't do without, in MB."""
    parameters = 4 * (2 * latents * dim + latents + dim)
    parts = {"parameters": parameters, "optimiser": 2 * parameters, "codes": 8 * k * batch}
    return {name: size / MEGA for name, size in parts.items()}


# --- one measurement ----------------------------------------------------------------------------


class Clock:
    """Watches a training: steps between the second call and the last, and their memory."""

    def __init__(self, seconds: float, base: float, explain: bool) -> None:
        self.seconds, self.base, self.explain = seconds, base, explain
        self.start = float("nan")
        self.began: tuple[float, int] | None = None
        self.held: list[str] = []
        self.speed = 0.0

    def __call__(self, progress: Any) -> None:
        """Take note; called between steps, at most four times a second."""
        now = time.perf_counter()
        if self.began is None:
            self.start = memory("VmHWM") - self.base
            trim()
            set_back()
            self.began = now, progress.samples
            return
        self.speed = (progress.samples - self.began[1]) / (now - self.began[0])
        if now - self.began[0] >= self.seconds:
            if self.explain:
                self.held = listed()
            raise Enough


def listed(most: int = 15) -> list[str]:
    """Return what NumPy and Python hold, by the line that made it; torch's tensors are not seen."""
    import tracemalloc

    package = HERE.parent / "src"
    lines = []
    for found in tracemalloc.take_snapshot().statistics("lineno")[:most]:
        frame = found.traceback[0]
        name = frame.filename.replace(f"{package}/", "")
        lines.append(f"{found.size / MEGA:8.2f} MB  {name}:{frame.lineno}")
    return lines


def fitted(source: Any, job: Row, seconds: float, base: float, explain: bool = False) -> Clock:
    """Train for some seconds."""
    from isthmus.bottlenecks import TopK
    from isthmus.data.streams import VectorStream, open_vectors
    from isthmus.models.dictionary import SparseDictionary
    from isthmus.training.dictionary import DictionaryTraining, fit_dictionary

    stream = VectorStream(open_vectors(source), job["batch"], seed=0)
    clock = Clock(seconds, base, explain)
    model = SparseDictionary(stream.dim, TopK(job["latents"], k=job["k"]))
    config = DictionaryTraining(
        epochs=1_000_000, threads=job["threads"], device="cpu", precision=job["precision"], lr=1e-3
    )
    try:
        fit_dictionary(model, stream, config, watch=clock)
    except Enough:
        return clock
    raise SystemExit("The training ended before its time.")


def child(job: Row) -> Row:
    """Measure one training in this process."""
    import torch

    torch.set_num_threads(job["threads"])
    rng = np.random.default_rng(0)
    small = rng.standard_normal((4096, job["dim"]), dtype=np.float32)
    compiled = job | {"latents": 256, "batch": 512, "k": min(job["k"], 32)}
    fitted(small, compiled, 0.5, memory("VmRSS"))
    source: Any = job["file"] or unit(rng, 8 * job["batch"], job["dim"])
    if job["explain"]:
        import tracemalloc

        tracemalloc.start()
    trim()
    base = memory("VmRSS")
    set_back()
    clock = fitted(source, job, job["seconds"], base, job["explain"])
    needed = bound(job["latents"], job["dim"], job["k"], job["batch"])
    steps = memory("VmHWM") - base
    return job | {
        "samples_per_second": round(clock.speed),
        "start_mb": round(clock.start, 1),
        "steps_mb": round(steps, 1),
        "base_mb": round(base, 1),
        "bound_mb": {name: round(size, 2) for name, size in needed.items()},
        "ratio": round(steps / sum(needed.values()), 2),
        "ratio_start": round(max(steps, clock.start) / sum(needed.values()), 2),
        "batches_mb": round(4 * 4 * job["batch"] * job["dim"] / MEGA, 1),
        "held": clock.held,
    }


def unit(rng: np.random.Generator, rows: int, dim: int) -> np.ndarray:
    """Return random unit vectors."""
    found = rng.standard_normal((rows, dim), dtype=np.float32)
    return found / np.linalg.norm(found, axis=1, keepdims=True)


# --- the sweeps -------------------------------------------------------------------------------


def write(path: Path, rows: int, dim: int) -> None:
    """Write random unit vectors as float16, some of them again and again."""
    pool = unit(np.random.default_rng(0), 65_536, dim).astype(np.float16)
    with path.open("wb") as out:
        head = {"descr": "<f2", "fortran_order": False, "shape": (rows, dim)}
        np.lib.format.write_array_header_1_0(out, head)
        for start in range(0, rows, len(pool)):
            part = np.roll(pool, start // len(pool), axis=1)
            out.write(part[: rows - start].tobytes())


def measured(job: Row) -> Row:
    """Measure in a process of its own."""
    environment = os.environ | {"OMP_NUM_THREADS": str(job["threads"])}
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "found.json")
        own = [sys.executable, __file__, f"--child={json.dumps(job)}", f"--out={out}"]
        subprocess.run(own, env=environment, check=True)
        found: Row = json.loads(out.read_text())
    return found


def jobs(args: argparse.Namespace, folder: Path) -> list[Row]:
    """Return everything that is to be measured; files are written when their turn comes."""
    shared = {"k": args.k, "batch": args.batch, "threads": args.threads, "explain": args.explain}
    shared |= {"seconds": args.seconds}
    whole = []
    for precision in args.precision.split(","):
        for latents in numbers(args.latents):
            sizes = {"sweep": "latents", "dim": args.dim, "latents": latents}
            whole.append(shared | sizes | {"rows": 8 * args.batch, "file": ""})
            whole[-1]["precision"] = precision
    for rows in numbers(args.rows):
        sizes = {"sweep": "rows", "dim": args.narrow, "latents": args.few, "rows": rows}
        file = str(folder / f"{rows}.npy")
        whole.append(shared | sizes | {"precision": "float32", "file": file})
    return whole


def numbers(given: str) -> list[int]:
    return [int(number) for number in given.split(",") if number]


# --- the tables -------------------------------------------------------------------------------


def tables(rows: list[Row]) -> str:
    """Return both tables in Markdown."""
    parts = []
    latents = [row for row in rows if row["sweep"] == "latents"]
    if latents:
        parts += [
            "| n | precision | samples/s | µs a sample and 1,000 latents | bound MB | steps MB |"
            " ratio | less the batches | start MB |",
            "|---|---|---|---|---|---|---|---|---|",
        ]
    for row in latents:
        needed = sum(row["bound_mb"].values())
        cells = [
            f"{row['latents']:,}",
            row["precision"],
            f"{row['samples_per_second']:,}",
            f"{1e9 / max(row['samples_per_second'], 1) / row['latents']:.1f}",
            f"{needed:.0f}",
            f"{row['steps_mb']:.0f}",
            f"{row['ratio']:.2f}",
            f"{(row['steps_mb'] - row['batches_mb']) / needed:.2f}",
            f"{row['start_mb']:.0f}",
        ]
        parts.append("| " + " | ".join(cells) + " |")
    rest = [row for row in rows if row["sweep"] == "rows"]
    if rest:
        parts += [
            "",
            "| rows | file MB | samples/s | s a pass (rows / speed) | steps MB | start MB |",
            "|---|---|---|---|---|---|",
        ]
    for row in rest:
        cells = [
            f"{row['rows']:,}",
            f"{2 * row['rows'] * row['dim'] / MEGA:,.0f}",
            f"{row['samples_per_second']:,}",
            f"{row['rows'] / max(row['samples_per_second'], 1):.1f}",
            f"{row['steps_mb']:.0f}",
            f"{row['start_mb']:.0f}",
        ]
        parts.append("| " + " | ".join(cells) + " |")
    for row in rows:
        if row["held"]:
            parts += ["", f"n = {row['latents']:,}, {row['rows']:,} rows, between two steps:"]
            parts += [f"    {line}" for line in row["held"]]
    return "\n".join(parts)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--latents", default="1536,3072,6144,12288,24576", help="empty: none")
    parser.add_argument("--rows", default="100000,1000000,10000000", help="empty: none")
    parser.add_argument("--dim", type=int, default=384, help="width in the sweep over latents")
    parser.add_argument("--narrow", type=int, default=64, help="width in the sweep over rows")
    parser.add_argument("--few", type=int, default=1024, help="latents in the sweep over rows")
    parser.add_argument("--k", type=int, default=32)
    parser.add_argument("--batch", type=int, default=4096)
    parser.add_argument("--precision", default="float32", help="float32, fast, with commas")
    parser.add_argument("--seconds", type=float, default=15.0, help="of steps a measurement")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--explain", action="store_true", help="list what is held; slower")
    parser.add_argument("--temporary", help="folder for the files of rows")
    parser.add_argument("--out", default=str(RESULTS))
    parser.add_argument("--table", action="store_true", help="only print the tables")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    args = parser.parse_args()
    out = Path(args.out)
    if args.child:
        out.write_text(json.dumps(child(json.loads(args.child))))
        return
    if not args.table:
        found = []
        with tempfile.TemporaryDirectory(dir=args.temporary) as folder:
            for job in jobs(args, Path(folder)):
                if job["file"]:
                    write(Path(job["file"]), job["rows"], job["dim"])
                found.append(measured(job) | {"file": ""})
                if job["file"]:
                    Path(job["file"]).unlink()
                print(json.dumps(found[-1]), flush=True)
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps(found, indent=2) + "\n")
    print(tables(json.loads(out.read_text())))


if __name__ == "__main__":
    main()
