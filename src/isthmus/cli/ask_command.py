"""`isthmus ask`: answers made of checked quotations."""

from __future__ import annotations

from typing import Annotated

import typer

from isthmus.cli.endpoints import Endpoint, KeyVariable, Model, Timeout
from isthmus.cli.options import Debug, Json, Quiet, help_text
from isthmus.cli.screen import Screen
from isthmus.cli.searching import By, IndexFolder, Less, More, Threads, Where, Without
from isthmus.errors import ConfigError

app = typer.Typer(add_completion=False, rich_markup_mode="rich")


@app.command(
    help=help_text(
        'isthmus ask notes.index "Who wrote the report?"',
        'isthmus ask notes.index "Who wrote it?" --endpoint URL --model NAME',
        "Answer a question from an index. Without an endpoint nothing is generated: passages are "
        "quoted with the sentence that answers marked, file and offsets beside. With --endpoint "
        "and --model the question and the passages are sent there, and every claim of the answer "
        "must carry a quotation that stands in its passage word for word; others are struck out.",
    )
)
def ask(
    index: IndexFolder,
    question: Annotated[str, typer.Argument(metavar="QUESTION", help="The question.")],
    passages: Annotated[
        int | None,
        typer.Option(
            "--passages",
            metavar="INT",
            help="Passages to answer from. Default: 3 that are quoted, 6 for a model.",
            show_default=False,
        ),
    ] = None,
    by: By = "hybrid",
    where: Where = None,
    threads: Threads = 1,
    more: More = None,
    less: Less = None,
    without: Without = None,
    endpoint: Endpoint = None,
    model: Model = None,
    key_variable: KeyVariable = "ISTHMUS_API_KEY",
    timeout: Timeout = 60.0,
    fall_back: Annotated[
        bool,
        typer.Option(
            "--fall-back",
            metavar=" ",
            help="Quote passages where the endpoint is away or its answer can't be read.",
            rich_help_panel="Endpoint",
        ),
    ] = False,
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Answer a question."""
    from isthmus.cli.answering import Asking, answered
    from isthmus.cli.endpoints import connected
    from isthmus.cli.indexing import index_for
    from isthmus.cli.searching import conditions, opened

    screen = Screen(as_json=as_json, quiet=quiet)
    if passages is not None and passages < 1:
        raise ConfigError("at least one passage must be shown", where=f"--passages {passages}")
    writer = connected(endpoint, model, key_variable, timeout)
    if fall_back and writer is None:
        raise ConfigError("--fall-back goes with --endpoint", fix="leave it out")
    asking = Asking(question, passages, fall_back=fall_back)
    with opened(index_for(screen, index), threads) as found:
        steering = found.steering(more or (), less or (), without or ())
        answered(screen, found, asking, by, steering, conditions(where), writer)
