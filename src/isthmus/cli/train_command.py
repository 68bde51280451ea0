"""`isthmus train`: from data and a preset to a run's folder."""

from __future__ import annotations

import dataclasses
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
    Quiet,
    data_options,
    dictionary_options,
    evaluation_options,
    help_text,
    load_options,
    model_options,
    preprocess_option,
    taking,
    training_options,
)
from isthmus.cli.run_folder import run_folder
from isthmus.cli.screen import Screen, number
from isthmus.cli.train_dictionary import Typed, dictionary_job, is_first, train_dictionary
from isthmus.cli.train_multimodal import multimodal_job, refuse_several, train_multimodal
from isthmus.cli.words import bytes_of, time_of
from isthmus.errors import ConfigError, RunError

if TYPE_CHECKING:
    from isthmus.runs import Run
    from isthmus.runs.training import Job
    from isthmus.training import Training

app = typer.Typer(add_completion=False, rich_markup_mode="rich")

DEFAULT_PRESET = "dense"


@app.command(
    help=help_text(
        "isthmus train mnist --model conv --epochs 10 --out runs/mnist-conv",
        "isthmus train vectors.npy --model topk --latents 3072 --k 32",
        "Train a model, measure it on every split beside PCA of the same size, and write the run: "
        "config.json, model.safetensors, history.csv, metrics.json, figures, a model card and a "
        "checkpoint. A setting that is not given is the preset's own; `isthmus models` lists "
        "them. Ctrl-C keeps a checkpoint, and `isthmus train --resume --out RUN` goes on. Given "
        "vectors (.npy of two axes, .safetensors, .parquet, a folder of such shards), topk and "
        "batch-topk are sparse dictionaries, as matryoshka, any-k, jumprelu, gated, relu-l1, kl "
        "and contrastive always are; with --network they are autoencoders. aligned, mvtcae, "
        "mmvae-plus, poe, moe and mopoe join several modalities: DATA is digit-trio, "
        "digits-words, or a CSV file of pairs with a column a modality (image, audio, text).",
    )
)
@taking(
    *helped(
        (
            *training_options(),
            *dictionary_options(),
            *data_options(),
            preprocess_option(),
            *evaluation_options("nll_samples", "nll_rows", "refined_rows"),
        ),
        *several_training(),
        *several_data(),
        *measuring_options(),
    )
)
def train(
    data: Annotated[
        str | None,
        typer.Argument(
            metavar="DATA",
            help="A named set (`isthmus data list`), a file or a folder. "
            "With --resume it may be left out.",
            show_default=False,
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            "-m",
            metavar="PRESET",
            help=f"The preset to start from. Default {DEFAULT_PRESET}.",
            show_default=False,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            metavar="RUN",
            help="Folder for the run. Default runs/DATA-PRESET.",
            show_default=False,
        ),
    ] = None,
    members: Annotated[
        str | None,
        typer.Option(
            "--members",
            metavar="TEXT",
            help="Several dictionaries over one pass of the data, each a run below --out: "
            '"topk:k=32;topk:k=64,latents=6144".',
            show_default=False,
            rich_help_panel="Sparse dictionaries",
        ),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", metavar=" ", help="Go on with the training in --out.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", metavar=" ", help="Say what would happen, and do nothing.")
    ] = False,
    no_figures: Annotated[
        bool, typer.Option("--no-figures", metavar=" ", help="Draw no figures.")
    ] = False,
    no_measure: Annotated[
        bool,
        typer.Option(
            "--no-measure",
            metavar=" ",
            help="Leave measuring to `isthmus evaluate`.",
            rich_help_panel="Several modalities: measuring",
        ),
    ] = False,
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
    **given: Any,
) -> None:
    """Train a model."""
    from isthmus.training.device import chosen_device

    first = is_first()
    screen = Screen(as_json=as_json, quiet=quiet or not first)
    name = model or ("members" if members is not None else DEFAULT_PRESET)
    unclaimed = resume or dry_run or not first
    folder = run_folder(data, name, out, resume=resume, unclaimed=unclaimed)
    typed = Typed(data, model or DEFAULT_PRESET, model is not None, members, given, resume, folder)
    several = multimodal_job(typed, screen)
    if several is not None:
        train_multimodal(
            several,
            typed,
            screen,
            dry_run=dry_run,
            figures=not no_figures,
            measure=not no_measure,
        )
        return
    refuse_several(typed, no_measure=no_measure)
    dictionaries = dictionary_job(typed, screen)
    if dictionaries is not None:
        train_dictionary(dictionaries, typed, screen, dry_run=dry_run, figures=not no_figures)
        return
    job = _job(data, model, folder, given, resume=resume, screen=screen)
    chosen_device(job.training.device)  # a wrong one is told before the folder is made
    _announce(job, screen)
    if dry_run:
        _plan(job, folder, screen)
        return
    run = _carried_out(job, folder, given, screen, resume=resume, figures=not no_figures)
    seconds = sum(run.history["seconds"])
    trained = run.origin.samples["train"] * len(run.history)
    answer = {
        "run": str(folder),
        "model": run.preset,
        "metrics": {split: found.as_json() for split, found in run.metrics.items()},
        "seconds": seconds,
        "samples_per_second": trained / max(seconds, 1e-9),
    }
    if as_json:
        screen.json(answer)
        return
    _close(run, folder, seconds, trained, screen)


