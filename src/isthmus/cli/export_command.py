"""`isthmus export`: a dictionary for another library to load."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from isthmus.cli.options import ChosenK, Debug, Json, Quiet, help_text
from isthmus.cli.screen import Screen
from isthmus.errors import ConfigError

app = typer.Typer(add_completion=False, rich_markup_mode="rich")


@app.command(
    help=help_text(
        "isthmus export runs/vectors-topk --to saelens --out for-saelens",
        "isthmus export runs/vectors-topk --to sentence-transformers --out for-st",
        "Write a trained sparse dictionary so that SAELens (SAE.load_from_disk) or "
        "sentence-transformers (SparseAutoEncoder.load) loads it. What the other library will "
        "compute differently is said.",
    )
)
def export(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a dictionary's run.")],
    to: Annotated[
        str, typer.Option("--to", metavar="LIBRARY", help="saelens or sentence-transformers.")
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="FOLDER", help="A new or empty folder.")
    ],
    k: ChosenK = None,
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Write a dictionary for another library."""
    from isthmus.models.foreign import (
        export_saelens,
        export_sentence_transformers,
        from_dictionary,
    )
    from isthmus.runs import Run, open_run
    from isthmus.runs.run import of_one_modality

    screen = Screen(as_json=as_json, quiet=quiet)
    opened = of_one_modality(open_run(run))
    if isinstance(opened, Run):
        raise ConfigError(
            "only sparse dictionaries can be exported",
            where=str(run),
            why=f"this is an autoencoder ({opened.preset})",
        )
    imported = from_dictionary(opened.model, str(run))
    if to == "saelens":
        if k is not None:
            raise ConfigError("--k can't be chosen for SAELens", fix="leave it out")
        found = export_saelens(imported, out)
    elif to == "sentence-transformers":
        found = export_sentence_transformers(imported, out, k=k)
    else:
        raise ConfigError(
            f"--to can't be {to!r}", fix="give --to saelens or --to sentence-transformers"
        )
    if as_json:
        screen.json(
            {"run": str(run), "to": to, "folder": str(found.folder), "notes": list(found.notes)}
        )
        return
    notes = [("note", note) for note in found.notes]
    screen.words([("wrote", f"{found.folder}, for {to}"), *notes])
