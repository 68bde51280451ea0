"""Progress of work in stages on standard error: a bar on a terminal, else a line a stage."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType

from isthmus.cli.screen import Screen

__all__ = ["Stages", "counting", "staging"]

_EVERY = 10.0
"""Seconds between two lines about one stage, where there is no terminal."""
_UNITS: Mapping[str, str] = MappingProxyType(
    {
        "reading": "documents",
        "cutting": "documents",
        "embedding": "passages",
        "counting words": "passages",
        "training": "epochs",
        "stability": "epochs",
        "fitting": "queries",
        "searching": "queries",
        "asking": "concepts",
    }
)
_RATED = frozenset({"embedding", "fitting", "searching", "cutting"})
Tell = Callable[[str, int, int], None]


class Stages:
    """Is told what is being done, and shows how far it is and how fast.

    Parameters
    ----------
    show
        Shows a stage that is under way: its line, what is done, in all (0: not known).
    over
        Shows the line of a stage that has ended; None: nobody wants to know.
    """

    def __init__(
        self, show: Callable[[str, int, int], None], over: Callable[[str], None] | None = None
    ) -> None:
        self._show, self._over = show, over
        self._what, self._began, self._first = "", 0.0, 0
        self._done, self._total = 0, 0

    def __call__(self, what: str, done: int, total: int) -> None:
        """Take note of a stage's progress."""
        if what != self._what:
            self.close()
            self._what, self._began, self._first = what, time.monotonic(), done
        self._done, self._total = done, total
        self._show(self._line(), done, total)

    def close(self) -> None:
        """End the stage that is under way."""
        if self._what and self._over is not None:
            # a stage is told of its batches as they begin: at its end all of them are done
            self._done = max(self._done, self._total)
            taken = f"{time.monotonic() - self._began:.1f} s"
            self._over("  ".join([self._line(), taken]))
        self._what = ""

    def _line(self) -> str:
        what, done, total = self._what, self._done, self._total
        if not done and not total:
            return what
        unit = _UNITS.get(what, "")
        counted = f"{done:,}/{total:,}" if total else f"{done:,}"
        parts = [what, f"{counted} {unit}".strip()]
        seconds = time.monotonic() - self._began
        # what was there when the stage began, such as kept vectors, tells nothing of the pace
        rate = (done - self._first) / seconds if seconds > 0.2 else 0.0
        if what in _RATED and rate > 0:
            parts.append(f"{rate:,.0f}/s" if rate >= 10 else f"{rate:.2g}/s")
            if total > done:
                parts.append(f"{_time(int((total - done) / rate + 0.5))} left")
        return "  ".join(parts)


def _time(seconds: int) -> str:
    minutes, seconds = divmod(seconds, 60)
    return f"{minutes} min {seconds:02d} s" if minutes else f"{seconds} s"


@contextlib.contextmanager
def staging(screen: Screen) -> Iterator[Tell]:
    """Yield what is to be told of the progress of stages."""
    if screen.quiet:
        yield lambda what, done, total: None
    elif screen.err.is_terminal and not screen.err.is_dumb_terminal:
        with _bar(screen) as tell:
            yield tell
    else:
        with _lines(screen) as tell:
            yield tell


@contextlib.contextmanager
def _lines(screen: Screen) -> Iterator[Tell]:
    """Say a line when a stage is over, and now and then in between."""
    said = time.monotonic()

    def show(line: str, done: int, total: int) -> None:
        nonlocal said
        if time.monotonic() - said > _EVERY:
            over(line)

    def over(line: str) -> None:
        nonlocal said
        screen.say(line)
        said = time.monotonic()

    stages = Stages(show, over)
    yield stages
    stages.close()


@contextlib.contextmanager
def _bar(screen: Screen) -> Iterator[Tell]:
    from rich.progress import BarColumn, TextColumn
    from rich.progress import Progress as Bars

    columns = (TextColumn("{task.description}"), BarColumn(bar_width=None))
    with Bars(*columns, console=screen.err, transient=True, expand=True) as bars:
        task = bars.add_task("starting", total=None)

        def show(line: str, done: int, total: int) -> None:
            bars.update(task, description=line, completed=done, total=total or None)

        yield Stages(show)


def counting(tell: Tell, what: str) -> Callable[[int, int], None]:
    """Return a function of (done, total) for one stage."""
    return lambda done, total: tell(what, done, total)
