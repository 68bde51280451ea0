"""Training with several modalities: the loop, items changed at random, critics, the alarm."""

from isthmus.training.multimodal.config import MultimodalTraining
from isthmus.training.multimodal.loop import MultimodalFitted, fit_multimodal

__all__ = ["MultimodalFitted", "MultimodalTraining", "fit_multimodal"]
