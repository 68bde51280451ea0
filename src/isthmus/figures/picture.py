"""A figure together with the numbers that it shows."""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from isthmus.errors import ConfigError, RunError
from isthmus.figures.style import style
from isthmus.figures.table import Table
from isthmus.files import written_whole

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Picture"]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


@dataclass(frozen=True)
class Picture:
    """A drawn figure, the table behind it, and what it shows in words."""

    figure: Figure
    """The figure, made with Matplotlib's object interface on an Agg canvas."""
    table: Table
    """The numbers that were drawn."""
    alt: str
    """What the picture shows, for those who can't see it."""

    def png(self) -> bytes:
        """Give the figure as the bytes of a PNG (150 dpi)."""
        out = io.BytesIO()
        with style():
            self.figure.savefig(out, format="png", dpi=150, metadata={"Description": self.alt})
        return out.getvalue()

    def save(self, folder: Path | str, name: str) -> tuple[Path, Path]:
        """Write ``name.png`` and ``name.csv`` into ``folder``, each whole or not at all.

        The folder is made where it is missing.

        Parameters
        ----------
        folder
            Where to.
        name
            Letters, digits, ``.``, ``_`` and ``-``, without an ending.

        Returns
        -------
        tuple of Path
            The PNG and the CSV.

        Raises
        ------
        ConfigError
            If the name could lead out of the folder.
        RunError
            If a file can't be written.
        """
        if not _NAME.fullmatch(name):
            raise ConfigError(
                "this can't name a picture",
                where=repr(name),
                fix="use letters, digits, '.', '_' and '-', starting with a letter or digit",
            )
        folder = Path(folder)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RunError(
                "the folder for pictures can't be made", where=str(folder), why=str(error)
            ) from error
        target = folder / f"{name}.png"
        with written_whole(target) as temporary:
            temporary.write_bytes(self.png())
        return target, self.table.to_csv(folder / f"{name}.csv")

    def _repr_png_(self) -> bytes:
        """Show the picture in a notebook."""
        return self.png()
