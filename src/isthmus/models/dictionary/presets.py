"""Presets of sparse dictionaries: a name for every bottleneck, with settings that work."""

from __future__ import annotations

import dataclasses
import difflib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from isthmus.bottlenecks import (
    L1,
    AnyK,
    BatchTopK,
    Bottleneck,
    Contrastive,
    Gated,
    JumpReLU,
    KLSparse,
    Matryoshka,
    TopK,
)
from isthmus.configs import validated
from isthmus.errors import ConfigError
from isthmus.models.dictionary.model import Normalise, SparseDictionary

__all__ = ["DICTIONARY_PRESETS", "SPARSITY", "DictionaryPreset", "dictionary_preset"]

SPARSITY = 32
"""Active latents of a sample where nothing is asked for."""
_ONE_OF = ("weight", "l0", "mean_activation")
_LEAST = 16


@dataclass(frozen=True)
class DictionaryPreset:
    """A bottleneck for a sparse dictionary, and how it is trained."""

    name: str
    """The name on the command line."""
    summary: str
    """What it is, in a line."""
    bottleneck: Bottleneck
    """The bottleneck, with its own defaults."""
    training: Mapping[str, Any] = field(default_factory=dict)
    """Training settings that differ from the defaults."""
    normalise: Normalise = "none"
    """What is done to each sample before it is encoded; see ``SparseDictionary``."""
    asked: tuple[str, ...] = ()
    """Settings of the bottleneck that were asked for; the others follow from the data."""

    def with_settings(self, settings: Mapping[str, Any]) -> tuple[DictionaryPreset, dict[str, Any]]:
        """Return this preset with settings of its own changed, and the settings it hasn't.

        Parameters
        ----------
        settings
            Field names of the bottleneck, where ``latents`` is another name of ``latent``; and
            ``normalise``.

        Raises
        ------
        ConfigError
            If a value doesn't fit its field, or ``latent`` and ``latents`` are both given.
        """
        rest = with_latents_named(settings)
        normalise = rest.pop("normalise", self.normalise)
        if normalise not in ("none", "layer", "unit"):
            raise ConfigError(f"normalise must be none, layer or unit, not {normalise!r}")
        names = {f.name for f in dataclasses.fields(self.bottleneck)}  # type: ignore[arg-type]
        own = {name: rest.pop(name) for name in sorted(names & set(rest))}
        room = self._room(own)
        asked = {*self.asked, *own, *(room if own.get("prefixes") else ())}
        bottleneck = _changed(self.bottleneck, own | room) if own else self.bottleneck
        changed = dataclasses.replace(
            self, bottleneck=bottleneck, normalise=normalise, asked=tuple(sorted(asked))
        )
        return changed, rest

    def _room(self, own: Mapping[str, Any]) -> dict[str, Any]:
        """Return what must move for the settings that are asked for to fit.

        That is the number of latents where it was not asked for, or else the sparsity where that
        was not.
        """
        asked, name = {*self.asked, *own}, _sparsity_field(self.bottleneck)
        if "latent" not in asked:
            prefixes = own.get("prefixes")
            if prefixes:
                return {"latent": prefixes[-1]}
            active = str(own.get("k", own.get("l0", "")))
            return {"latent": max(_SIZE, 4 * int(active))} if active.isdecimal() else {}
        latent = str(own.get("latent", self.bottleneck.latent))
        if name is None or name in asked or not latent.isdecimal():
            return {}
        return {name: min(getattr(self.bottleneck, name), max(1, int(latent) // 4))}

    def sized(self, latents: int) -> DictionaryPreset:
        """Return it with a number of latents, and a sparsity to fit, where none was asked for.

        Parameters
        ----------
        latents
            The number that suits the data. Where a sparsity was asked for, at least four times
            as many are taken; where none was, a quarter of them at most are active.

        Raises
        ------
        ConfigError
            If more than half of the latents would be active.

        Examples
        --------
        >>> dictionary_preset("topk").sized(64).bottleneck
        TopK(latent=64, k=16, balance=0.01)
        >>> dictionary_preset("topk").with_settings({"k": 40})[0].sized(64).bottleneck.latent
        160
        """
        name = _sparsity_field(self.bottleneck)
        active = getattr(self.bottleneck, name) if name else None
        given: dict[str, Any] = {}
        if "latent" in self.asked:
            latents = self.bottleneck.latent
        else:
            least = 0 if active is None or name not in self.asked else int(4 * active)
            given["latent"] = latents = max(latents, least, _LEAST)
        if active is not None and name is not None and name not in self.asked:
            kind = type(active)
            given[name] = active = kind(min(active, max(1, latents // 4)))
        if active is not None and active > latents / 2:
            raise ConfigError(
                f"{name} = {active:g} is more than half of the {latents:,} latents",
                why="a code of which most is active is no sparse code, and its latents mean little",
                fix=f"give --latents {4 * math.ceil(active)} or more, or a smaller --{name}",
            )
        bottleneck = _changed(self.bottleneck, given) if given else self.bottleneck
        return dataclasses.replace(self, bottleneck=bottleneck)

    def model(self, dim: int, seed: int = 0) -> SparseDictionary:
        """Build the dictionary for vectors of ``dim`` values."""
        return SparseDictionary(dim, self.bottleneck, normalise=self.normalise, seed=seed)


def with_latents_named(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings with ``latents`` called ``latent``.

    Raises
    ------
    ConfigError
        If both are given.
    """
    rest = dict(settings)
    if "latents" in rest:
        if "latent" in rest:
            raise ConfigError("latent and latents are two names of one setting", fix="give one")
        rest["latent"] = rest.pop("latents")
    return rest


def _sparsity_field(bottleneck: Bottleneck) -> str | None:
    """Return the setting that says how many latents are active, where one does."""
    if hasattr(bottleneck, "k"):
        return "k"
    return "l0" if getattr(bottleneck, "l0", None) is not None else None


def _changed(part: Bottleneck, settings: Mapping[str, Any]) -> Bottleneck:
    fields = dataclasses.fields(part)  # type: ignore[arg-type]
    kept = {f.name: getattr(part, f.name) for f in fields}
    if set(_ONE_OF) & set(settings):
        # one of them is asked for: the preset's own choice among them gives way
        kept |= {f.name: None for f in fields if f.name in _ONE_OF and "None" in str(f.type)}
    found: Bottleneck = validated(type(part), kept | dict(settings))
    return found


_SIZE = 3072  # stands in until the data are known

DICTIONARY_PRESETS: tuple[DictionaryPreset, ...] = (
    DictionaryPreset(
        "topk", "the k largest pre-activations of each sample", TopK(_SIZE, k=SPARSITY)
    ),
    DictionaryPreset(
        "batch-topk",
        "k latents a sample on average, chosen over the batch, by a threshold at inference",
        BatchTopK(_SIZE, k=SPARSITY),
    ),
    DictionaryPreset(
        "matryoshka",
        "BatchTopK whose every prefix of latents reconstructs by itself",
        Matryoshka(_SIZE, k=SPARSITY),
    ),
    DictionaryPreset(
        "any-k",
        "TopK that is good at every k up to its own: encode with any",
        AnyK(_SIZE, k=SPARSITY),
    ),
    DictionaryPreset(
        "jumprelu",
        "a trained threshold for each latent, l0 of them active on average",
        JumpReLU(_SIZE, l0=SPARSITY),
    ),
    DictionaryPreset(
        "gated",
        "gates decide which latents are active, magnitudes how much",
        Gated(_SIZE, l0=SPARSITY),
    ),
    DictionaryPreset(
        "relu-l1",
        "rectified latents under a reweighted L1 charge that holds l0",
        L1(_SIZE, l0=SPARSITY),
    ),
    DictionaryPreset(
        "kl",
        "sigmoid latents whose mean activations are held at a target: a dense code",
        KLSparse(_SIZE),
    ),
    DictionaryPreset(
        "contrastive",
        "TopK at k and at 4k, trained to tell samples apart as well (CSR)",
        Contrastive(_SIZE, k=SPARSITY),
    ),
)


def dictionary_preset(name: str) -> DictionaryPreset:
    """Return the dictionary's preset of that name.

    Raises
    ------
    ConfigError
        If there is none; the message lists them and the nearest.
    """
    known = {found.name: found for found in DICTIONARY_PRESETS}
    if name not in known:
        near = difflib.get_close_matches(name, known, 1)
        raise ConfigError(
            f"no dictionary preset {name!r}" + (f"; did you mean {near[0]!r}?" if near else ""),
            why=f"known: {', '.join(known)}",
        )
    return known[name]
