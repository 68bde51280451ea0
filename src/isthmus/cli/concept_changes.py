"""What can be done to concepts: names and notes by people, names by a model, export."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from isthmus.cli.endpoints import Endpoint, KeyVariable, Model, Timeout
from isthmus.cli.options import Debug, Json, Quiet, help_text
from isthmus.cli.plain_text import label_of, line_of
from isthmus.cli.screen import Screen
from isthmus.errors import ConfigError

if TYPE_CHECKING:
    from isthmus.concepts.edits import Action

__all__ = ["register"]

_Place = Annotated[
    Path, typer.Argument(metavar="INDEX|RUN", help="An index, or the run of a dictionary.")
]
_Index = Annotated[Path, typer.Argument(metavar="INDEX", help="The folder of an index.")]
_Concept = Annotated[str, typer.Argument(metavar="CONCEPT", help="Its name or number.")]
_KEPT = "Edits stand in a log in the folder, by the concept's direction: they survive retraining."


def register(app: typer.Typer) -> None:
    """Add the commands to a group."""
    app.command(
        short_help="Give a concept a name.",
        help=help_text(
            'isthmus concepts rename notes.index 12 "rail travel"',
            'isthmus concepts rename notes.index trains "rail travel"',
            f"Give a concept a name of your own. {_KEPT}",
        ),
    )(rename)
    app.command(
        short_help="Take a concept's name away.",
        help=help_text(
            "isthmus concepts clear notes.index 12",
            "isthmus concepts clear notes.index trains --json",
            f"Take a concept's name away for good. {_KEPT}",
        ),
    )(clear)
    app.command(
        short_help="Leave a concept out of lists.",
        help=help_text(
            "isthmus concepts hide notes.index 12",
            "isthmus concepts hide notes.index trains --json",
            f"Leave a concept out of lists; searches still use it. {_KEPT}",
        ),
    )(hide)
    app.command(
        "show-again",
        short_help="Undo hide.",
        help=help_text(
            "isthmus concepts show-again notes.index 12",
            "isthmus concepts show-again notes.index trains --json",
            f"Put a hidden concept back into lists. {_KEPT}",
        ),
    )(show_again)
    app.command(
        short_help="Write a note about a concept.",
        help=help_text(
            'isthmus concepts note notes.index 12 "also planes"',
            'isthmus concepts note notes.index trains ""',
            f"Write a note about a concept; an empty one takes it away. {_KEPT}",
        ),
    )(note)
    app.command(
        short_help="Ask a language model for names.",
        help=help_text(
            "isthmus concepts name notes.index --endpoint URL --model NAME",
            "isthmus concepts name notes.index --endpoint URL --model M --only 12",
            "Ask a language model for names. It is shown passages of each concept, at the address "
            "that you give; a name is taken only if it does better on held-out passages than the "
            "one that is there, by the same test. Names that people gave stay.",
        ),
    )(name)
    app.command(
        short_help="Write concepts for other programs.",
        help=help_text(
            "isthmus concepts export notes.index --atlas notes.parquet",
            "isthmus concepts export notes.index --features notes.jsonl",
            "Write passages with their concepts for Embedding Atlas (embedding-atlas FILE), or a "
            "line of JSON a concept with the fields of Neuronpedia's features.",
        ),
    )(export)


def rename(
    place: _Place,
    concept: _Concept,
    new: Annotated[str, typer.Argument(metavar="NAME", help="The new name.")],
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Give a concept a name."""
    _edited(place, "rename", concept, new, as_json=as_json)


def clear(place: _Place, concept: _Concept, as_json: Json = False, debug: Debug = False) -> None:
    """Take a concept's name away."""
    _edited(place, "clear", concept, as_json=as_json)


def hide(place: _Place, concept: _Concept, as_json: Json = False, debug: Debug = False) -> None:
    """Leave a concept out of lists."""
    _edited(place, "hide", concept, as_json=as_json)


def show_again(
    place: _Place, concept: _Concept, as_json: Json = False, debug: Debug = False
) -> None:
    """Put a hidden concept back into lists."""
    _edited(place, "show", concept, as_json=as_json)


