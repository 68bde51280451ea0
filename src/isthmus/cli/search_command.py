"""`isthmus search`: passages with reasons."""

from __future__ import annotations

from typing import Annotated

import typer

from isthmus.cli.options import Debug, Json, Quiet, help_text
from isthmus.cli.screen import Screen
from isthmus.cli.searching import By, IndexFolder, Less, More, Threads, Where, Without

app = typer.Typer(add_completion=False, rich_markup_mode="rich")


@app.command(
    help=help_text(
        'isthmus search notes/ "how to bake bread"',
        'isthmus search notes.index "how to bake bread" --more cooking --less "United States"',
        "Search an index, or texts, whose index is made first. Each hit says what its score is "
        "made of: the concepts that query and passage share, and with --by dense, words or "
        "hybrid what vectors and words add; together they are the score. --more, --less and "
        "--without change the query's concepts first.",
    )
)
def search(
    index: IndexFolder,
    query: Annotated[str, typer.Argument(metavar="QUERY", help="What is looked for, in words.")],
    limit: Annotated[
        int, typer.Option("--limit", "-n", metavar="INT", help="Passages at most.")
    ] = 10,
    by: By = "concepts",
    scoring: Annotated[
        str,
        typer.Option(
            "--scoring", metavar="NAME", help="How shared concepts are weighed: bm25, idf or dot."
        ),
    ] = "bm25",
    where: Where = None,
    threads: Threads = 1,
    more: More = None,
    less: Less = None,
    without: Without = None,
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Search an index."""
    from isthmus.cli.hits import show_results
    from isthmus.cli.indexing import index_for
    from isthmus.cli.searching import conditions, opened

    screen = Screen(as_json=as_json, quiet=quiet)
    with opened(index_for(screen, index), threads) as found:
        results = found.search(
            query,
            limit=limit,
            by=by,
            more=more or (),
            less=less or (),
            without=without or (),
            where=conditions(where),
            scoring=scoring,
        )
        show_results(screen, found, results, filtered=bool(where))
