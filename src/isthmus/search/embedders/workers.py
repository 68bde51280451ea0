"""Several processes that embed: plain programs at the other end of a pipe, no pickle."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import subprocess
import sys
import weakref
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import asdict
from pathlib import Path

import numpy as np

from isthmus.errors import RunError
from isthmus.search.embedders.base import EmbedderOptions, Floats, Progress
from isthmus.search.embedders.frames import FAILED, receive, send

__all__ = ["Workers"]

_PIECE = 256
_Process = subprocess.Popen[bytes]


class Workers:
    """Processes that hold the same model and share the texts.

    They are started afresh (not forked), take no notice of Ctrl-C, and end with `close`, with
    this object, or when this process ends in whatever way: their input ends then.

    Parameters
    ----------
    folder
        The model's folder.
    options
        Each worker's options.
    count
        How many.
    """

    program = "isthmus.search.embedders.worker"
    """The module that each of them runs."""

    def __init__(self, folder: Path, options: EmbedderOptions, count: int) -> None:
        self._processes = [_started(self.program, options) for _ in range(count)]
        self._end = weakref.finalize(self, _stop, self._processes)
        self._idle: queue.SimpleQueue[_Process] = queue.SimpleQueue()
        settings = {"folder": str(folder), "options": asdict(options)}
        for process in self._processes:
            with contextlib.suppress(OSError):  # one that has ended is noticed when it is asked
                send(process.stdin, json.dumps(settings).encode())
            self._idle.put(process)

    def embed(self, texts: list[str], dim: int, progress: Progress | None) -> Floats:
        """Return the vectors (n, D) as the model gives them.

        Raises
        ------
        RunError
            If a worker fails or ends.
        """
        order = np.argsort([-len(text) for text in texts], kind="stable")
        # the longest first, so that the workers end at about the same time
        size = min(_PIECE, -(-len(texts) // (2 * len(self._processes))))
        pieces = [order[i : i + size] for i in range(0, len(texts), size)]
        found = np.empty((len(texts), dim), dtype=np.float32)
        done = 0
        pool = ThreadPoolExecutor(len(self._processes))
        try:
            asked: dict[Future[Floats], int] = {
                pool.submit(self._ask, [texts[row] for row in rows], dim): i
                for i, rows in enumerate(pieces)
            }
            for answer in as_completed(asked):
                rows = pieces[asked[answer]]
                found[rows] = answer.result()
                done += len(rows)
                if progress is not None:
                    progress(done, len(texts))
        except BaseException:
            self.close()  # threads that wait for an answer see its end
            raise
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
        return found

    def _ask(self, texts: list[str], dim: int) -> Floats:
        process = self._idle.get()
        try:
            send(process.stdin, json.dumps(texts).encode())
            kind, answer = receive(process.stdout)
        except (OSError, EOFError, ValueError) as error:
            raise RunError(
                "a worker process ended before its time",
                where=f"process {process.pid}",
                why=f"exit status {process.poll()}; killed for want of memory, perhaps",
                fix="use fewer processes",
            ) from error
        finally:
            self._idle.put(process)
        if kind == FAILED:
            raise RunError("a worker process failed", why=answer.decode("utf-8", "replace"))
        return np.frombuffer(answer, dtype=np.float32).reshape(len(texts), dim)

    def close(self) -> None:
        """End the processes."""
        self._end()


def _started(program: str, options: EmbedderOptions) -> _Process:
    threads = str(options.threads or 1)
    settings = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        "HF_HUB_OFFLINE": "1",
        **{f"{library}_NUM_THREADS": threads for library in ("OMP", "MKL", "RAYON")},
    }
    return subprocess.Popen(
        [sys.executable, "-P", "-m", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=settings,
    )


def _stop(processes: list[_Process]) -> None:
    for process in processes:
        process.kill()  # it holds nothing that could be lost
    for process in processes:
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError, ValueError):
                    pipe.close()
