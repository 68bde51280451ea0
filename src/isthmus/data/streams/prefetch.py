"""Items made ahead of time by a thread, a bounded number of them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterator
from queue import SimpleQueue
from typing import TypeVar

__all__ = ["prefetched"]

T = TypeVar("T")
_LONGEST_WAIT = 10.0


class _Ended:
    """What the thread leaves last: the error that ended it, or None."""

    def __init__(self, error: BaseException | None) -> None:
        self.error = error


def prefetched(make: Callable[[], Iterator[T]], depth: int) -> Generator[T, None, None]:
    """Yield what ``make()`` yields, in its order, made up to ``depth`` items ahead.

    The thread starts with the first ``next`` and has ended when this generator ends, is closed
    or is interrupted; an error in it is raised here, after the items made before it.

    Parameters
    ----------
    make
        Gives the iterator to run; called in the thread.
    depth
        Items that may wait; 0: no thread.

    Examples
    --------
    >>> list(prefetched(lambda: iter("abc"), depth=2))
    ['a', 'b', 'c']
    """
    if depth < 1:
        yield from make()
        return
    waiting: SimpleQueue[T | _Ended] = SimpleQueue()
    room, stop = threading.Semaphore(depth), threading.Event()
    thread = threading.Thread(
        target=_run, args=(make, waiting, room, stop), name="isthmus-prefetch", daemon=True
    )
    thread.start()
    try:
        while not isinstance(item := waiting.get(), _Ended):
            room.release()
            yield item
        if item.error is not None:
            raise item.error
    finally:
        stop.set()
        room.release()  # in case it waits for room
        thread.join(_LONGEST_WAIT)  # a read that hangs must not hang Ctrl-C as well


def _run(
    make: Callable[[], Iterator[T]],
    waiting: SimpleQueue[T | _Ended],
    room: threading.Semaphore,
    stop: threading.Event,
) -> None:
    """Make items while there is room, until the end, an error or ``stop``."""
    error = None
    try:
        items = make()
        try:
            while room.acquire() and not stop.is_set():
                try:
                    waiting.put(next(items))
                except StopIteration:
                    break
        finally:
            if isinstance(items, Generator):
                items.close()
    except BaseException as problem:  # whatever it is, it belongs to the consumer
        error = problem
    waiting.put(_Ended(error))
