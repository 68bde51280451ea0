"""`isthmus data`: what data there are, and what is in them."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from isthmus.cli.multimodal_options import several_data
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
from isthmus.errors import ConfigError

app = typer.Typer(
    add_completion=False,
    rich_markup_mode="rich",
    no_args_is_help=False,
    help=help_text(
        "isthmus data list",
        "isthmus data describe photos/ --resize 32 --colour grey",
        "Named data sets are looked for in the folder named by ISTHMUS_DATA, then in the cache, "
        "then fetched from their official address, unless ISTHMUS_OFFLINE is set.",
    ),
)


@app.command(
    "list",
    short_help="List the named data sets and where they are.",
    help=help_text(
        "isthmus data list",
        "isthmus data list --json",
        "List the named data sets, and where each was found. Nothing is fetched.",
    ),
)
def list_(as_json: Json = False, debug: Debug = False) -> None:
    """List the named data sets."""
    from isthmus.data import catalogue

    screen = Screen(as_json=as_json)
    sets = catalogue()
    if as_json:
        keys = ("name", "kind", "title", "licence", "where")
        screen.json({"data": [{key: getattr(named, key) for key in keys} for named in sets]})
        return
    absent = {True: "not here: data fetch", False: "not here"}
    rows = [(n.name, n.kind, n.title, n.where or absent[n.fetched], n.licence) for n in sets]
    screen.table(("name", "kind", "what it holds", "where", "licence"), rows, left=5)


@app.command(
    short_help="Fetch a named data set into the cache.",
    help=help_text(
        "isthmus data fetch fashion-mnist",
        "ISTHMUS_HOME=/big/disk isthmus data fetch mnist",
        "Fetch a named data set from its official address into the cache, checked against its "
        "checksums. What had arrived before is not fetched twice.",
    ),
)
def fetch(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A name of `isthmus data list`.")],
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Fetch a named data set."""
    from isthmus.cli.progress import fetching
    from isthmus.data import CATALOGUE
    from isthmus.data import fetch as fetched

    _known(name, [entry.name for entry in CATALOGUE])
    screen = Screen(as_json=as_json, quiet=quiet)
    with fetching(screen) as progress:
        folder = fetched(name, progress)
    if as_json:
        screen.json({"name": name, "folder": str(folder)})
        return
    kind = next(entry.kind for entry in CATALOGUE if entry.name == name)
    model = "aligned" if kind == "modalities" else "dense"
    use = f"isthmus index {name}" if kind == "corpus" else f"isthmus train {name} --model {model}"
    screen.words([(name, f"is in {folder}"), ("next", use)])


def _known(name: str, names: list[str]) -> None:
    import difflib

    near = difflib.get_close_matches(name, names, 1)
    if name not in names:
        raise ConfigError(
            f"there is no named data set {name!r}",
            fix=(f"did you mean {near[0]!r}? " if near else "") + f"there are: {', '.join(names)}",
        )


@app.command(
    short_help="Say what is in a named set, a file or a folder.",
    help=help_text(
        "isthmus data describe digits",
        "isthmus data describe table.csv --label-column species",
        "Say what is in a named set, a file or a folder: samples, shape, splits, classes, the "
        "range of the values, and what was left out or decided while reading; of texts the "
        "documents, their lengths, their metadata, and what could not be read; of several "
        "modalities their items and the tables that pair them.",
    ),
)
@taking(*data_options(), *several_data())
def describe(
    data: Annotated[str, typer.Argument(metavar="DATA", help="A named set, a file or a folder.")],
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
    **given: Any,
) -> None:
    """Say what is in some data."""
    from isthmus.cli.multimodal_data import is_several, several_options
    from isthmus.cli.progress import fetching
    from isthmus.data import describe as described
    from isthmus.data import load
    from isthmus.data.corpora.telling import corpus_at

    screen = Screen(as_json=as_json, quiet=quiet)
    options, chosen = load_options(given), several_options(given)
    with fetching(screen) as progress:
        if is_several(data):
            _several(data, options | chosen, screen)
            return
        if chosen:
            raise ConfigError(
                f"--{min(chosen).replace('_', '-')} is for data of several modalities",
                where=data,
                fix="leave it out",
            )
        texts = corpus_at(data, progress) if not options else None
        found = described(texts if texts is not None else load(data, progress=progress, **options))
    if as_json:
        screen.json(found.to_dict())
        return
    screen.line(found.text())


def _several(data: str, options: dict[str, Any], screen: Screen) -> None:
    """Say what is in data of several modalities."""
    from isthmus.cli.multimodal_data import described, description, opened

    found = opened(data, options)
    if screen.as_json:
        screen.json(description(found))
        return
    for line in described(found):
        screen.line(line)
