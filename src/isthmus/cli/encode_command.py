"""`isthmus encode`: the codes of data, in a file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from isthmus.cli.options import (
    ChosenK,
    Debug,
    Json,
    Quiet,
    Refine,
    data_options,
    help_text,
    load_options,
    taking,
)
from isthmus.cli.screen import Screen
from isthmus.errors import ConfigError

if TYPE_CHECKING:
    from isthmus.runs.dictionary import DictionaryRun
    from isthmus.runs.multimodal import MultimodalRun

app = typer.Typer(add_completion=False, rich_markup_mode="rich")


@app.command(
    help=help_text(
        "isthmus encode runs/mnist-conv mnist --out codes.npy",
        "isthmus encode runs/vectors-topk vectors.npy --out codes.npz",
        "Write the codes of every sample, in the order in which the samples are stored, or of one "
        "split with --split. The file's ending decides its form: .npy (N x latents, float32), "
        ".npz (codes, labels; with --sparse a SciPy CSR matrix), .csv and .parquet (a column a "
        "latent, and label), .safetensors (codes, labels). A sparse dictionary's codes stay sparse "
        "in .npz (scipy.sparse.load_npz) and .safetensors (indptr, indices, data, shape). Of "
        "several modalities .npz or .safetensors hold MODALITY/shared and MODALITY/private of "
        "every item, with /item, /label and /split, and row/shared, the joint code of every row "
        "of the pair tables, with row/items.",
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
    k: ChosenK = None,
    refine: Refine = False,
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
    **given: Any,
) -> None:
    """Write codes into a file."""
    from isthmus.cli.code_files import Codes, writer_for
    from isthmus.cli.samples import loaded_for, parts_of
    from isthmus.runs import Run, open_run
    from isthmus.runs.multimodal import MultimodalRun

    screen = Screen(as_json=as_json, quiet=quiet)
    opened = open_run(run)
    if isinstance(opened, MultimodalRun):
        if k is not None or refine or sparse or given:
            raise ConfigError(
                "a run of several modalities takes no options but --split",
                where=str(run),
                fix="leave the others out",
            )
        _several(opened, data, out, screen, split)
        return
    if not isinstance(opened, Run):
        _dictionary(
            opened, data, out, given, screen, split=split, sparse=sparse, k=k, refine=refine
        )
        return
    if k is not None or refine:
        raise ConfigError("--k and --refine are for sparse dictionaries", fix="leave them out")
    write = writer_for(out, opened.model, sparse=sparse)
    dataset = loaded_for(opened, data, load_options(given))
    codes = Codes(opened.model, parts_of(dataset, split))
    screen.say(f"encoding {len(codes):,} samples to {codes.latent} latents")
    write(out, codes)
    _tell(screen, opened.folder or run, out, len(codes), codes.latent, sparse=sparse)


def _several(run: MultimodalRun, data: str, out: Path, screen: Screen, split: str | None) -> None:
    """Write shared and private codes of every item, and the joint codes of every row."""
    from isthmus.cli.multimodal_codes import check_ending, coded, write_arrays
    from isthmus.cli.multimodal_data import seen_by

    check_ending(out)
    found = seen_by(run, data)
    if split is not None and split not in found.pairs:
        raise ConfigError(
            f"these data have no split {split!r}", fix=f"choose one of: {', '.join(found.pairs)}"
        )
    screen.say(f"encoding {', '.join(f'{len(m):,} of {n}' for n, m in found.modalities.items())}")
    arrays = coded(run, found, split)
    write_arrays(out, arrays)
    shapes = {name: list(values.shape) for name, values in arrays.items()}
    if screen.as_json:
        screen.json({"run": str(run.folder), "file": str(out), "arrays": shapes})
        return
    sizes = [
        (name, " x ".join(map(str, shape)))
        for name, shape in shapes.items()
        if name.endswith(("/shared", "/private"))
    ]
    screen.table(("array", "shape"), sizes)
    screen.words([("wrote", str(out))])


def _dictionary(
    run: DictionaryRun,
    data: str,
    out: Path,
    given: dict[str, Any],
    screen: Screen,
    *,
    split: str | None,
    sparse: bool,
    k: int | None,
    refine: bool,
) -> None:
    """Write a dictionary's codes, a few thousand at a time."""
    from isthmus.cli.code_files import ending_of
    from isthmus.cli.dictionary_codes import DictionaryCodes, write_codes
    from isthmus.cli.vectors import refinement, sources_for

    ending_of(out)
    options = load_options(given)
    codes = DictionaryCodes(
        run.model,
        sources_for(run, data, options, split),
        k=k,
        refine=refinement(run, k) if refine else None,
        drop_bad=bool(options.get("drop_bad_rows")) or run.training.drop_bad,
    )
    screen.say(f"encoding {len(codes):,} vectors to {codes.latent:,} latents")
    stays = write_codes(out, codes, sparse=sparse)
    _tell(screen, run.folder or Path(), out, len(codes), codes.latent, sparse=stays)


def _tell(screen: Screen, run: Path, out: Path, samples: int, latent: int, *, sparse: bool) -> None:
    answer = {
        "run": str(run),
        "file": str(out),
        "samples": samples,
        "latent": latent,
        "sparse": sparse,
    }
    if screen.as_json:
        screen.json(answer)
        return
    kind = "sparse codes" if sparse else "codes"
    screen.words([("wrote", f"{out}: {kind} of {samples:,} samples, {latent:,} latents")])
