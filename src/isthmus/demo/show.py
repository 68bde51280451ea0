"""Train, measure, compare; index, search and ask; cross modalities: what `isthmus demo` does."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from isthmus.demo.members import BUDGET, DATA, MEMBERS, Member
from isthmus.demo.place import COMPARISON, REPORT, prepared
from isthmus.demo.report import page
from isthmus.demo.space import EPOCHS, SpaceDemo, space_demo
from isthmus.demo.texts import DOCUMENTS, Stage, TextDemo, text_demo
from isthmus.files import write_text

if TYPE_CHECKING:
    from isthmus.data import Dataset
    from isthmus.runs import Run
    from isthmus.training import Watch

__all__ = ["Demo", "demo"]

Watched = Callable[[str], "contextlib.AbstractContextManager[Watch | None]"]


@dataclass(frozen=True)
class Demo:
    """What the demonstration made."""

    folder: Path
    """Where everything is."""
    report: Path
    """The page to look at."""
    rows: tuple[dict[str, Any], ...]
    """PCA first, then a row a model: ``name``, ``latent``, ``l0``, ``dead_fraction``,
    ``mean_activation``, ``mse``, ``times_pca`` (error over that of PCA with 8 dimensions),
    ``knn_accuracy``, ``nll``, ``seconds`` and ``asked`` (the metric that was to reach a value, and
    the value); None where one has no meaning."""
    runs: tuple[Path, ...]
    """Folders of the runs."""
    seconds: float
    """Time that it all took."""
    texts: TextDemo | None = None
    """The second part; None: it was not asked for."""
    space: SpaceDemo | None = None
    """The third part; None: it was not asked for."""

    def as_json(self) -> dict[str, Any]:
        """Return the result as JSON values."""
        return {
            "folder": str(self.folder),
            "report": str(self.report),
            "data": DATA,
            "models": [dict(row) for row in self.rows],
            "runs": [str(run) for run in self.runs],
            "seconds": self.seconds,
            "texts": None if self.texts is None else self.texts.as_json(),
            "space": None if self.space is None else self.space.as_json(),
        }


def demo(
    out: str | Path = "demo",
    *,
    watched: Watched | None = None,
    members: Sequence[Member] = MEMBERS,
    overrides: Mapping[str, Any] | None = None,
    documents: int = DOCUMENTS,
    embedder: str = "",
    stage: Stage | None = None,
    space_epochs: int = EPOCHS,
) -> Demo:
    """Train six autoencoders on ``digits``, index texts, join pictures, sounds and words.

    The models are compared with PCA and with each other, in a report; of the texts, the
    documentation of the installed packages, it shows named concepts, a search, the same search
    steered, and an answer; in the shared space it retrieves and translates.

    Parameters
    ----------
    out
        Folder for it all; one that an earlier demonstration made is made anew.
    watched
        Given a model's name, returns a context manager that yields what is told of its training.
    members, overrides
        Which models, and settings for all of them; meant for tests.
    documents
        Documents of the second part; 0 leaves it out.
    embedder, stage
        As for `isthmus.demo.texts.text_demo`.
    space_epochs
        Epochs of the third part; 0 leaves it out.

    Raises
    ------
    RunError
        If the folder holds something else, or can't be written.
    """
    from isthmus.data import load
    from isthmus.runs.compare import compare

    start = time.monotonic()
    folder = prepared(Path(out))
    with _one_thread():
        dataset = load(DATA)
        runs = []
        for member in members:
            with (watched or _unwatched)(member.name) as watch:
                runs.append(_trained(member, folder, watch, overrides or {}))
        compared = compare(runs)
        compared.save(folder / COMPARISON)
        rows = (_pca_row(dataset), *map(_row, members, runs))
        first = rows[0]["mse"]
        rows = tuple(row | {"times_pca": row["mse"] / first} for row in rows)
        write_text(folder / REPORT, page(members, runs, rows, folder, dataset))
    places = tuple(run.folder for run in runs if run.folder is not None)
    texts = None
    if documents:
        texts = text_demo(folder, documents=documents, embedder=embedder, stage=stage)
    space = None
    if space_epochs:
        with _one_thread(), (watched or _unwatched)("pictures, sounds, words") as watch:
            space = space_demo(folder, epochs=space_epochs, watch=watch)
    return Demo(folder, folder / REPORT, rows, places, time.monotonic() - start, texts, space)


@contextlib.contextmanager
def _unwatched(name: str) -> Iterator[None]:
    yield None


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """Use one thread for a while: these models are too small for two to be of help."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _trained(
    member: Member, folder: Path, watch: Watch | None, overrides: Mapping[str, Any]
) -> Run:
    from isthmus.runs.training import carry_out, job_for

    job = job_for(member.preset, DATA, **{**member.settings, **overrides})
    return carry_out(job, folder / "runs" / member.name, watch=watch)


def _pca_row(dataset: Dataset) -> dict[str, Any]:
    """Measure PCA itself with 8 dimensions, as every model is measured."""
    from isthmus.data import Preprocessing
    from isthmus.metrics import PCABaseline, knn_accuracy

    scaled = Preprocessing.fit(dataset["train"], dataset.kind, range=dataset.range)
    train, test = (scaled(dataset[split].all()).numpy() for split in ("train", "test"))
    pca = PCABaseline.fit([train], BUDGET, seed=0)
    error = float(((pca.reconstruct(test, BUDGET) - test) ** 2).mean(dtype="float64"))
    codes = pca.encode(train, BUDGET), pca.encode(test, BUDGET)
    known, asked = dataset["train"].label_array(), dataset["test"].label_array()
    near = None
    if known is not None and asked is not None:
        near = knn_accuracy(codes[0], known, codes[1], asked).accuracy
    return {
        "name": f"PCA, {BUDGET} dimensions",
        "latent": BUDGET,
        "l0": float(BUDGET),
        "dead_fraction": None,
        "mean_activation": None,
        "mse": error,
        "knn_accuracy": near,
        "nll": None,
        "seconds": None,
        "asked": None,
    }


def _row(member: Member, run: Run) -> dict[str, Any]:
    test = run.metrics["test"]
    return {
        "name": run.name,
        "latent": run.model.latent,
        "l0": test.l0,
        "dead_fraction": test.dead_fraction,
        "mean_activation": test.mean_activation,
        "mse": test.mse,
        "knn_accuracy": test.knn_accuracy,
        "nll": test.nll,
        "seconds": sum(run.history["seconds"]),
        "asked": member.asked,
    }
