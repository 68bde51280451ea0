"""From rows of a pair table to what a model is given: items changed at random, views, factors."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from isthmus.data.modalities.audio import AudioAdapter
from isthmus.data.modalities.augment import SoundChanger, augment_images
from isthmus.data.modalities.image import ImageAdapter
from isthmus.data.multimodal import MultimodalData
from isthmus.data.multimodal.dataset import Numbers
from isthmus.models.multimodal.rows import Rows
from isthmus.training.multimodal.config import MultimodalTraining

__all__ = ["Feed"]

Changer = Callable[[Tensor, torch.Generator], Tensor]


class Feed:
    """Rows of a data set as a model takes them.

    Pictures are replaced by changed ones: shift and slant are style, and private codes may carry
    them; where most have no label, another changed one is the second view. Sounds keep their
    clean form, which is what decoders are held to, and a changed one stands beside it as a second
    view, for objectives that use views; for others, half of the sounds are changed ones.

    Parameters
    ----------
    data
        The data set.
    config
        How far items are changed.
    views
        Whether the objective uses second views.
    device
        Where batches go.
    """

    def __init__(
        self,
        data: MultimodalData,
        config: MultimodalTraining,
        *,
        views: bool,
        device: torch.device,
    ) -> None:
        self.data, self.config, self.views, self.device = data, config, views, device
        # changes are made on the CPU, where the items are, whatever the device
        self.pictures: dict[str, Changer] = {}
        self.sounds: dict[str, Changer] = {}
        for name, modality in data.modalities.items() if config.augment else ():
            if isinstance(modality.adapter, AudioAdapter):
                self.sounds[name] = SoundChanger(modality.adapter, config.sound)
            elif isinstance(modality.adapter, ImageAdapter):
                self.pictures[name] = self._picture
        self._factors = {
            factor: {
                name: torch.from_numpy(modality.factors[factor])
                for name, modality in data.modalities.items()
                if factor in modality.factors
            }
            for factor in dict.fromkeys(f for m in data.modalities.values() for f in m.factors)
        }

    def _picture(self, batch: Tensor, generator: torch.Generator) -> Tensor:
        return augment_images(batch, generator, self.config.image).clamp_(0, 1)

    def rows(self, table: Numbers, generator: torch.Generator | None) -> Rows:
        """Return rows of a table, changed at random where a generator is given."""
        batch = self.data.batch(table)
        items, views = dict(batch.items), {}
        if generator is not None:
            for name, change in self.pictures.items():
                # pictures that nobody labelled have but each other to learn from
                if self.views and self.data.hide_unpaired:
                    views[name] = self._changed(items[name], batch.mask[name], change, generator)
                items[name] = self._changed(items[name], batch.mask[name], change, generator)
            for name, change in self.sounds.items():
                changed = self._changed(items[name], batch.mask[name], change, generator)
                if self.views:
                    views[name] = changed
                else:
                    half = torch.rand(len(changed), generator=generator) < 0.5
                    items[name] = torch.where(half.view(-1, 1, 1, 1), changed, items[name])
        return Rows(
            self._placed(items),
            {k: v.to(self.device) for k, v in batch.mask.items()},
            batch.labels.to(self.device),
            self._placed(views),
            self._named(batch.rows),
        )

    @staticmethod
    def _changed(x: Tensor, there: Tensor, change: Changer, generator: torch.Generator) -> Tensor:
        """Change the items that are there; what is missing stays zeros."""
        if bool(there.all()):
            return change(x, generator)
        if not bool(there.any()):
            return x
        out = x.clone()
        out[there] = change(x[there], generator)
        return out

    def _placed(self, items: Mapping[str, Tensor]) -> dict[str, Tensor]:
        placed = {}
        for name, value in items.items():
            value = value.to(self.device)
            if value.ndim == 4 and self.config.channels_last:
                value = value.contiguous(memory_format=torch.channels_last)
            placed[name] = value
        return placed

    def _named(self, rows: Tensor) -> dict[str, dict[str, Tensor]]:
        """Return what is known of the rows' items, by factor and modality."""
        found: dict[str, dict[str, Tensor]] = {}
        for factor, by in self._factors.items():
            found[factor] = {}
            for name, values in by.items():
                index = rows[:, self.data.names.index(name)]
                known = values[index.clamp_min(0)]
                known = torch.where(index >= 0, known, known.new_tensor(-1))
                found[factor][name] = known.to(self.device)
        return found
