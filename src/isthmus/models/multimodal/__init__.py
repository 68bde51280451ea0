"""Several modalities that share one code: models, presets, the joint mixture."""

from isthmus.models.multimodal.adding import add_modality
from isthmus.models.multimodal.aligned import Aligned
from isthmus.models.multimodal.codes import Codes
from isthmus.models.multimodal.joint_mixture import JointMixture
from isthmus.models.multimodal.mixture_fitting import MixtureFit
from isthmus.models.multimodal.mixture_use import (
    Translations,
    belongs,
    fit_to,
    imagine,
    translations,
)
from isthmus.models.multimodal.mmvae_plus import MMVAEPlus
from isthmus.models.multimodal.modality import Modality, modality_of
from isthmus.models.multimodal.model import MultimodalAutoencoder
from isthmus.models.multimodal.moe import MoE
from isthmus.models.multimodal.mopoe import MoPoE
from isthmus.models.multimodal.mvtcae import MVTCAE
from isthmus.models.multimodal.poe import PoE
from isthmus.models.multimodal.presets import MULTIMODAL_PRESETS, multimodal_preset
from isthmus.models.multimodal.rows import Rows

__all__ = [
    "MULTIMODAL_PRESETS",
    "MVTCAE",
    "Aligned",
    "Codes",
    "JointMixture",
    "MMVAEPlus",
    "MixtureFit",
    "MoE",
    "MoPoE",
    "Modality",
    "MultimodalAutoencoder",
    "PoE",
    "Rows",
    "Translations",
    "add_modality",
    "belongs",
    "fit_to",
    "imagine",
    "modality_of",
    "multimodal_preset",
    "translations",
]
