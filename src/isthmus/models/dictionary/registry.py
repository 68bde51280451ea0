"""Which objective trains which bottleneck."""

from __future__ import annotations

from collections.abc import Callable, Mapping
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
from isthmus.errors import ConfigError
from isthmus.models.dictionary.batch_top_k import BatchTopKObjective, MatryoshkaObjective
from isthmus.models.dictionary.contrastive import ContrastiveObjective
from isthmus.models.dictionary.gated import GatedObjective
from isthmus.models.dictionary.kl import KLObjective
from isthmus.models.dictionary.objective import Objective
from isthmus.models.dictionary.rectified import JumpReLUObjective, L1Objective
from isthmus.models.dictionary.top_k import AnyKObjective, TopKObjective

__all__ = ["OBJECTIVES", "objective_for"]

OBJECTIVES: Mapping[type[Any], Callable[[Any], Objective]] = {
    TopK: TopKObjective,
    BatchTopK: BatchTopKObjective,
    Matryoshka: MatryoshkaObjective,
    AnyK: AnyKObjective,
    L1: L1Objective,
    JumpReLU: JumpReLUObjective,
    Gated: GatedObjective,
    KLSparse: KLObjective,
    Contrastive: ContrastiveObjective,
}


def objective_for(bottleneck: Bottleneck) -> Objective:
    """Build the objective of a bottleneck.

    Raises
    ------
    ConfigError
        If a sparse dictionary can't have this bottleneck.
    """
    if type(bottleneck) not in OBJECTIVES:
        raise ConfigError(
            f"a sparse dictionary can't have a {type(bottleneck).__name__} bottleneck",
            why=f"it can have: {', '.join(kind.__name__ for kind in OBJECTIVES)}",
        )
    return OBJECTIVES[type(bottleneck)](bottleneck)
