"""A joint mixture put to work on a model: its codes in, items out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from isthmus.data.multimodal import MultimodalData
from isthmus.errors import ConfigError
from isthmus.models.multimodal.codes import Codes
from isthmus.models.multimodal.joint_mixture import JointMixture
from isthmus.models.multimodal.mixture_fitting import MixtureFit, fit_mixture
from isthmus.models.multimodal.mixture_parts import drawn
from isthmus.models.multimodal.model import MultimodalAutoencoder
from isthmus.models.multimodal.reading_back import Reader, read_back

__all__ = ["Translations", "belongs", "blocks_of", "fit_to", "imagine", "translations"]

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Translations:
    """Items of one modality for each of n given rows."""

    items: Tensor
    """(n, samples, *shape)."""
    weights: Array
    """Weight of each component in each row, (n, K)."""
    classes: NDArray[np.int64]
    """Class of each component, -1: none."""
    entropy: Array
    """How unsure each row is of its component, in nats, (n,)."""
    deviation: Array
    """Mean standard deviation of the target's shared code, (n,)."""


def blocks_of(
    codes: Codes, names: Sequence[str] | None = None
) -> tuple[dict[str, NDArray[np.float32]], dict[str, NDArray[np.bool_]]]:
    """Return codes as the blocks of a mixture, ``NAME/shared`` and ``NAME/private``, and masks."""
    blocks, masks = {}, {}
    for name in codes.each if names is None else names:
        parts = {"shared": codes.each[name]}
        if name in codes.private and codes.private[name].shape[1]:
            parts["private"] = codes.private[name]
        for part, value in parts.items():
            blocks[f"{name}/{part}"] = value.cpu().numpy()
            masks[f"{name}/{part}"] = codes.mask[name].cpu().numpy()
    return blocks, masks


def fit_to(
    model: MultimodalAutoencoder,
    data: MultimodalData,
    config: MixtureFit | None = None,
    *,
    rows: int = 20_000,
    seed: int = 0,
) -> JointMixture:
    """Fit a joint mixture to the codes of training rows, and of nothing else.

    Parameters
    ----------
    rows
        Most rows of the first epoch's table that are used.
    """
    data = data.only(model.names)
    table = data.table("train", seed, 0)[:rows]
    codes = []
    for start in range(0, len(table), 1024):
        batch = data.batch(table[start : start + 1024])
        codes.append(blocks_of(model.encode(batch.items, batch.mask)))
    blocks = {name: np.concatenate([c[0][name] for c in codes]) for name in codes[0][0]}
    masks = {name: np.concatenate([c[1][name] for c in codes]) for name in codes[0][1]}
    return fit_mixture(blocks, masks, data.row_labels(table), config, seed)


def translations(
    model: MultimodalAutoencoder,
    mixture: JointMixture,
    items: Mapping[str, Tensor],
    to: str,
    *,
    samples: int = 0,
    style: Tensor | None = None,
    seed: int = 0,
    checked: bool = True,
) -> Translations:
    """Translate items by the mixture's conditional distribution of the target's codes.

    Parameters
    ----------
    items
        By modality, (n, *shape); every row has all of them.
    to
        The modality wanted; it may not be given.
    samples
        Draws a row, of shared and private code; 0: one item, from the mean of the likeliest
        component.
    style
        Items of modality ``to``, one or n, whose private codes are kept.
    checked
        Whether draws are read back by the model, and drawn again where it does not clearly find
        the class that was meant; see :func:`~isthmus.models.multimodal.reading_back.read_back`.

    Raises
    ------
    ConfigError
        If the target is unknown or given.
    """
    model.channel(to)
    if to in items:
        raise ConfigError(f"{to!r} is given and wanted", fix="give other modalities only")
    given, _ = blocks_of(model.encode(items), tuple(items))
    wanted = [name for name in mixture.widths if name.startswith(f"{to}/")]
    found = mixture.conditional(given, wanted)
    count, each = len(found.weights), max(samples, 1)
    kept = None
    if style is not None:
        kept = model.encode({to: style}).private.get(to)
    if kept is not None:
        kept = kept.expand(count, -1).repeat_interleave(each, 0)
    if not samples:
        out = _decoded(model, to, found.best(), kept)
    else:
        generator = np.random.default_rng(seed)
        picks = drawn(found.weights, samples, generator)
        out = _decoded(model, to, found.draw(picks, generator), kept)
        if checked:
            flat = picks.reshape(-1)

            def again(rows: NDArray[np.intp]) -> dict[str, Tensor]:
                values = found.take(rows // each).draw(flat[rows, None], generator)
                private = None if kept is None else kept[torch.from_numpy(rows)]
                return {to: _decoded(model, to, values, private)}

            out = read_back(Reader(model, mixture), {to: out}, flat, again)[to]
    return Translations(
        out.reshape(count, each, *out.shape[1:]),
        found.weights,
        mixture.labels,
        found.entropy(),
        found.deviation()[f"{to}/shared"].mean(1),
    )


def _decoded(
    model: MultimodalAutoencoder, to: str, values: Mapping[str, Array], kept: Tensor | None
) -> Tensor:
    """Return the items of codes, flat; private codes are those that are kept, or the values'."""
    parts = {
        part: torch.from_numpy(values[f"{to}/{part}"]).float().flatten(0, -2)
        for part in ("shared", "private")
        if f"{to}/{part}" in values
    }
    private = parts.get("private") if kept is None else kept
    return model.decode(parts["shared"], None if private is None else {to: private}, [to])[to]


def imagine(
    model: MultimodalAutoencoder,
    mixture: JointMixture,
    count: int,
    seed: int = 0,
    checked: bool = True,
) -> dict[str, Tensor]:
    """Draw joint rows and return the items of every modality, (count, *shape).

    Parameters
    ----------
    checked
        Whether rows are read back by the model, and drawn again where it does not clearly find
        the class that was meant in every item.
    """
    generator = np.random.default_rng(seed)
    picks = drawn(mixture.weights[None], count, generator)[0]

    def made(rows: NDArray[np.intp]) -> dict[str, Tensor]:
        values = mixture.draw(picks[rows], generator)
        return {name: _decoded(model, name, values, None) for name in model.names}

    items = made(np.arange(count))
    return read_back(Reader(model, mixture), items, picks, made) if checked else items


def belongs(
    model: MultimodalAutoencoder,
    mixture: JointMixture,
    one: Mapping[str, Tensor],
    other: Mapping[str, Tensor],
) -> Array:
    """Return for each row how much likelier its items are together than apart, in nats, (n,).

    Private codes say nothing of what belongs together, and are left out.
    """
    sides = []
    for items in (one, other):
        blocks, _ = blocks_of(model.encode(items), tuple(items))
        sides.append({name: v for name, v in blocks.items() if name.endswith("/shared")})
    return mixture.belongs(sides[0], sides[1])
