"""`isthmus add-modality`: a new encoder and decoder, joined to a frozen space."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from isthmus.cli.failures import Interrupted
from isthmus.cli.multimodal_options import (
    helped,
    measuring_options,
    several_data,
    several_training,
)
from isthmus.cli.options import (
    Debug,
    Json,
    Option,
    Quiet,
    data_options,
    help_text,
    load_options,
    model_options,
    taking,
)
from isthmus.cli.raw_items import multimodal_run
from isthmus.cli.screen import Screen
from isthmus.errors import ConfigError, RunError

if TYPE_CHECKING:
    from isthmus.runs.multimodal import MultimodalRun

app = typer.Typer(add_completion=False, rich_markup_mode="rich")

_KEPT = frozenset({"missing", "pairs_per_class"})
_NOT_LEARNED = frozenset({"private", "weight", "hide"})


def _training() -> tuple[Option, ...]:
    """Return the options of the training alone: the space and its objective stay as they are."""
    from isthmus.cli.settings import declared, grouped

    fields = declared("Training", "training/config.py", "Training")
    own = {
        s.name for s in grouped(declared("", "training/multimodal/config.py", "MultimodalTraining"))
    }
    usual = {s.name for s in grouped(fields)} - {"binarise"}
    training = tuple(option for option in model_options() if option.name in usual)
    more = (o for o in several_training() if o.name in own and o.name not in _NOT_LEARNED)
    return helped(training, *more)


_TABLES = frozenset({"validation", "test", "split_seed"})


@app.command(
    help=help_text(
        "isthmus add-modality runs/pair --name audio --data digit-trio --out trio",
        "isthmus add-modality runs/own --name audio --data own.csv --out wider",
        "Join a new modality to the space of a trained run: its encoder and decoder are trained "
        "on rows that hold it beside modalities which the run knows; everything else stays as it "
        "is, to the bit. RUN is left alone, and the wider run goes to --out. DATA are those that "
        "the run was trained on, with the new modality beside.",
    )
)
@taking(
    *_training(),
    *(option for option in several_data() if option.name not in {*_KEPT, "only"}),
    *(option for option in data_options() if option.name in _TABLES),
    *measuring_options(),
)
def add_modality(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run of several modalities.")],
    name: Annotated[
        str, typer.Option("--name", metavar="MODALITY", help="The new modality's name in DATA.")
    ],
    data: Annotated[
        str,
        typer.Option(
            "--data",
            metavar="DATA",
            help="A named set of several modalities, or a CSV file of pairs.",
        ),
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="RUN", help="Folder for the wider run.")
    ],
    no_figures: Annotated[
        bool, typer.Option("--no-figures", metavar=" ", help="Draw no figures.")
    ] = False,
    no_measure: Annotated[
        bool,
        typer.Option("--no-measure", metavar=" ", help="Leave measuring to `isthmus evaluate`."),
    ] = False,
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
    **given: Any,
) -> None:
    """Join a new modality."""
    from isthmus.cli.multimodal_data import several_options
    from isthmus.cli.multimodal_values import measuring, settings_of
    from isthmus.cli.train_multimodal import answer_of, close

    screen = Screen(as_json=as_json, quiet=quiet)
    opened = multimodal_run(run)
    if name in opened.model.names:
        raise ConfigError(
            f"the run has a modality {name!r} already",
            where=str(run),
            fix=f"it has: {', '.join(opened.model.names)}",
        )
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise RunError(
            "the output folder is not empty; nothing in it was changed",
            where=str(out),
            fix="give another --out",
        )
    evaluation, judges = measuring(given)
    opened.judge_settings = judges
    loading = load_options(given) | several_options(given)
    known = {option.name for option in _training()}
    settings = settings_of(
        opened.model.objective, {k: v for k, v in given.items() if k in known}, opened.training
    )
    screen.say(f"joining {name} to {', '.join(opened.model.names)} of {opened.name}")
    more = {"evaluation": evaluation, "measure": not no_measure, "figures": not no_figures}
    wider = _joined(opened, name, data, out, loading, screen, settings | more)
    if as_json:
        screen.json(answer_of(wider, out) | {"added": name, "from": str(run)})
        return
    close(wider, out, screen)


def _loading(run: MultimodalRun, name: str, data: str, typed: dict[str, Any]) -> dict[str, Any]:
    """Return how the data are opened: as the run's own were, where they are the same."""
    same = run.origin.source in (data, str(Path(data).resolve()))
    before = dict(run.origin.options) if same else {}
    kept = {key: value for key, value in before.items() if key not in _KEPT}
    return kept | typed | {"only": [*run.model.names, name]}


def _joined(
    run: MultimodalRun,
    name: str,
    data: str,
    out: Path,
    loading: dict[str, Any],
    screen: Screen,
    settings: dict[str, Any],
) -> MultimodalRun:
    from isthmus.cli.progress import watching

    try:
        with watching(screen) as watch:
            return run.add_modality(
                name,
                data,
                out=out,
                load_options=_loading(run, name, data, loading),
                progress=watch or False,
                **settings,
            )
    except KeyboardInterrupt as stop:
        raise Interrupted(
            f"training was stopped; {out} holds no whole run",
            f"type the same command again, with another --out than {shlex.quote(str(out))}",
        ) from stop
