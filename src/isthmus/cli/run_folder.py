"""The folder that a training writes into: chosen, and refused where it is taken."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from isthmus.errors import ConfigError, RunError

__all__ = ["run_folder"]


def run_folder(
    data: str | None, model: str, out: Path | None, *, resume: bool, unclaimed: bool
) -> Path:
    """Return where the run goes, refusing a folder that is taken before anything is loaded."""
    if resume and out is None:
        raise ConfigError("--resume needs to know the run", fix="add --out RUN")
    if out is None and data is None:
        raise ConfigError(
            "there is nothing to train on",
            fix="give a named set or a path: isthmus train digits --model dense",
        )
    if out is not None:
        folder = out
    else:
        stem = re.sub(r"[^A-Za-z0-9._-]+", "-", Path(data or "").stem).strip("-.") or "data"
        folder = Path("runs") / f"{stem}-{model}"
    if unclaimed:
        return folder
    if folder.exists() and not folder.is_dir():
        raise RunError("there is a file where the run should go", where=str(folder))
    if folder.is_dir() and any(folder.iterdir()):
        holds = any((folder / name).exists() for name in ("config.json", "members.json"))
        other = next(
            name
            for number in range(2, 10**6)
            if not (name := folder.with_name(f"{folder.name}-{number}")).exists()
        )
        raise RunError(
            f"the output folder {'holds a run already' if holds else 'is not empty'}; "
            "nothing in it was changed",
            where=str(folder),
            fix=f"give another, such as --out {other}"
            + (
                f"; or go on with it: isthmus train --resume --out {shlex.quote(str(folder))}"
                if holds
                else ""
            ),
        )
    return folder
