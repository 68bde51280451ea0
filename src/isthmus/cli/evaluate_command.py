"""`isthmus evaluate`: the numbers of a run or of an index."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from isthmus.cli.multimodal_options import measuring_options
from isthmus.cli.options import (
    ChosenK,
    Debug,
    Json,
    Quiet,
    data_options,
    evaluation_options,
    help_text,
    load_options,
    taking,
)
from isthmus.cli.screen import Screen
from isthmus.errors import ConfigError

if TYPE_CHECKING:
    from isthmus.runs.dictionary import DictionaryRun

_PANEL = "Sparse dictionaries"
_INDEX = "Indexes"

app = typer.Typer(add_completion=False, rich_markup_mode="rich")


@app.command(
    help=help_text(
        "isthmus evaluate runs/mnist-conv",
        "isthmus evaluate scifact.index --judgements scifact",
        "Measure a trained model again, on the splits of its own data or, with --data, on all of "
        "other data as one split, beside PCA of the same size fitted on its training split. The "
        "run's folder is not changed. A checkpoint of SAELens, sparsify, latent-sae, "
        "dictionary_learning, sentence-transformers or OpenAI's sparse autoencoders is measured "
        "as our own dictionaries are: isthmus evaluate THEIRS --data vectors.npy. An index is held "
        "against judged queries: nDCG@10, recall@100 and MRR@10 by concepts, reconstructions, "
        "dense vectors, words and all together. A run of several modalities is measured by the "
        "whole protocol: retrieval in every direction beside chance, baselines and an oracle, "
        "coherence of translations and joint draws by judges, probes, leaks, styles, mismatches, "
        "missing items.",
    )
)
@taking(
    *(option for option in data_options(splits=False) if option.name != "range"),
    *evaluation_options("nll_samples", "nll_rows", "refined_rows"),
    *measuring_options(),
)
def evaluate(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run or an index.")],
    data: Annotated[
        str | None,
        typer.Option(
            "--data",
            metavar="DATA",
            help="A named set, a file or a folder to measure on.",
            show_default=False,
        ),
    ] = None,
    k: ChosenK = None,
    train_data: Annotated[
        str | None,
        typer.Option(
            "--train-data",
            metavar="DATA",
            help="For a checkpoint of another library: the vectors that it was trained on, whose "
            "mean FVU is about. Default: those of --data.",
            show_default=False,
            rich_help_panel=_PANEL,
        ),
    ] = None,
    allow_pt: Annotated[
        bool,
        typer.Option(
            "--allow-pt",
            metavar=" ",
            help="Read PyTorch's pickles (.pt) of another library, weights only.",
            rich_help_panel=_PANEL,
        ),
    ] = False,
    judgements: Annotated[
        str | None,
        typer.Option(
            "--judgements",
            metavar="FOLDER",
            help="For an index: a folder with queries.jsonl and qrels/, or a named set. Default: "
            "where the texts came from.",
            show_default=False,
            rich_help_panel=_INDEX,
        ),
    ] = None,
    split: Annotated[
        str | None,
        typer.Option(
            "--split",
            metavar="NAME",
            help="For an index: which judgements. Default: test.",
            show_default=False,
            rich_help_panel=_INDEX,
        ),
    ] = None,
    threads: Annotated[
        int | None,
        typer.Option(
            "--threads",
            metavar="INT",
            help="For an index: threads of a search. Default 1.",
            show_default=False,
            rich_help_panel=_INDEX,
        ),
    ] = None,
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
    **given: Any,
) -> None:
    """Measure a trained model, or an index."""
    from isthmus.cli.evaluate_index import evaluate_index, is_index
    from isthmus.cli.evaluate_several import evaluate_several
    from isthmus.cli.foreign_checkpoints import is_foreign, score
    from isthmus.cli.numbers import show_metrics
    from isthmus.cli.samples import loaded_for
    from isthmus.cli.values import evaluation
    from isthmus.runs import Run, open_run
    from isthmus.runs.multimodal import MultimodalRun

    screen = Screen(as_json=as_json, quiet=quiet)
    if is_index(run):
        if data is not None or k is not None or train_data is not None or allow_pt or given:
            raise ConfigError(
                "an index is measured on judged queries, not on vectors",
                where=str(run),
                fix="give --judgements, --split and --threads only",
            )
        evaluate_index(run, judgements, split or "test", 1 if threads is None else threads, screen)
        return
    if judgements is not None or split is not None or threads is not None:
        raise ConfigError(
            "--judgements, --split and --threads are for an index",
            where=str(run),
            why="this is none" if run.exists() else "there is no such folder",
            fix="name the folder that `isthmus index` made, or leave them out",
        )
    if is_foreign(run):
        if k is not None:
            raise ConfigError("--k is for dictionaries of isthmus", fix="leave it out")
        score(run, data, train_data, given, screen, allow_pt=allow_pt)
        return
    if allow_pt or train_data is not None:
        raise ConfigError(
            "--allow-pt and --train-data are for checkpoints of other libraries",
            where=str(run),
            why="this is none that is known",
            fix="leave them out",
        )
    opened = open_run(run)
    screen.say(f"measuring {opened.preset} on {data or opened.origin.name}")
    if data is None and load_options(given):
        raise ConfigError("options of loading need data to load", fix="give them with --data DATA")
    if isinstance(opened, MultimodalRun):
        evaluate_several(opened, data, given, screen, k)
        return
    odd = sorted({option.name for option in measuring_options()} & set(given))
    if odd:
        raise ConfigError(f"--{odd[0].replace('_', '-')} is for runs of several modalities")
    if not isinstance(opened, Run):
        _dictionary(opened, data, given, screen, k)
        return
    if k is not None or "refined_rows" in given:
        raise ConfigError("--k and --refined-rows are for sparse dictionaries")
    shown: Any = data
    # images are resized as the run's own were by the run itself; everything else is said here
    if data is not None and not {"resize", "colour"} & set(opened.origin.options):
        shown = loaded_for(opened, data, load_options(given))
    metrics = opened.evaluate(shown, evaluation(given, opened.training.binarise))
    if as_json:
        found = {split: numbers.as_json() for split, numbers in metrics.items()}
        screen.json({"run": str(run), "metrics": found})
        return
    screen.line(f"{opened.preset} on {data or opened.origin.name}", style="bold")
    show_metrics(screen, metrics)


def _dictionary(
    run: DictionaryRun, data: str | None, given: dict[str, Any], screen: Screen, k: int | None
) -> None:
    """Measure a dictionary again."""
    from isthmus.cli.numbers import show_dictionary
    from isthmus.cli.values import dictionary_evaluation
    from isthmus.runs.dictionary.vectors import opened_for

    options = dictionary_evaluation(given)
    vectors = None
    if data is not None:
        vectors = opened_for(data, load_options(given), run.model.dim)
    metrics = run.evaluate(vectors, options, k=k)
    if screen.as_json:
        found = {split: numbers.as_json() for split, numbers in metrics.items()}
        screen.json({"run": str(run.folder), "metrics": found})
        return
    screen.line(f"{run.preset} on {data or run.origin.name}", style="bold")
    show_dictionary(screen, metrics)
