"""The commands: thin, no logic of their own; each is imported when it is asked for."""

from __future__ import annotations

__all__ = ["main"]


def main() -> None:
    """Run the command line and leave with its exit code."""
    import sys

    from isthmus.cli.program import run

    sys.exit(run(sys.argv[1:]))
