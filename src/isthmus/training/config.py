"""The settings of a training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from isthmus.errors import ConfigError

__all__ = ["Training"]


@dataclass(frozen=True)
class Training:
    """How a model is trained: every choice that is not a part of the model."""

    epochs: int = 20
    """Passes over the training split."""
    batch_size: int = 128
    """Samples a step; the last batch of an epoch may be smaller and is used too."""
    lr: float = 1e-3
    """Largest learning rate of Adam."""
    schedule: Literal["cosine", "step", "constant"] = "cosine"
    """How the rate falls: along a cosine to zero, by ``step_factor`` at ``step_at``, or not."""
    step_at: tuple[float, ...] = (0.5, 0.75)
    """Shares of the training at which the "step" schedule lowers the rate."""
    step_factor: float = 0.1
    """What the "step" schedule multiplies the rate by."""
    warmup_steps: int = 0
    """Steps over which the learning rate rises linearly from zero;
    the KL warm-up of variational models is ``kl_warmup_steps``."""
    weight_decay: float = 0.0
    """Decoupled weight decay (AdamW) on weight matrices; biases and scalars have none."""
    beta1: float = 0.9
    """Adam's memory of the gradient."""
    beta2: float = 0.999
    """Adam's memory of the squared gradient."""
    eps: float = 1e-8
    """Adam's epsilon."""
    clip: float = 0.0
    """Largest norm of the gradient; 0 for no clipping."""
    patience: int = 0
    """Epochs without a better validation loss before training stops, which then keeps the
    best epoch's weights; 0 for all epochs and the last weights."""
    binarise: Literal["no", "static", "dynamic"] = "no"
    """Turn grey values into bits: once ("static"), or anew for each batch ("dynamic")."""
    seed: int = 0
    """Seed of the weights, the order of the samples and all noise."""
    device: str = "auto"
    """"auto" (a GPU where there is one), "cpu", "cuda", "mps", ..."""
    precision: Literal["float32", "bf16"] = "float32"
    """Arithmetic of the forward and backward pass; weights stay in float32."""
    channels_last: bool = True
    """Keep image tensors with channels last in memory (convolutional networks only)."""
    threads: int = 0
    """CPU threads; 0 leaves torch's own choice. The result is repeatable for one number."""
    checkpoint_seconds: float = 20.0
    """Least time between two checkpoints."""

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "lr"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"{name} must be above 0, not {getattr(self, name)}")
        for name in ("warmup_steps", "weight_decay", "clip", "patience", "threads", "seed"):
            if getattr(self, name) < 0:
                raise ConfigError(f"{name} can't be negative, as {getattr(self, name)} is")
        if not 0 <= self.beta1 < 1 or not 0 <= self.beta2 < 1 or not self.eps > 0:
            raise ConfigError("beta1 and beta2 must be in [0, 1), and eps above 0")
        if list(self.step_at) != sorted(self.step_at) or not all(0 < s < 1 for s in self.step_at):
            raise ConfigError(f"step_at must rise within (0, 1), not {self.step_at}")
