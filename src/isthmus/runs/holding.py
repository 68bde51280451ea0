"""Hold one quantity of a model constant while another setting of a sweep moves.

Pure functions from settings to settings, each with a sentence that says what was adjusted.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from isthmus.bottlenecks import L1, BatchTopK, Gaussian, KLSparse, TopK
from isthmus.bottlenecks.base import Bottleneck
from isthmus.errors import ConfigError
from isthmus.likelihoods import MSE, Cosine, Likelihood
from isthmus.likelihoods import Gaussian as GaussianLikelihood
from isthmus.models.presets import Preset
from isthmus.networks import MLP, Conv, Network

__all__ = ["HOLDS", "TOLERANCE", "Held", "effective_beta", "expected_l0", "held", "parameters_of"]

Settings = Mapping[str, Any]
Adjustment = tuple[dict[str, Any], str]
TOLERANCE = 0.02
"""Largest relative deviation of the number of parameters that counts as held."""


@dataclass(frozen=True)
class Held:
    """Settings with something held constant."""

    settings: Settings
    """The settings given, with what had to be adjusted."""
    adjusted: Settings
    """Only what was adjusted."""
    sentence: str
    """What was adjusted, in words."""


def held(
    what: str, preset: Preset, base: Settings, settings: Settings, shape: tuple[int, ...]
) -> Held:
    """Adjust settings so that a quantity is what the base settings give.

    Parameters
    ----------
    what
        ``"beta"``: the effective beta (see :func:`effective_beta`), by ``beta``.
        ``"l0"``: the expected number of active latents (see :func:`expected_l0`), by ``l0``,
        ``k`` or ``target``. ``"parameters"``: the number of trained parameters, within 2 %, by
        one factor on all hidden widths.
    preset, base
        The preset and its settings before anything is varied: they say what to hold.
    settings
        All settings of one run, base and varied ones.
    shape
        Shape of a sample.

    Raises
    ------
    ConfigError
        If the quantity is unknown, this kind of model has none, or no setting reaches it.

    Examples
    --------
    >>> from isthmus.models import preset
    >>> held("l0", preset("sparse-kl"), {}, {"latent": 16}, (1, 28, 28)).adjusted
    {'target': 0.2}
    """
    if what not in HOLDS:
        raise ConfigError(f"a sweep can't hold {what!r}", why=f"it can hold: {', '.join(HOLDS)}")
    before, _ = preset.with_settings(base)
    after, _ = preset.with_settings(settings)
    adjusted, sentence = HOLDS[what](before, after, shape)
    return Held(dict(settings) | adjusted, adjusted, sentence)


# --- effective beta -----------------------------------------------------------------------------


def effective_beta(likelihood: Likelihood, beta: float, elements: int) -> float:
    """Return beta as it weighs beside the likelihood's nats, a fixed Gaussian's at variance 1.

    A Gaussian of fixed variance v charges ``SSE / (2 v)``: multiplied through by v, its rate
    weighs ``beta * v`` beside ``SSE / 2``. A squared error averaged over D elements is that of
    v = D / 2. Likelihoods in nats whose scale is learned, or that have none, give beta itself.

    Raises
    ------
    ConfigError
        If the comparison is no likelihood (cosine).

    Examples
    --------
    >>> effective_beta(MSE(), 0.01, 784), effective_beta(GaussianLikelihood(0.5), 2.0, 784)
    (3.92, 1.0)
    """
    return beta * _nats_scale(likelihood, elements)


def _nats_scale(likelihood: Likelihood, elements: int) -> float:
    if isinstance(likelihood, MSE):
        return elements / 2
    if isinstance(likelihood, Cosine):
        raise ConfigError(
            "a cosine distance is no likelihood, so there is no effective beta to hold"
        )
    if isinstance(likelihood, GaussianLikelihood) and not isinstance(likelihood.variance, str):
        return float(likelihood.variance)
    return 1.0


def _hold_beta(before: Preset, after: Preset, shape: tuple[int, ...]) -> Adjustment:
    elements = math.prod(shape)
    goal = effective_beta(before.likelihood, _variational(before).beta, elements)
    beta = goal / _nats_scale(after.likelihood, elements)
    if math.isclose(beta, _variational(after).beta, rel_tol=1e-12):
        return {}, f"effective beta {goal:g} needs no change: the divergence is summed over latents"
    return {"beta": beta}, f"beta is {beta:.6g}, so that the effective beta stays {goal:g}"


def _variational(preset: Preset) -> Gaussian:
    waist = preset.bottleneck
    if not isinstance(waist, Gaussian) or waist.capacity is not None:
        raise ConfigError(
            f"the preset {preset.name!r} has no beta to hold",
            why=f"its bottleneck is {waist}",
            fix="sweep a variational preset without a capacity, such as vae",
        )
    return waist


# --- L0 -----------------------------------------------------------------------------------------


def expected_l0(bottleneck: Bottleneck) -> float:
    """Return how many latents a sample is asked to use, in whole latents' worth.

    ``l0`` of L1, ``k`` of TopK and BatchTopK, ``target * latent`` of KLSparse.

    Raises
    ------
    ConfigError
        If the bottleneck asks for no such number.
    """
    if isinstance(bottleneck, TopK | BatchTopK):
        return float(bottleneck.k)
    if isinstance(bottleneck, KLSparse):
        return bottleneck.target * bottleneck.latent
    if isinstance(bottleneck, L1) and bottleneck.l0 is not None:
        return float(bottleneck.l0)
    raise ConfigError(
        "there is no L0 to hold",
        why=f"the bottleneck is {bottleneck}",
        fix="give l0 for an L1 bottleneck, or sweep a preset that asks for one: sparse-l1, topk",
    )


def _hold_l0(before: Preset, after: Preset, shape: tuple[int, ...]) -> Adjustment:
    goal, waist = expected_l0(before.bottleneck), after.bottleneck
    if goal >= waist.latent:
        raise ConfigError(
            f"{goal:g} active latents can't be held with {waist.latent} latents",
            fix="leave out such widths, or hold fewer",
        )
    if isinstance(waist, L1):
        return {"l0": goal}, f"l0 is {goal:g}, held by the controller of the L1 weight"
    if isinstance(waist, KLSparse):
        target = goal / waist.latent
        return (
            {"target": target},
            f"target is {target:.6g}, so that {goal:g} latents' worth stay active a sample",
        )
    if isinstance(waist, TopK | BatchTopK):
        if goal != int(goal):
            raise ConfigError(f"k must be a whole number, and the L0 to hold is {goal:g}")
        return {"k": int(goal)}, f"k is {goal:g}, so L0 stays {goal:g}"
    raise ConfigError("this bottleneck can't hold an L0", why=f"it is {waist}")


# --- number of parameters -----------------------------------------------------------------------


def parameters_of(preset: Preset, shape: tuple[int, ...]) -> int:
    """Return the number of trained parameters of the preset's model for samples of ``shape``."""
    return preset.model(shape).parameters_count


