"""What ``n_jobs`` means."""

from __future__ import annotations

import os

from isthmus.errors import ConfigError

__all__ = ["thread_count"]


def thread_count(jobs: int | None) -> int:
    """Return a number of threads: None is 1, -1 all, -2 all but one.

    Raises
    ------
    ConfigError
        If it is 0.

    Examples
    --------
    >>> thread_count(None), thread_count(3)
    (1, 3)
    """
    if jobs == 0:
        raise ConfigError("n_jobs = 0 has no meaning", fix="give 1 or more, or -1 for all")
    wanted = 1 if jobs is None else jobs
    return wanted if wanted > 0 else max(1, (os.cpu_count() or 1) + 1 + wanted)
