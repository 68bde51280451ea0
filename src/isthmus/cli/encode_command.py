"""`isthmus encode`: the codes of data, in a file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from isthmus.cli.options import (
    Debug,
    Json,
    Quiet,
    data_options,
    help_text,
    load_options,
    taking,
)
from isthmus.cli.screen import Screen

app = typer.Typer(add_completion=False, rich_markup_mode="rich")


@app.command(
    help=help_text(
        "isthmus encode runs/mnist-conv mnist --out codes.npy",
        "isthmus encode runs/vectors-topk vectors.npy --out codes.npz --sparse",
        "Write the codes of every sample, in the order in which the samples are stored, or of one "
        "split with --split. The file's ending decides its form: .npy (N x latents, float32), "
        ".npz (codes, labels; with --sparse a SciPy CSR matrix), .csv and .parquet (a column a "
        "latent, and label), .safetensors (codes, labels).",
    )
)
@taking(*data_options())
def encode(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a run.")],
    data: Annotated[str, typer.Argument(metavar="DATA", help="A named set, a file or a folder.")],
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="FILE", help="The file to write, or replace.")
    ],
    split: Annotated[
        str | None,
        typer.Option(
            "--split", metavar="NAME", help="Only train, validation or test.", show_default=False
        ),
    ] = None,
    sparse: Annotated[
        bool,
        typer.Option("--sparse", metavar=" ", help="Keep only what is not zero (.npz)."),
    ] = False,
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
    **given: Any,
) -> None:
    """Write codes into a file."""
    from isthmus.cli.code_files import Codes, writer_for
    from isthmus.cli.samples import loaded_for, parts_of
    from isthmus.runs import open_run

    screen = Screen(as_json=as_json, quiet=quiet)
    opened = open_run(run)
    write = writer_for(out, opened.model, sparse=sparse)
    dataset = loaded_for(opened, data, load_options(given))
    codes = Codes(opened.model, parts_of(dataset, split))
    screen.say(f"encoding {len(codes):,} samples to {codes.latent} latents")
    write(out, codes)
    answer = {
        "run": str(run),
        "file": str(out),
        "samples": len(codes),
        "latent": codes.latent,
        "sparse": sparse,
    }
    if as_json:
        screen.json(answer)
        return
    kind = "sparse codes" if sparse else "codes"
    screen.words([("wrote", f"{out}: {kind} of {len(codes):,} samples, {codes.latent} latents")])
