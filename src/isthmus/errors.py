"""Errors that a user can act on: what, where, why, and what to do."""

from __future__ import annotations

__all__ = [
    "ConfigError",
    "DataError",
    "DivergedError",
    "IsthmusError",
    "MissingDataError",
    "RemoteError",
    "RunError",
    "in_a_line",
]


class IsthmusError(Exception):
    """Base of every error that Isthmus raises on purpose.

    Parameters
    ----------
    what
        What went wrong, as one sentence without a full stop.
    where
        The file, row, column, byte or setting concerned.
    why
        The reason, where it is not plain from ``what``.
    fix
        What the user can do about it.

    Examples
    --------
    >>> print(DataError("the file ends early", where="a.npy, byte 96", fix="copy it again"))
    the file ends early
      where: a.npy, byte 96
      to do: copy it again
    """

    def __init__(self, what: str, *, where: str = "", why: str = "", fix: str = "") -> None:
        self.what, self.where, self.why, self.fix = what, where, why, fix
        lines = [what]
        lines += [f"  where: {where}"] if where else []
        lines += [f"  why:   {why}"] if why else []
        lines += [f"  to do: {fix}"] if fix else []
        super().__init__("\n".join(lines))


class ConfigError(IsthmusError, ValueError):
    """A setting, or a combination of settings, that can't work."""


class DataError(IsthmusError, ValueError):
    """A file or an array that is broken, hostile or of the wrong kind."""


class MissingDataError(IsthmusError, FileNotFoundError):
    """A data set or file that could not be found."""


class RunError(IsthmusError, OSError):
    """A run folder that is damaged, taken, or of a newer format."""


class RemoteError(IsthmusError, OSError):
    """A service elsewhere that is away, too slow, or answers what it should not."""


class DivergedError(IsthmusError, ArithmeticError):
    """Training whose loss became infinite or not a number."""


def in_a_line(error: BaseException) -> str:
    r"""Return the first line of what an error says, or its kind where it says nothing.

    Examples
    --------
    >>> in_a_line(ValueError("too long\nby far")), in_a_line(IndexError())
    ('too long', 'IndexError')
    """
    return next(iter(str(error).splitlines()), "") or type(error).__name__
