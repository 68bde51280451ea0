"""Measures of several modalities: retrieval, coherence, diversity, geometry, leaks, curves."""

from isthmus.metrics.multimodal.belonging import Detection, detection
from isthmus.metrics.multimodal.calibration import calibration_error
from isthmus.metrics.multimodal.coherence import (
    CrossCoherence,
    JointCoherence,
    cross_coherence,
    joint_coherence,
)
from isthmus.metrics.multimodal.curves import Curve, curve, curve_area, over_seeds
from isthmus.metrics.multimodal.diversity import (
    Diversity,
    diversity,
    spread_per_condition,
    within_class_variance,
)
from isthmus.metrics.multimodal.expected_ranks import chance_map, chance_rank
from isthmus.metrics.multimodal.frechet import frechet
from isthmus.metrics.multimodal.geometry import Geometry, geometry, uniformity
from isthmus.metrics.multimodal.leaving_out import leave_one_out
from isthmus.metrics.multimodal.linear import Canonical, Principal, canonical, principal, ridge
from isthmus.metrics.multimodal.probes import (
    Clusters,
    Leak,
    Probe,
    clusters,
    leak,
    probe,
    subsets,
)
from isthmus.metrics.multimodal.retrieval import (
    CrossRetrieval,
    cosines,
    cross_retrieval,
    scored_retrieval,
)

__all__ = [
    "Canonical",
    "Clusters",
    "CrossCoherence",
    "CrossRetrieval",
    "Curve",
    "Detection",
    "Diversity",
    "Geometry",
    "JointCoherence",
    "Leak",
    "Principal",
    "Probe",
    "calibration_error",
    "canonical",
    "chance_map",
    "chance_rank",
    "clusters",
    "cosines",
    "cross_coherence",
    "cross_retrieval",
    "curve",
    "curve_area",
    "detection",
    "diversity",
    "frechet",
    "geometry",
    "joint_coherence",
    "leak",
    "leave_one_out",
    "over_seeds",
    "principal",
    "probe",
    "ridge",
    "scored_retrieval",
    "spread_per_condition",
    "subsets",
    "uniformity",
    "within_class_variance",
]
