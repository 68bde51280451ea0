"""Rows drawn together: whether their items belong together, and all classes are drawn."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from isthmus.metrics.multimodal import joint_coherence
from isthmus.models.multimodal import Aligned, MultimodalAutoencoder
from isthmus.models.multimodal.mixture_use import imagine
from isthmus.runs.multimodal.judges import Judges
from isthmus.runs.multimodal.subject import Subject

__all__ = ["joint"]


def joint(subject: Subject, judges: Judges) -> dict[str, Any]:
    """Draw rows from the mixture, and from the prior where the model has one; judge them."""
    found: dict[str, Any] = {}
    model, count = subject.model, subject.options.joint
    if len(subject.data.names) < 2 or not isinstance(model, MultimodalAutoencoder):
        return found
    if subject.mixture is not None:
        drawn = imagine(model, subject.mixture, count, subject.options.seed)
        found["mixture"] = _judged(drawn, judges)
    if not isinstance(model.objective, Aligned):
        generator = torch.Generator().manual_seed(subject.options.seed)
        codes = torch.randn(count, model.shared, generator=generator)
        found["prior"] = _judged(model.decode(codes), judges)
    return found


def _judged(drawn: dict[str, Tensor], judges: Judges) -> dict[str, Any]:
    said = np.stack([judges.of[name].labels(items) for name, items in drawn.items()], axis=1)
    report: dict[str, Any] = dict(joint_coherence(said, judges.classes).as_json())
    report["share"] = list(joint_coherence(said, judges.classes).share)
    return report
