"""Ctrl-C as a flag that is read between two steps."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

__all__ = ["Stopped", "stop_flag"]


class Stopped(KeyboardInterrupt):
    """Training was interrupted; what had been reached is in the checkpoint."""

    def __init__(self, epoch: int, folder: Path | None) -> None:
        self.epoch, self.folder = epoch, folder
        super().__init__(f"stopped in epoch {epoch}")


@contextlib.contextmanager
def stop_flag() -> Iterator[threading.Event]:
    """Turn Ctrl-C into a flag read between two steps; a second Ctrl-C stops at once."""
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def ask(number: int, frame: object) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    before = signal.signal(signal.SIGINT, ask)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, before)
