"""A few threads that share the work of one step."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

__all__ = ["Team", "one_torch_thread"]

Task = TypeVar("Task")
Result = TypeVar("Result")


class Team:
    """Threads for work that releases the interpreter's lock: compiled loops and BLAS.

    BLAS itself is held to one thread inside :meth:`at_work`, for the team splits the work: two
    layers of threads would fight for the same cores.

    Examples
    --------
    >>> with Team(2) as team:
    ...     team.map(abs, [-1, 2, -3])
    [1, 2, 3]
    """

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self._pool = ThreadPoolExecutor(threads, "isthmus") if threads > 1 else None
        self._depth = 0

    def map(self, work: Callable[[Task], Result], tasks: Iterable[Task]) -> list[Result]:
        """Do every task, in any order; results stand in the order of the tasks."""
        if self._pool is None:
            return [work(task) for task in tasks]
        return list(self._pool.map(work, tasks))

    @contextlib.contextmanager
    def at_work(self) -> Iterator[None]:
        """Hold BLAS to one thread; free when nested."""
        from threadpoolctl import threadpool_limits

        self._depth += 1
        try:
            with threadpool_limits(1, "blas") if self._depth == 1 else contextlib.nullcontext():
                yield
        finally:
            self._depth -= 1

    def close(self) -> None:
        """End the threads."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def __enter__(self) -> Team:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@contextlib.contextmanager
def one_torch_thread() -> Iterator[None]:
    """Hold torch to one thread a caller: the team splits the work."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
