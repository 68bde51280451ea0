"""What a busy neighbour costs a training on all cores, by how OpenMP's threads wait.

    python benchmarks/busy_neighbour.py

Trains `aligned` on `digits-words` with two threads, alone and beside a process that keeps one core
busy, with OpenMP's waiting threads spinning (its default) and asleep (``OMP_WAIT_POLICY=passive``,
what the command line sets). Each in a process of its own; a training ends after ``--seconds``.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys

CHILD = """
import sys
from isthmus.runs.multimodal import train_multimodal
run = train_multimodal("aligned", "digits-words", epochs=50, minutes=float(sys.argv[1]) / 60,
                       threads=int(sys.argv[2]), measure=False)
print(run.trained.samples_per_second)
"""


def speed(policy: str, threads: int, seconds: float) -> float:
    """Return the samples a second of a training in a process of its own."""
    own = os.environ | {"OMP_WAIT_POLICY": policy}
    words = [sys.executable, "-c", CHILD, str(seconds), str(threads)]
    done = subprocess.run(words, env=own, capture_output=True, text=True, check=True)
    return float(done.stdout)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=15.0, help="of each training")
    given = parser.parse_args()
    print(f"{os.cpu_count()} cores; samples/s of training, alone and beside one busy process\n")
    print("| threads, waiting | alone | beside | slower |\n|---|---|---|---|")
    for threads, policy in ((1, "passive"), (2, "passive"), (2, "active")):
        alone = speed(policy, threads, given.seconds)
        neighbour = subprocess.Popen([sys.executable, "-c", "while True: pass"])
        try:
            beside = speed(policy, threads, given.seconds)
        finally:
            neighbour.kill()
            neighbour.wait()
        row = f"{threads}, {policy} | {alone:,.0f} | {beside:,.0f} | {alone / beside:.1f} x"
        print(f"| {row} |", flush=True)


if __name__ == "__main__":
    main()
