"""`isthmus index`: from texts to an index, or an index brought up to date."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from isthmus.cli.failures import Interrupted
from isthmus.cli.options import Debug, Json, Quiet, help_text, taking
from isthmus.cli.screen import Screen
from isthmus.cli.text_options import index_options
from isthmus.errors import ConfigError

app = typer.Typer(add_completion=False, rich_markup_mode="rich")

_EMBEDDER = "Embedder"
_DICTIONARY = "Dictionary"


@app.command(
    help=help_text(
        "isthmus index notes/",
        "isthmus index scifact --out scifact.index --also embeddings/clinc150",
        "Make texts searchable by concepts, vectors and words: cut them into passages, embed "
        "them, train a dictionary of concepts on them, name the concepts. CORPUS is a folder of "
        "text or Markdown files, a file of JSON lines, CSV or Parquet, a folder in BEIR's layout, "
        "a named corpus such as docstrings, or an index, which is brought up to date from where "
        "its texts came from. Where the index is there already only what is new or changed is "
        "embedded, and what is gone is deleted; it is replaced in one step.",
    )
)
@taking(*index_options())
def index(
    corpus: Annotated[
        str, typer.Argument(metavar="CORPUS", help="A folder, a file, a named corpus or an index.")
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            metavar="FOLDER",
            help="The index' folder. Default: the corpus' name and .index, here.",
            show_default=False,
        ),
    ] = None,
    embedder: Annotated[
        str | None,
        typer.Option(
            "--embedder",
            metavar="NAME",
            help="minilm (default, offline), lexical (no language model), a folder or a name on "
            "the hub, http://HOST/v1#MODEL, or a .npy file of ready-made vectors.",
            show_default=False,
            rich_help_panel=_EMBEDDER,
        ),
    ] = None,
    query_embedder: Annotated[
        str | None,
        typer.Option(
            "--query-embedder",
            metavar="NAME",
            help="For ready-made vectors: the embedder that made them, for queries.",
            show_default=False,
            rich_help_panel=_EMBEDDER,
        ),
    ] = None,
    cache: Annotated[
        Path | None,
        typer.Option(
            "--cache",
            metavar="FOLDER",
            help="Where vectors are kept, so that nothing is embedded twice. Default: vectors in "
            "the user's cache.",
            show_default=False,
            rich_help_panel=_EMBEDDER,
        ),
    ] = None,
    no_cache: Annotated[
        bool,
        typer.Option("--no-cache", metavar=" ", help="Keep no vectors.", rich_help_panel=_EMBEDDER),
    ] = False,
    dictionary: Annotated[
        Path | None,
        typer.Option(
            "--dictionary",
            metavar="RUN",
            help="Use the dictionary of a run, of a saved model or of another index.",
            show_default=False,
            rich_help_panel=_DICTIONARY,
        ),
    ] = None,
    also: Annotated[
        list[str] | None,
        typer.Option(
            "--also",
            metavar="VECTORS",
            help="Further vectors of the same embedder to train on; may be given several times.",
            show_default=False,
            rich_help_panel=_DICTIONARY,
        ),
    ] = None,
    retrain: Annotated[
        bool,
        typer.Option(
            "--retrain",
            metavar=" ",
            help="Train the dictionary of an index on; concepts that stay keep their numbers.",
            rich_help_panel=_DICTIONARY,
        ),
    ] = False,
    no_fit: Annotated[
        bool,
        typer.Option(
            "--no-fit",
            metavar=" ",
            help="Leave the weights of hybrid searches alone where the corpus has judged queries.",
            rich_help_panel="Index",
        ),
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", metavar=" ", help="Only say what would be read and made."),
    ] = False,
    verify: Annotated[
        bool,
        typer.Option("--verify", metavar=" ", help="Only check an index: CORPUS is its folder."),
    ] = False,
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
    **given: Any,
) -> None:
    """Make an index, or bring one up to date."""
    from isthmus.cli.indexing import Request, built, checked, planned

    screen = Screen(as_json=as_json, quiet=quiet)
    if verify:
        checked(screen, Path(corpus))
        return
    if cache is not None and no_cache:
        raise ConfigError("--cache and --no-cache contradict each other", fix="give one of them")
    request = Request.of(
        corpus,
        out,
        given,
        embedder=embedder,
        query_embedder=query_embedder,
        cache=cache,
        no_cache=no_cache,
        dictionary=dictionary,
        also=tuple(also or ()),
        retrain=retrain,
        fit=not no_fit,
    )
    if dry_run:
        planned(screen, request)
        return
    try:
        built(screen, request)
    except Interrupted:
        raise
    except KeyboardInterrupt as error:
        kept = request.cache_folder
        vectors = f"; vectors that were made are kept in {kept}" if kept is not None else ""
        raise Interrupted(
            f"stopped by Ctrl-C; the index is as it was before{vectors}",
            fix="give the same command again to go on",
        ) from error
