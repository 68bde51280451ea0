"""What a multimodal model is given: items by modality, and which of them are there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from isthmus.errors import ConfigError, DataError

__all__ = ["Rows"]


@dataclass(frozen=True, eq=False)
class Rows:
    """A batch of rows; every modality of the model has its tensor and its mask."""

    items: Mapping[str, Tensor]
    """By modality, shape (B, *shape); what is missing may hold anything finite, and is not read."""
    mask: Mapping[str, Tensor]
    """By modality, shape (B,), bool: whether the item is there."""
    labels: Tensor
    """Class of each row, shape (B,), int64; -1: unknown."""
    views: Mapping[str, Tensor] = field(default_factory=dict)
    """A second look at the same items, changed at random, for the modalities that have one."""
    factors: Mapping[str, Mapping[str, Tensor]] = field(default_factory=dict)
    """What else is known of the items, by factor and modality: int64 (B,), -1 unknown."""

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def there(self) -> Tensor:
        """How many modalities each row has, shape (B,), float."""
        return torch.stack([m.float() for m in self.mask.values()]).sum(0)

    def take(self, index: Tensor) -> Rows:
        """Return some of the rows."""
        return Rows(
            {k: v[index] for k, v in self.items.items()},
            {k: v[index] for k, v in self.mask.items()},
            self.labels[index],
            {k: v[index] for k, v in self.views.items()},
            {f: {k: v[index] for k, v in by.items()} for f, by in self.factors.items()},
        )


def rows_from(
    items: Mapping[str, Tensor],
    mask: Mapping[str, Tensor] | None,
    shapes: Mapping[str, tuple[int, ...]],
    symbols: frozenset[str],
    device: torch.device,
) -> Rows:
    """Return checked rows; modalities that were not given are missing in every row.

    Raises
    ------
    ConfigError
        If a modality is not the model's, or none is given.
    DataError
        If shapes or lengths differ, or a value that is there isn't finite.
    """
    unknown = sorted(set(items) | set(mask or {}) - set(items), key=str)
    unknown = [name for name in unknown if name not in shapes]
    if unknown or not items:
        what = f"the model has no modality {unknown[0]!r}" if unknown else "no modality is given"
        raise ConfigError(what, fix=f"it has: {', '.join(shapes)}")
    lengths = {len(value) for value in items.values()}
    if len(lengths) != 1:
        raise DataError("the modalities' items differ in number", why=f"{sorted(lengths)}")
    count = lengths.pop()
    found: dict[str, Tensor] = {}
    masks: dict[str, Tensor] = {}
    for name, shape in shapes.items():
        kind = torch.int64 if name in symbols else torch.float32
        if name not in items:
            found[name] = torch.zeros(count, *shape, dtype=kind, device=device)
            masks[name] = torch.zeros(count, dtype=torch.bool, device=device)
            continue
        value = torch.as_tensor(items[name]).to(device)
        if tuple(value.shape[1:]) != shape:
            raise DataError(
                f"items of {name!r} have the shape {tuple(value.shape[1:])}, and the model's "
                f"{shape}",
                fix="transform them with the adapter that the model was made for",
            )
        if name in symbols and value.is_floating_point():
            raise DataError(f"items of {name!r} are symbols, and so whole numbers")
        there = _mask_of(name, mask, count, device)
        value = value.to(kind)
        if not bool(there.all()):
            blank = there.view(-1, *(1 for _ in shape))
            value = torch.where(blank, value, torch.zeros((), dtype=kind, device=device))
        if kind is torch.float32 and not bool(value.isfinite().all()):
            raise DataError(f"items of {name!r} hold NaN or infinite values")
        found[name], masks[name] = value, there
    return Rows(found, masks, torch.full((count,), -1, dtype=torch.int64, device=device))


def _mask_of(
    name: str, mask: Mapping[str, Tensor] | None, count: int, device: torch.device
) -> Tensor:
    if mask is None or name not in mask:
        return torch.ones(count, dtype=torch.bool, device=device)
    there = torch.as_tensor(mask[name]).to(device)
    if tuple(there.shape) != (count,) or there.dtype != torch.bool:
        raise DataError(
            f"the mask of {name!r} must be {count} truth values",
            why=f"it is {tuple(there.shape)} of {there.dtype}",
        )
    return there