def _job(
    data: str | None,
    model: str | None,
    folder: Path,
    given: dict[str, Any],
    *,
    resume: bool,
    screen: Screen,
) -> Job:
    """Load the data and build the model, from what was typed or from the run to resume."""
    from isthmus.cli.progress import fetching
    from isthmus.cli.resuming import begun
    from isthmus.cli.values import chosen
    from isthmus.runs.training import job_for

    before = begun(folder) if resume else None
    # a setting that only a dictionary has is refused by name, not passed over
    options = (*model_options(), *dictionary_options())
    typed = {option.name for option in options} & set(given)
    if "refined_rows" in given:
        raise ConfigError("--refined-rows is for sparse dictionaries", fix="leave it out")
    base = before.preset if before is not None and model is None else (model or DEFAULT_PRESET)
    found, settings = chosen(base, {name: given[name] for name in typed})
    loading = load_options(given)
    source: str | None = data
    preprocess = given.get("preprocess", "auto")
    if before is not None:
        source = data if data is not None else before.source
        loading = (before.load_options if data is None else {}) | loading
        preprocess = given.get("preprocess", before.preprocess)
    if source is None:
        raise RunError(
            "this run was trained on arrays in memory, which it does not keep",
            where=str(folder),
            fix="resume it from Python, with the same arrays",
        )
    with fetching(screen) as progress:
        job = job_for(
            found,
            source,
            preprocess=preprocess,
            load_options=loading | {"progress": progress},
            **settings,
        )
    # what was shown while loading is no part of how the data are found again
    return dataclasses.replace(job, origin=dataclasses.replace(job.origin, options=loading))


def _announce(job: Job, screen: Screen) -> None:
    """Say what was found and what will be trained."""
    dataset, shape = job.dataset, " x ".join(map(str, job.dataset.shape))
    sizes = ", ".join(f"{len(dataset[split]):,} {split}" for split in dataset)
    training = job.training
    facts = [
        ("data", f"{dataset.name}: {dataset.kind}s of {shape}; {sizes}"),
        *(("note", note) for note in (*dataset.notes, *_few(len(dataset["train"]), training))),
        (
            "model",
            f"{job.preset}, {job.model.latent} latents, {job.model.parameters_count:,} parameters",
        ),
        *(("objective" if i == 0 else "", line) for i, line in enumerate(job.model.describe())),
        (
            "training",
            f"{training.epochs} epochs of batches of {training.batch_size}, learning rate "
            f"{training.lr:g} ({training.schedule}), seed {training.seed}",
        ),
    ]
    screen.facts(facts)
    screen.say()


def _few(count: int, training: Training) -> list[str]:
    """Say when an epoch is a single step, which is seldom what was meant."""
    if count >= training.batch_size:
        return []
    return [
        f"There are {count:,} training samples, fewer than a batch of {training.batch_size}: "
        "an epoch is one step. A smaller --batch-size or more --epochs may be better."
    ]


def _plan(job: Job, folder: Path, screen: Screen) -> None:
    plan = job.plan()
    if screen.as_json:
        answer = dataclasses.asdict(plan)
        screen.json({"run": str(folder), "model": job.preset, "dry_run": True, "plan": answer})
        return
    screen.table(
        ("a dry run: nothing was trained or written", ""),
        [
            ("would be written to", str(folder)),
            ("parameters", f"{plan.parameters:,}"),
            ("steps", f"{plan.steps:,}"),
            ("memory", bytes_of(plan.memory_bytes)),
            ("disk", bytes_of(plan.disk_bytes)),
            ("time in training steps", time_of(plan.seconds)),
            ("speed", f"{plan.samples_per_second:,.0f} samples/s"),
            ("device", plan.device),
        ],
    )


def _carried_out(
    job: Job, folder: Path, given: dict[str, Any], screen: Screen, *, resume: bool, figures: bool
) -> Run:
    from isthmus.cli.progress import watching
    from isthmus.cli.values import evaluation
    from isthmus.runs.training import carry_out

    options = evaluation(given, job.training.binarise)
    try:
        with watching(screen) as watch:
            return carry_out(
                job, folder, resume=resume, watch=watch, figures=figures, evaluation=options
            )
    except KeyboardInterrupt as stop:
        epoch = getattr(stop, "epoch", None)
        where = f"in epoch {epoch}" if epoch is not None else "before the run was written"
        raise Interrupted(
            f"training was stopped {where}; what it had reached is kept in {folder}",
            f"go on with: isthmus train --resume --out {shlex.quote(str(folder))}",
        ) from stop


def _close(run: Run, folder: Path, seconds: float, trained: int, screen: Screen) -> None:
    """Write the numbers, where everything is, and what to type next."""
    from isthmus.cli.numbers import show_metrics

    screen.line(f"{run.preset} on {run.origin.name}", style="bold")
    show_metrics(screen, run.metrics)
    pictures = sorted((folder / "figures").glob("*.png"))
    facts = [
        (
            "trained",
            f"{len(run.history)} epochs in {time_of(seconds)}, "
            f"{number(trained / max(seconds, 1e-9))} samples/s",
        ),
        ("run", str(folder)),
    ]
    if pictures:
        facts.append(("figures", f"{len(pictures)} in {folder / 'figures'}"))
    words = ["isthmus", "reconstruct", str(folder), run.origin.source or "DATA"]
    facts.append(("next", shlex.join([*words, "--out", str(folder / "samples")])))
    screen.words(facts)
