"""The figures of a run of several modalities, drawn from its data and its numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from isthmus import figures
from isthmus.errors import DataError, IsthmusError
from isthmus.figures import Picture
from isthmus.figures.multimodal import Found, Strip, retrieval_examples, translation_grid
from isthmus.figures.multimodal_curves import (
    contribution_bars,
    modality_losses,
    robustness_curves,
)
from isthmus.figures.multimodal_map import joint_map
from isthmus.metrics.multimodal import cosines, leave_one_out
from isthmus.models.multimodal.mixture_use import translations
from isthmus.runs.multimodal.subject import spread

if TYPE_CHECKING:
    from isthmus.data.multimodal.dataset import Batch
    from isthmus.runs.multimodal.run import MultimodalRun

__all__ = ["MultimodalFigures", "examples_of", "strip_of"]

Labels = NDArray[np.int64]
_COLUMNS, _TOP, _MAPPED = 10, 5, 400
_DRAWN = ("image", "audio", "text", "sentence")


def examples_of(run: MultimodalRun, most: int = _COLUMNS) -> dict[str, Labels]:
    """Return test items to show, by modality, that belong together row by row.

    One row of the test table for each class, or its first rows where there are no classes.
    """
    table = run.data.table("test")
    table = table[(table >= 0).all(axis=1)]
    labels = run.data.row_labels(table)
    if len(table) and labels.max() >= 0:
        _, first = np.unique(labels[labels >= 0], return_index=True)
        table = table[np.flatnonzero(labels >= 0)[first]]
    if not len(table):
        raise DataError("no row of the test split has every modality", where=run.data.name)
    return {name: table[:most, i] for i, name in enumerate(run.data.names)}


def strip_of(run: MultimodalRun, name: str, items: Tensor, title: str) -> Strip:
    """Return items of a modality as a row of a figure; vectors stand as small grey rows."""
    kind = run.adapter(name).kind
    if kind in ("image", "audio"):
        return Strip(title, kind, items.detach().cpu().numpy())
    if kind in ("text", "sentence"):
        return Strip(title, "text", [str(text) for text in run.adapter(name).inverse(items)])
    flat = items.detach().cpu().numpy().reshape(len(items), 1, 1, -1)
    return Strip(title, "image", np.repeat(flat, 4, axis=2))


class MultimodalFigures:
    """Draws a run's figures; each method returns a :class:`~isthmus.figures.Picture`."""

    def __init__(self, run: MultimodalRun) -> None:
        self.run = run

    def losses(self) -> Picture:
        """Draw the loss and its terms over the epochs."""
        columns = self.run.history.as_columns()
        return figures.loss_curves(columns, best=len(self.run.history) or None)

    def modality_losses(self) -> Picture:
        """Draw each modality's nats per dimension and what is explained of it."""
        return modality_losses(self.run.history.as_columns())

    def translations(self) -> Picture:
        """Draw one test item of each class in every modality, and what it becomes in the others."""
        run, rows = self.run, examples_of(self.run)
        strips: list[Strip] = []
        given: list[int] = []
        for name, chosen in rows.items():
            items = run.data[name].items[torch.from_numpy(chosen)]
            given.append(len(strips))
            strips.append(strip_of(run, name, items, f"{name}, given"))
            for to in (other for other in rows if other != name):
                if run.mixture is None:
                    made = run.model.translate({name: items}, to)
                else:
                    made = translations(run.model, run.mixture, {name: items}, to).items[:, 0]
                strips.append(strip_of(run, to, made, f"to {to}"))
        first = next(iter(rows))
        labels = run.data[first].labels[rows[first]]
        names = [run.class_name(int(n)) or str(i) for i, n in enumerate(labels)]
        return translation_grid(strips, names, given)

    def joint_map(self) -> Picture:
        """Draw the shared codes of test items on a map, by modality and by class."""
        run = self.run
        codes, kinds, names = [], [], []
        for name, modality in run.data.modalities.items():
            rows = spread(modality.rows("test"), _MAPPED)
            codes.append(run.gallery(name, rows).numpy())
            kinds += [name] * len(rows)
            names += [run.class_name(int(n)) or "unknown" for n in modality.labels[rows]]
        labels = names if set(names) - {"unknown"} else None
        return joint_map(np.concatenate(codes), kinds, labels, class_names=run.classes)

    def retrieval_examples(self) -> Picture:
        """Draw the best test items of another modality for a few queries."""
        run, rows = self.run, examples_of(self.run)
        found = []
        for at, (name, to) in enumerate((a, b) for a in rows for b in rows if a != b):
            item = int(rows[name][at % len(rows[name])])
            label = int(run.data[name].labels[item])
            gallery = run.data[to].rows("test")
            scores = cosines(run.gallery(name, np.array([item])), run.gallery(to, gallery))[0]
            order = np.argsort(-scores, kind="stable")[:_TOP]
            hits = gallery[order]
            found.append(
                Found(
                    strip_of(
                        run,
                        name,
                        run.data[name].items[item : item + 1],
                        f"{name} {run.class_name(label) or item}",
                    ),
                    strip_of(run, to, run.data[to].items[torch.from_numpy(hits)], to),
                    (run.data[to].labels[hits] == label).tolist(),
                    scores[order].tolist(),
                )
            )
        most = min(len(one.hits) for one in found)
        return retrieval_examples([_first(one, most) for one in found])

    def robustness(self) -> Picture:
        """Draw what missing test items cost.

        Raises
        ------
        DataError
            If that was not measured.
        """
        part = self._part("robustness")
        curves = {
            "class probe of the joint code": part["probe"],
            "share filled in with the right class": part["completion"],
        }
        chance = 1 / max(len(self.run.classes), 2)
        return robustness_curves(part["rates"], curves, references={"chance": chance})

    def contributions(self) -> Picture:
        """Draw who contributes to the joint code, by class.

        Each modality's share of the joint posterior's precision; where modalities count alike,
        as in a mean, how far the joint code moves when one is left out.

        Raises
        ------
        DataError
            If they count alike and there are only two: then there is nothing to see.
        """
        run = self.run
        table = run.data.table("test")
        table = spread(table[(table >= 0).all(axis=1)], 2000)
        labels = run.data.row_labels(table)
        batch = run.data.batch(table)
        codes = run.model.encode(batch.items, batch.mask)
        shares = {name: share.double().cpu().numpy() for name, share in codes.weight.items()}
        across = "share of the joint code's precision"
        if all(np.allclose(share, 1 / len(shares)) for share in shares.values()):
            shares = leave_one_out(codes.shared, self._without(batch))
            across = "share of the joint code's movement when one is left out"
        groups = {run.class_name(int(c)) or "unknown": labels == c for c in np.unique(labels)}
        groups = groups | {"all": np.ones(len(labels), bool)} if len(groups) < 21 else {}
        groups = groups or {"all": np.ones(len(labels), bool)}
        return contribution_bars(
            {
                row: {name: float(share[where].mean()) for name, share in shares.items()}
                for row, where in groups.items()
            },
            across,
        )

    def _without(self, batch: Batch) -> dict[str, Tensor]:
        """Return by modality the joint codes of rows without it."""
        found = {}
        for name in batch.items:
            rest = {other: x for other, x in batch.items.items() if other != name}
            mask = {other: batch.mask[other] for other in rest}
            found[name] = self.run.model.encode(rest, mask).shared
        return found

    def _part(self, name: str) -> Any:
        found = None if self.run.report is None else getattr(self.run.report, name)
        if not found:
            raise DataError(f"there is no {name} to draw", fix="measure the run first")
        return found

    def all(self) -> Iterator[tuple[str, Picture]]:
        """Draw every figure that can be drawn, with its name."""
        for draw in self._suitable():
            try:
                yield draw.__name__, draw()
            except IsthmusError:  # nothing to draw: not measured, or too few items
                continue

    def _suitable(self) -> list[Callable[[], Picture]]:
        always = [self.translations, self.retrieval_examples, self.joint_map]
        rest = [self.robustness, self.contributions, self.modality_losses, self.losses]
        return [*always, *rest] if len(self.run.model.names) > 1 else [self.modality_losses]

    def save(self, folder: Path) -> list[Path]:
        """Write every figure as PNG with its numbers as CSV; return the PNGs."""
        return [picture.save(folder, name)[0] for name, picture in self.all()]


def _first(found: Found, count: int) -> Found:
    hits = Strip(found.hits.title, found.hits.kind, found.hits.items[:count])
    return Found(found.query, hits, found.right[:count], found.scores[:count])
