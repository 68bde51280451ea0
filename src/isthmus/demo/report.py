"""The demonstration's page: one HTML file that needs nothing else."""

from __future__ import annotations

import io
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from isthmus.demo.members import BUDGET, Member
from isthmus.demo.place import COMPARISON
from isthmus.figures import ReportPicture, ReportTable, Section, Table, html_report

if TYPE_CHECKING:
    from isthmus.data import Dataset
    from isthmus.runs import Run

__all__ = ["asked", "next_steps", "page"]

_PICTURES: Mapping[str, str] = {
    "reconstructions": "Test images, what the model makes of them, and what is left.",
    "latent_map": "Codes of the test images, by PCA and by t-SNE, coloured by digit; t-SNE keeps "
    "neighbours, and distances across the map mean little.",
    "codes": "Values of the codes, codes of single images, and how often each latent is active.",
    "prior_samples": "New images, decoded from codes drawn from the prior.",
    "interpolations": "From one image to another along a straight line in the code.",
    "kl_per_latent": "What each latent costs; those near zero are not in use.",
    "loss_curves": "The terms of the loss over the epochs.",
}
_SHOWN: Mapping[str, tuple[str, ...]] = {
    "dense": ("reconstructions", "latent_map", "loss_curves"),
    "conv": ("reconstructions", "interpolations"),
    "sparse-l1": ("reconstructions", "codes"),
    "sparse-kl": ("reconstructions", "codes"),
    "topk": ("reconstructions", "codes"),
    "vae": ("prior_samples", "interpolations", "latent_map", "kl_per_latent"),
}
"""The figures of each run that the page shows; all of them are in the run's folder."""


_LONGER = ("--epochs", "100", "--batch-size", "64")
"""Digits are few: the presets' own settings are meant for larger sets."""


def next_steps(folder: Path) -> tuple[str, ...]:
    """Return commands to type next, with paths that exist."""
    dense, vae = folder / "runs" / "dense", folder / "runs" / "vae"
    return tuple(
        shlex.join(words)
        for words in (
            ["isthmus", "evaluate", str(vae), "--nll-samples", "1000"],
            ["isthmus", "reconstruct", str(dense), "digits", "--out", "pictures"],
            ["isthmus", "train", "digits", "--latent", "16", *_LONGER],
            ["isthmus", "models"],
        )
    )


def asked(rows: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    """Yield what each sparse model was asked for, and what it reached."""
    for row in rows:
        if row.get("asked") is not None:
            what, wanted = row["asked"]
            got = row[what]
            yield row["name"], f"was asked for {_ASKED[what].format(wanted)} and reached {got:.4g}."


_ASKED: Mapping[str, str] = {
    "l0": "{:g} active latents an image",
    "mean_activation": "a mean activation of {:g}",
}


def page(
    members: Sequence[Member],
    runs: Sequence[Run],
    rows: Sequence[Mapping[str, Any]],
    folder: Path,
    dataset: Dataset,
) -> str:
    """Return the whole page."""
    sections = [_first(rows, dataset), _together(folder)]
    sections += [_of(member, run) for member, run in zip(members, runs, strict=True)]
    sections.append(
        Section("What to type next", ("\n".join(next_steps(folder)), _elsewhere(folder)))
    )
    return html_report("Isthmus: six autoencoders on handwritten digits", sections)


def _first(rows: Sequence[Mapping[str, Any]], dataset: Dataset) -> Section:
    sizes = ", ".join(f"{len(dataset[split]):,} {split}" for split in dataset)
    columns = {
        "model": [row["name"] for row in rows],
        "latents": [row["latent"] for row in rows],
        "active": [row["l0"] for row in rows],
        "dead": [row["dead_fraction"] for row in rows],
        "MSE": [row["mse"] for row in rows],
        "/ PCA": [row["times_pca"] for row in rows],
        "5-NN": [row["knn_accuracy"] for row in rows],
        "seconds": [row["seconds"] for row in rows],
    }
    caption = (
        "On the test split. Active: latents of an image that are not zero, L0 (sigmoid codes: "
        "above 0.1). Dead: share of latents that no test image uses. MSE: "
        "squared error per pixel, pixels in [0, 1]; / PCA: over that of PCA with "
        f"{BUDGET} dimensions. 5-NN: share of test digits named right by the 5 nearest training "
        "codes. Seconds: time in training steps."
    )
    return Section(
        "In one table",
        (
            f"Data: {dataset.name}, {dataset.source}; {sizes} images of 8 x 8 grey pixels.",
            f"Every model describes an image with about {BUDGET} numbers: {BUDGET} latents, or, "
            f"where the code is sparse, some {BUDGET} active ones among 64 (a sparse code also "
            "says which ones, so it carries more). Beside them stands PCA with "
            f"{BUDGET} dimensions, the best that a linear code of that size can do. One seed "
            "each: small differences mean nothing.",
            " ".join(f"{name} {words}" for name, words in asked(rows)),
        ),
        (ReportTable(Table(columns), caption),),
    )


def _together(folder: Path) -> Section:
    pictures = [
        _picture(
            folder / COMPARISON / "comparison.png",
            "Bars: the models. Diamonds: PCA with as many dimensions as the model has latents.",
        ),
        _picture(
            folder / COMPARISON / "codes.png",
            "The codes of all models, held to one measure: values, single codes, firing rates.",
        ),
    ]
    return Section("Side by side", (), (), [p for p in pictures if p is not None])


def _of(member: Member, run: Run) -> Section:
    text = [member.words, "The objective: " + "; ".join(run.model.describe()) + "."]
    verdict = run.metrics["test"].verdict
    if verdict is not None:
        text.append(f"Against PCA with as many dimensions: {verdict}")
    place = run.folder / "figures" if run.folder is not None else Path()
    names = _SHOWN.get(member.name, ("reconstructions",))
    pictures = [_picture(place / f"{name}.png", _PICTURES[name]) for name in names]
    return Section(member.name, text, (), [p for p in pictures if p is not None])


def _picture(path: Path, caption: str) -> ReportPicture | None:
    """Take a figure that was written, with the words that it carries."""
    from PIL import Image

    if not path.is_file():
        return None  # one that could not be drawn from these data
    png = path.read_bytes()
    with Image.open(io.BytesIO(png)) as image:
        alt = str(image.info.get("Description", caption))
    return ReportPicture(png, alt, caption)


def _elsewhere(folder: Path) -> str:
    return (
        f"Each run under {folder / 'runs'} holds its settings, weights, history, metrics and all "
        "its figures with their numbers as CSV."
    )