def _widened(network: Network, factor: float) -> dict[str, Any]:
    """Return the network's hidden widths times a factor, at least 1 each, as settings."""

    def scaled(widths: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(max(1, round(width * factor)) for width in widths)

    if isinstance(network, MLP) and network.hidden:
        return {"hidden": scaled(network.hidden)}
    if isinstance(network, Conv):
        widths: dict[str, Any] = {"channels": scaled(network.channels)}
        return widths | ({"hidden": scaled((network.hidden,))[0]} if network.hidden else {})
    raise ConfigError(
        "the number of parameters can't be held: the network has no hidden widths to scale",
        why=f"it is {network}",
        fix="sweep a preset with hidden layers, such as dense",
    )


def _hold_parameters(before: Preset, after: Preset, shape: tuple[int, ...]) -> Adjustment:
    goal = parameters_of(before, shape)
    if parameters_of(after, shape) == goal:
        return {}, f"{goal:,} parameters: nothing to adjust"

    def count(factor: float) -> int:
        network = dataclasses.replace(after.network, **_widened(after.network, factor))  # type: ignore[type-var]
        return parameters_of(dataclasses.replace(after, network=network), shape)

    factor = _bisected(count, goal)
    found = count(factor)
    if abs(found - goal) > TOLERANCE * goal:
        raise ConfigError(
            f"no width of the hidden layers gives {goal:,} parameters within {TOLERANCE:.0%}",
            why=f"the nearest gives {found:,}, with {_widened(after.network, factor)}",
            fix="leave this combination out, or start from wider hidden layers",
        )
    widths = _widened(after.network, factor)
    said = ", ".join(f"{name} {value}" for name, value in widths.items())
    return widths, (
        f"{said} (widths times {factor:.3g}): {found:,} parameters for {goal:,} "
        f"({found / goal - 1:+.2%})"
    )


def _bisected(count: Callable[[float], int], goal: int, steps: int = 40) -> float:
    """Return the factor whose count comes nearest to the goal; the count never falls with it."""
    low, high = 0.0, 1.0
    while count(high) < goal and high < 1 << 10:
        low, high = high, 2 * high
    for _ in range(steps):
        middle = (low + high) / 2
        if count(middle) < goal:
            low = middle
        else:
            high = middle
        if high - low < 1e-6 * high:
            break
    return min((low, high), key=lambda factor: abs(count(factor) - goal))


HOLDS: Mapping[str, Callable[[Preset, Preset, tuple[int, ...]], Adjustment]] = {
    "beta": _hold_beta,
    "l0": _hold_l0,
    "parameters": _hold_parameters,
}
"""What can be held, and how."""
