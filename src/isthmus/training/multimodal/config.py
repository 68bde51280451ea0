"""The settings of a training with several modalities."""

from __future__ import annotations

from dataclasses import dataclass, field

from isthmus.data.modalities.augment import ImageAugment, SoundAugment
from isthmus.errors import ConfigError
from isthmus.training.config import Training

__all__ = ["MultimodalTraining"]


@dataclass(frozen=True)
class MultimodalTraining(Training):
    """How a multimodal model is trained; an epoch is the rows that the data set draws for it."""

    lr: float = 2e-3
    """Largest learning rate of Adam."""
    weight_decay: float = 1e-2
    """Decoupled weight decay (AdamW) on weight matrices; biases and scalars have none."""
    warmup_steps: int = 100
    """Steps over which the learning rate rises linearly from zero."""
    clip: float = 5.0
    """Largest norm of the gradient; 0 for no clipping."""
    minutes: float = 0.0
    """Most minutes of training steps, 0 for no cap; the learning rate then falls by the clock
    where that is ahead of the steps, and the result depends on the machine's speed."""
    average: float = 0.998
    """Decay of the running average of the weights that is kept at the end; 0: the last ones."""
    augment: bool = True
    """Change sounds and pictures at random while training."""
    sound: SoundAugment = field(default_factory=SoundAugment)
    """How far sounds are changed."""
    image: ImageAugment = field(default_factory=ImageAugment)
    """How far pictures are changed."""
    hide: str = ""
    """A factor, such as speaker, that a critic keeps out of the shared codes; auto: every factor
    that the data know."""
    hide_weight: float = 1.0
    """How much encoders heed the critic, once it is warm: what a nat of its knowledge costs."""
    keep_weight: float = 0.1
    """How strongly private codes are held to tell that factor."""
    pure_weight: float = 1.0
    """How much encoders heed critics that find the class in private codes, where classes are
    known: style is to go with any class. 0: none."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.average < 1:
            raise ConfigError(f"average must be in [0, 1), not {self.average}")
        for name in ("minutes", "hide_weight", "keep_weight", "pure_weight"):
            if getattr(self, name) < 0:
                raise ConfigError(f"{name} can't be negative, as {getattr(self, name)} is")
        if self.binarise != "no":
            raise ConfigError("several modalities are not binarised", fix="leave binarise at no")
