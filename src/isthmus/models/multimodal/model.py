"""The multimodal autoencoder: several hourglasses that share one waist."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from os import PathLike
from typing import Any

import torch
from torch import Tensor, nn

from isthmus.errors import ConfigError, DataError
from isthmus.models.autoencoder import Terms, evaluating
from isthmus.models.multimodal.aligned import Aligned
from isthmus.models.multimodal.channel import Channel, sizes_of
from isthmus.models.multimodal.codes import Codes, joined
from isthmus.models.multimodal.modality import Modality
from isthmus.models.multimodal.objective import Joining, Objective, Pass, heads_of
from isthmus.models.multimodal.rows import Rows, rows_from
from isthmus.networks.base import Halves, Sizes

__all__ = ["MultimodalAutoencoder"]


class MultimodalAutoencoder(nn.Module):
    """Any modalities, any networks, joined by any objective.

    Parameters
    ----------
    modalities
        Their descriptions; at least one.
    objective
        How they are joined; default ``Aligned()``.
    halves
        The user's own encoder and decoder of the modalities whose network is None: (B, *shape)
        to (B, encoded) and (B, latent) to (B, *output), see :meth:`sizes`. They are given again
        when the model is loaded.
    seed
        Seed of the initial weights; the global random state is left alone.

    Raises
    ------
    ConfigError
        If names repeat, or the parts don't fit each other.

    Examples
    --------
    >>> from isthmus.networks import MLP
    >>> model = MultimodalAutoencoder(
    ...     [Modality("left", (6,), MLP((8,)), private=2), Modality("right", (4,), MLP((8,)))]
    ... )
    >>> codes = model.encode({"left": torch.zeros(3, 6)})
    >>> codes.shared.shape, codes.private["left"].shape, codes.weight["right"]
    (torch.Size([3, 32]), torch.Size([3, 2]), tensor([0., 0., 0.]))
    >>> model.decode(codes.shared)["right"].shape
    torch.Size([3, 4])
    """

    def __init__(
        self,
        modalities: Iterable[Modality],
        objective: Objective | None = None,
        *,
        halves: Mapping[str, Halves | tuple[nn.Module, nn.Module]] | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        given = tuple(modalities)
        self.modalities = {m.name: m for m in given}
        if not given or len(self.modalities) != len(given):
            raise ConfigError("a model needs modalities, each with a name of its own")
        own = dict(halves or {})
        if set(own) - set(self.modalities):
            raise ConfigError(f"halves are given for {sorted(set(own) - set(self.modalities))}")
        self.objective: Objective = objective if objective is not None else Aligned()
        self.seed = seed
        self.frozen: frozenset[str] = frozenset()
        self._channels = nn.ModuleDict()
        for name, modality in self.modalities.items():
            pair = Halves(*own[name]) if name in own else None
            # a dict of modules takes no name that is also one of its methods
            self._channels[_key(name)] = Channel(modality, self.sizes(name), pair, seed)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.joining: Joining = self.objective.build(given)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the modalities."""
        return tuple(self.modalities)

    @property
    def channels(self) -> dict[str, Channel]:
        """Encoder, decoder and readout of each modality."""
        return {name: self.channel(name) for name in self.modalities}

    def channel(self, name: str) -> Channel:
        """Return the part of the model that belongs to a modality.

        Raises
        ------
        ConfigError
            If the model has no such modality.
        """
        if name not in self.modalities:
            raise ConfigError(
                f"the model has no modality {name!r}",
                fix=f"it has: {', '.join(self.modalities)}",
            )
        channel = self._channels[_key(name)]
        if not isinstance(channel, Channel):
            raise TypeError(f"the modality {name!r} was replaced by a {type(channel).__name__}")
        return channel

    def sizes(self, name: str) -> Sizes:
        """Return the sizes that the halves of a modality must fit."""
        modality = self.modalities[name]
        width = self.objective.width(modality)
        return sizes_of(modality, width.encoded, width.latent)

    @property
    def shared(self) -> int:
        """Width of the shared code."""
        return self.objective.shared

    @property
    def parameters_count(self) -> int:
        """Number of trained parameters."""
        return sum(p.numel() for p in self.parameters() if p.requires_grad)

    @property
    def device(self) -> torch.device:
        """Where the model's tensors are."""
        return next(self.parameters()).device

    def train(self, mode: bool = True) -> MultimodalAutoencoder:
        """Put the model in training mode, but for channels that are frozen."""
        super().train(mode)
        for name in self.frozen:
            self.channel(name).eval()
        return self

    def freeze(self, names: Iterable[str]) -> None:
        """Let nothing learn but the channels of other modalities; none frozen: everything learns.

        What is frozen stays in evaluation mode too: its normalisations remember nothing new.
        """
        self.frozen = frozenset(names)
        free = {_key(name) for name in self.modalities if name not in self.frozen}
        for name, parameter in self.named_parameters():
            parameter.requires_grad_(not self.frozen or not free.isdisjoint(name.split(".")))

    # --- what training uses ------------------------------------------------------------------

    def terms(self, rows: Rows, generator: torch.Generator | None = None) -> Terms:
        """Return the loss's terms for a batch, each (B,)."""
        return self.passed(rows, generator).terms

    def passed(self, rows: Rows, generator: torch.Generator | None = None) -> Pass:
        """Return the terms of a batch and the codes behind them, with gradients."""
        return self.joining.passed(self.channels, rows, generator)

    def codes(self, rows: Rows) -> Codes:
        """Return the deterministic codes of checked rows, with gradients."""
        return self.joining.codes(heads_of(self.channels, rows), rows.mask)

    def nll(
        self, rows: Rows, samples: int = 100, generator: torch.Generator | None = None
    ) -> Tensor:
        """Return -log p of what each row has, in nats without rescaling, (B,).

        An upper bound that tightens with the number of importance samples K:
        ``-log 1/K sum_k p(x, z_k) / q(z_k | x)``.

        Raises
        ------
        ConfigError
            If the objective has no posterior.

        Source: Burda, Grosse and Salakhutdinov, arXiv:1509.00519.
        """
        with evaluating(self), torch.no_grad():
            logs = self.joining.log_weights(self.channels, rows, samples, generator)
        return math.log(samples) - logs.logsumexp(0)

    # --- what users call ---------------------------------------------------------------------

    def encode(
        self,
        items: Mapping[str, Tensor],
        mask: Mapping[str, Tensor] | None = None,
        batch_size: int = 1024,
    ) -> Codes:
        """Return the codes of transformed items (B, *shape); any modalities may be missing.

        Parameters
        ----------
        items
            By modality; those left out are missing in every row.
        mask
            By modality, (B,) truth values: whether a row has the item; default: all.

        Returns
        -------
        Codes
            Deterministic; a row with nothing gives the prior.

        Raises
        ------
        ConfigError
            If a modality is not the model's, or none is given.
        DataError
            If shapes or lengths don't fit, or values that are there aren't finite.
        """
        rows = self.rows(items, mask)
        with evaluating(self), torch.no_grad():
            starts = range(0, max(len(rows), 1), batch_size)
            return joined([self.codes(_slice(rows, at, batch_size)) for at in starts])

    def decode(
        self,
        shared: Tensor,
        private: Mapping[str, Tensor] | None = None,
        to: Sequence[str] | None = None,
        batch_size: int = 1024,
    ) -> dict[str, Tensor]:
        """Return items (B, *shape) of some modalities for shared codes (B, Z).

        Parameters
        ----------
        private
            By modality, its private codes (B, W); default: the prior's mean.
        to
            The modalities wanted; default: all.
        """
        if shared.ndim != 2 or shared.shape[1] != self.shared:
            raise DataError(
                f"shared codes have the shape (rows, {self.shared}), not {tuple(shared.shape)}"
            )
        found: dict[str, Tensor] = {}
        with evaluating(self), torch.no_grad():
            for name in self.names if to is None else to:
                channel = self.channel(name)
                own = None if private is None else private.get(name)
                code = self.decoder_input(name, shared.to(self.device), own)
                parts = [channel.decoded(part) for part in code.split(batch_size)]  # type: ignore[no-untyped-call]
                found[name] = torch.cat(parts)
        return found

    def decoder_input(self, name: str, shared: Tensor, private: Tensor | None) -> Tensor:
        """Return what a decoder reads: shared codes (B, Z), then private ones or the prior's."""
        width = self.sizes(name).latent - self.shared
        if not width:
            return shared
        if private is None:
            private = self.joining.private_prior(name, shared)[0].expand(len(shared), -1)
        if tuple(private.shape) != (len(shared), width):
            raise DataError(
                f"private codes of {name!r} have the shape {(len(shared), width)}, not "
                f"{tuple(private.shape)}"
            )
        return torch.cat([shared, private.to(shared.device)], 1)

    def translate(
        self,
        items: Mapping[str, Tensor],
        to: str,
        *,
        style: Tensor | None = None,
        sample: bool = False,
        mask: Mapping[str, Tensor] | None = None,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Return items of modality ``to`` (B, *shape) that say what the given items say.

        Parameters
        ----------
        items, mask
            As for :meth:`encode`.
        style
            Items of modality ``to``, one or one a row, whose private code is kept: say this in
            that voice. Default: the prior's mean.
        sample
            Draw shared and private codes, instead of taking means. A joint mixture fitted
            afterwards draws better ones.
        generator
            What is drawn from.
        """
        codes = self.encode(items, mask)
        width = self.sizes(to).latent - self.shared if to in self.modalities else 0
        self.channel(to)  # says what there is if it is unknown
        shared = codes.sample(generator) if sample else codes.shared
        private: Tensor | None = None
        if style is not None and width:
            private = self.encode({to: style}).private[to].expand(len(codes), -1)
        elif sample and width:
            mean, deviation = self.joining.private_prior(to, shared)
            noise = torch.empty(len(codes), width, device=shared.device)
            private = mean + deviation * noise.normal_(generator=generator)
        return self.decode(shared, None if private is None else {to: private}, [to])[to]

    def similarity(self, left: Mapping[str, Tensor], right: Mapping[str, Tensor]) -> Tensor:
        """Return the cosines of the joint codes of items (B, B')."""
        return self.encode(left).similarity(self.encode(right))

    def rows(self, items: Mapping[str, Tensor], mask: Mapping[str, Tensor] | None = None) -> Rows:
        """Return checked rows of unknown class; see :meth:`encode`."""
        parts = self.modalities.items()
        symbols = frozenset(name for name, m in parts if m.is_symbols)
        rows = rows_from(items, mask, {n: m.shape for n, m in parts}, symbols, self.device)
        for name, there in rows.mask.items():
            if bool(there.any()):
                self.channel(name).readout.check(rows.items[name][there])
        return rows

    def describe(self) -> list[str]:
        """Return what the objective amounts to, in plain sentences."""
        own = [f"{name}: {part.readout.describe()}" for name, part in self.channels.items()]
        return own + self.joining.describe()

    def extra_repr(self) -> str:
        """Name the parts."""
        return f"{self.names}, {self.objective}"

    def save_pretrained(self, folder: str | PathLike[str]) -> None:
        """Write configuration, weights and a model card; see ``storage``."""
        from isthmus.models.multimodal import storage

        storage.save(self, folder)

    @classmethod
    def from_pretrained(cls, source: str | PathLike[str], **options: Any) -> MultimodalAutoencoder:
        """Load a model from a folder or a hub repository; see ``storage.load``."""
        from isthmus.models.multimodal import storage

        return storage.load(source, **options)

    def push_to_hub(self, repository: str, **options: Any) -> str:
        """Upload the model to a hub repository; see ``isthmus.models.storage.push``."""
        from isthmus.models.storage import push

        return push(self, repository, **options)


def _key(name: str) -> str:
    return f"of {name}"


def _slice(rows: Rows, start: int, size: int) -> Rows:
    return rows.take(torch.arange(start, min(start + size, len(rows)), device=rows.labels.device))
