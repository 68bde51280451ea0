"""The commands: thin, no logic of their own; each is imported when it is asked for."""

from __future__ import annotations

__all__ = ["main"]


def main() -> None:
    """Run the command line and leave with its exit code."""
    import os
    import sys

    # threads that spin while they wait take the core that another process needs, and then every
    # step waits for one of them; read when torch is loaded (benchmarks/busy_neighbour.py)
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

    from isthmus.cli.program import run

    sys.exit(run(sys.argv[1:]))