def note(
    place: _Place,
    concept: _Concept,
    text: Annotated[str, typer.Argument(metavar="TEXT", help="The note.")],
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Write a note about a concept."""
    _edited(place, "note", concept, text, as_json=as_json)


def _edited(
    place: Path, action: Action, concept: str, text: str = "", *, as_json: bool = False
) -> None:
    from isthmus.cli.concept_sources import edited

    screen = Screen(as_json=as_json)
    number, before = edited(place, action, concept, text)
    if as_json:
        record = {"concept": number, "action": action, "before": before, "text": text}
        screen.json({"folder": str(place), **record})
        return
    done = {
        "rename": f"is called {line_of(text)!r} now",
        "clear": "has no name now",
        "hide": "is left out of lists now",
        "show": "is in lists again",
        "note": "has a note now" if text else "has no note now",
    }
    screen.words([(label_of(number, before), done[action])])


def name(
    index: _Index,
    endpoint: Endpoint = None,
    model: Model = None,
    only: Annotated[
        list[str] | None,
        typer.Option(
            "--only",
            metavar="CONCEPT",
            help="Ask for this one; may be given several times. Default: all.",
            show_default=False,
        ),
    ] = None,
    key_variable: KeyVariable = "ISTHMUS_API_KEY",
    timeout: Timeout = 60.0,
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Ask a language model for names."""
    from isthmus.cli.endpoints import connected
    from isthmus.cli.stages import counting, staging
    from isthmus.search.index.asking import name_concepts

    screen = Screen(as_json=as_json, quiet=quiet)
    writer = connected(endpoint, model, key_variable, timeout)
    if writer is None:
        raise ConfigError(
            "there is nobody to ask",
            why="texts are sent to no address that was not given",
            fix="add --endpoint URL --model NAME",
        )
    screen.say(f"sending passages to {writer.endpoint.base_url}")
    with staging(screen) as tell:
        asked = name_concepts(
            index,
            writer.endpoint,
            writer.model,
            only=only,
            progress=counting(tell, "asking"),
        )
    if as_json:
        screen.json(
            {
                "index": str(index),
                "endpoint": writer.endpoint.base_url,
                "model": writer.model,
                "accepted": {str(j): asked.concepts[j].name for j in asked.accepted},
                "given": {str(j): text for j, text in asked.given.items()},
                "refused": {str(j): why for j, why in asked.refused.items()},
            }
        )
        return
    for j in asked.accepted:
        screen.line(f"#{j}  {line_of(asked.concepts[j].name or '')}")
    told = (
        f"{len(asked.accepted):,} of {len(asked.given):,} names were better than what was there, "
        f"on held-out passages; {len(asked.refused):,} answers were no names"
    )
    screen.words([("taken", told), ("model", f"{line_of(writer.model)} at {endpoint}")])


def export(
    index: _Index,
    atlas: Annotated[
        Path | None,
        typer.Option(
            "--atlas",
            metavar="FILE.parquet",
            help="Write passages with their concepts, for Embedding Atlas.",
            show_default=False,
        ),
    ] = None,
    features: Annotated[
        Path | None,
        typer.Option(
            "--features",
            metavar="FILE.jsonl",
            help="Write a line a concept, with the fields of Neuronpedia's features.",
            show_default=False,
        ),
    ] = None,
    everything: Annotated[
        bool,
        typer.Option("--all", metavar=" ", help="With --atlas: concepts without a name, too."),
    ] = False,
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Write concepts for other programs."""
    from isthmus.search.index.exporting import export_index_atlas, export_index_features
    from isthmus.search.index.index import Index

    screen = Screen(as_json=as_json, quiet=quiet)
    if atlas is None and features is None:
        raise ConfigError(
            "nothing to write", fix="add --atlas FILE.parquet or --features FILE.jsonl"
        )
    written: dict[str, int] = {}
    with Index(index) as opened:
        if atlas is not None:
            written[str(atlas)] = export_index_atlas(opened, atlas, unnamed=everything)
        if features is not None:
            written[str(features)] = export_index_features(opened, features)
    if as_json:
        screen.json({"index": str(index), "written": written})
        return
    screen.words([("wrote", f"{file}: {rows:,} rows") for file, rows in written.items()])
