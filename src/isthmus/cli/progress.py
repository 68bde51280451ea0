"""A training's progress on standard error: a bar on a terminal, else a line an epoch."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

from isthmus.cli.screen import Screen

if TYPE_CHECKING:
    from isthmus.data.fetching import Progress as Fetching
    from isthmus.training import Progress, Watch

__all__ = ["fetching", "watching"]


@contextlib.contextmanager
def watching(screen: Screen, title: str = "", *, few: bool = False) -> Iterator[Watch | None]:
    """Yield a watcher for a training, or None where nobody wants to know.

    Parameters
    ----------
    title
        What is trained, to stand before each line; empty where there is only one.
    few
        Whether the last epoch's line is enough where there is no terminal.
    """
    if screen.quiet:
        yield None
    elif screen.err.is_terminal and not screen.err.is_dumb_terminal:
        with _bar(screen, title) as watch:
            yield watch
    else:
        yield _lines(title, few)


def _lines(title: str, few: bool) -> Watch:
    def watch(progress: Progress) -> None:
        if progress.row is not None and (not few or progress.epoch == progress.epochs):
            words = [title, _epoch(progress), _losses(progress.row), _pace(progress)]
            sys.stderr.write("  ".join(word for word in words if word) + "\n")
            sys.stderr.flush()

    return watch


@contextlib.contextmanager
def _bar(screen: Screen, title: str) -> Iterator[Watch]:
    from rich.progress import BarColumn, TextColumn
    from rich.progress import Progress as Bars

    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=None),
        TextColumn("{task.fields[losses]}"),
        TextColumn("{task.fields[pace]}"),
    )
    with Bars(*columns, console=screen.err, transient=True, expand=True) as bars:
        task = bars.add_task(title or "starting", total=None, losses="", pace="")

        def watch(progress: Progress) -> None:
            bars.update(
                task,
                description=f"{title}  {_epoch(progress)}".strip(),
                completed=progress.samples,
                total=progress.total,
                pace=_pace(progress),
            )
            if progress.row is not None:
                bars.update(task, losses=_losses(progress.row))

        yield watch


def _epoch(progress: Progress) -> str:
    return f"epoch {progress.epoch}/{progress.epochs}"


def _losses(row: object) -> str:
    values = dict(row) if isinstance(row, dict) else {}
    if "train_fvu" in values:
        return _of_dictionary(values)
    parts = [f"loss {values['train_loss']:.4g}"] if "train_loss" in values else []
    if "validation_loss" in values:
        parts.append(f"validation {values['validation_loss']:.4g}")
    return "  ".join(parts)


def _of_dictionary(values: dict[str, float]) -> str:
    parts = [f"FVU {values['train_fvu']:.4g}"]
    if "validation_fvu" in values:
        parts.append(f"held out {values['validation_fvu']:.4g}")
    return "  ".join([*parts, f"L0 {values['train_l0']:.4g}", f"{values['dead']:.0f} dead"])


def _pace(progress: Progress) -> str:
    left = int(progress.seconds_left + 0.5)
    minutes, seconds = divmod(left, 60)
    time = f"{minutes} min {seconds:02d} s left" if minutes else f"{seconds} s left"
    return f"{progress.samples_per_second:,.0f} samples/s  {time}"


@contextlib.contextmanager
def fetching(screen: Screen) -> Iterator[Fetching | None]:
    """Yield a function that is told of bytes as they arrive: (file, here, in all or None)."""
    if screen.quiet:
        yield None
        return
    if not screen.err.is_terminal:
        done: set[str] = set()

        def tell(name: str, here: int, total: int | None) -> None:
            if total is not None and here >= total and name not in done:
                done.add(name)
                screen.say(f"fetched {name}  {here / 1e6:.1f} MB")

        yield tell
        return
    from rich.progress import BarColumn, DownloadColumn, TaskID, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
    with Bars(*columns, TimeRemainingColumn(), console=screen.err, transient=True) as bars:
        tasks: dict[str, TaskID] = {}

        def show(name: str, here: int, total: int | None) -> None:
            if name not in tasks:
                tasks[name] = bars.add_task(name, total=total)
            bars.update(tasks[name], completed=here, total=total)

        yield show
