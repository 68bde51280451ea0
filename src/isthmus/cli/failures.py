"""What becomes of an error: words on standard error, an object under `--json`, an exit code."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Mapping

from isthmus.cli.screen import Screen
from isthmus.errors import ConfigError, IsthmusError

__all__ = ["Interrupted", "report"]

_OPTIONS: Mapping[str, str] = {
    "drop_bad_rows=True": "--drop-bad-rows",
    "drop_bad=True": "--drop-bad-rows",
    "choose patterns=... or encoding=...": "give --patterns or --encoding",
    "choose its encoding=...": "give its --encoding",
    "foreign.read(path, allow_pt=True)": "--allow-pt",
    "let it be done with resize=True": "add --resize",
    ", or have others replaced: replace_with=' '": "",
    ", or raise the limit with AudioLimits(seconds=...)": "",
}
FAILED, WRONG_USE, INTERRUPTED = 1, 2, 130


class Interrupted(KeyboardInterrupt):
    """Ctrl-C, with what was kept and how to go on."""

    def __init__(self, what: str, fix: str = "") -> None:
        self.what, self.fix = what, fix
        super().__init__(what)


def report(error: BaseException, *, as_json: bool, debug: bool) -> int:
    """Tell of an error and return the exit code.

    Parameters
    ----------
    error
        What was raised.
    as_json
        Whether standard output gets the error too, as ``{"error": {"what", "where", "why",
        "fix"}}``.
    debug
        Whether the traceback is shown.
    """
    said, code = _in_words(error)
    screen = Screen(as_json=as_json)
    if debug:
        sys.stderr.write("".join(traceback.format_exception(error)))
    screen.failed(said, "Interrupted" if code == INTERRUPTED else "Error")
    if as_json:
        screen.json({"error": said})
    return code


def _in_words(error: BaseException) -> tuple[dict[str, str], int]:
    """Return the error's four parts and its exit code."""
    if isinstance(error, KeyboardInterrupt):
        what = getattr(error, "what", "") or "stopped by Ctrl-C; nothing is left half written"
        return _parts(what, fix=getattr(error, "fix", "")), INTERRUPTED
    if isinstance(error, IsthmusError):
        code = WRONG_USE if isinstance(error, ConfigError) else FAILED
        return _parts(error.what, error.where, error.why, _as_options(error.fix)), code
    # typer brings its own click or stands on the package, by version: told by what they have
    message = getattr(error, "format_message", None)
    if callable(message):
        return _parts(str(message()), fix=_help_hint(error)), WRONG_USE
    if isinstance(error, OSError):
        where = str(error.filename) if error.filename is not None else ""
        return _parts(error.strerror or str(error) or type(error).__name__, where), FAILED
    if type(error).__name__ == "SafetensorError" and "I/O error" in str(error):
        # safetensors writes by itself, and tells of a full disk with an error of its own
        return _parts(
            "the weights could not be written; what was there before is unchanged",
            why=str(error).rsplit("I/O error: ", 1)[-1],
            fix="make room on the disk, or choose another folder with --out",
        ), FAILED
    if isinstance(error, MemoryError):
        return _parts(
            "there is not enough memory",
            fix="give a smaller --batch-size, or data that are memory-mapped (.npy)",
        ), FAILED
    line = str(error).strip().splitlines()
    return _parts(
        "internal error, which should not happen",
        why=f"{type(error).__name__}: {line[0] if line else ''}".rstrip(": "),
        fix="run the same command with --debug, and report what it prints",
    ), FAILED


def _as_options(fix: str) -> str:
    """Write arguments of Python as the options that they are on the command line."""
    for argument, option in _OPTIONS.items():
        fix = fix.replace(argument, option)
    return fix


def _parts(what: str, where: str = "", why: str = "", fix: str = "") -> dict[str, str]:
    found: Mapping[str, str] = {"what": what, "where": where, "why": why, "fix": fix}
    return dict(found)


def _help_hint(error: BaseException) -> str:
    context = getattr(error, "ctx", None)
    path = getattr(context, "command_path", "isthmus") or "isthmus"
    return f"see: {path} --help"
