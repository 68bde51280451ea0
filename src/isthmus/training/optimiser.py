"""The optimiser of models that are trained by autograd."""

from __future__ import annotations

import torch

from isthmus.training.config import Training

__all__ = ["optimiser_for"]


def optimiser_for(
    model: torch.nn.Module, config: Training, device: torch.device
) -> torch.optim.Optimizer:
    """Return fused Adam(W); weight decay falls on matrices only, decoupled from the gradient."""
    trained = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    # a likelihood's own variance is no weight, whatever its shape
    decays = {name: p.ndim >= 2 and not name.startswith("readout.") for name, p in trained}
    matrices = [p for name, p in trained if decays[name]]
    others = [p for name, p in trained if not decays[name]]
    groups = [
        {"params": matrices, "weight_decay": config.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(
        [group for group in groups if group["params"]],
        lr=config.lr,
        betas=(config.beta1, config.beta2),
        eps=config.eps,
        fused=device.type in {"cpu", "cuda"},
    )
