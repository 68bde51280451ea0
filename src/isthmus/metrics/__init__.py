"""Pure functions and streaming sums that measure a model: float64, whatever the batches were."""

from isthmus.metrics.averages import SampleMeans
from isthmus.metrics.baselines import PCABaseline, pca_reconstruction
from isthmus.metrics.bernoulli import BernoulliSums, CrossEntropy, bce, bce_floor, bce_from_logits
from isthmus.metrics.bootstrap import BootstrapInterval, bootstrap_mean, bootstrap_ratio
from isthmus.metrics.coherence import Coherence, decoder_coherence
from isthmus.metrics.dictionary import DictionaryScores, DictionarySums
from isthmus.metrics.firing import Firing, FiringSums
from isthmus.metrics.gaussian import linear_gaussian_nll, ppca_nll
from isthmus.metrics.histogram import Histogram, ValueHistogram
from isthmus.metrics.latent import (
    EffectiveRank,
    KNNAccuracy,
    NeighbourPreservation,
    ProbeAccuracy,
    Trustworthiness,
    effective_rank,
    knn_accuracy,
    linear_probe,
    neighbour_preservation,
    trustworthiness,
)
from isthmus.metrics.likelihood import (
    ImportanceEstimate,
    ImportanceSums,
    Likelihood,
    LikelihoodSums,
    importance_estimate,
    log_mean_exp,
    multi_sample_bound,
)
from isthmus.metrics.moments import CovarianceSums, MomentSums
from isthmus.metrics.probing import (
    CodeProbe,
    NeighbourRetention,
    SparseProbe,
    code_probe,
    neighbour_retention,
    sparse_probe,
)
from isthmus.metrics.published import PublishedErrors, published_errors
from isthmus.metrics.reconstruction import Reconstruction, ReconstructionSums, squared_errors
from isthmus.metrics.recovery import Recovery, recovery
from isthmus.metrics.retention import (
    Judgements,
    Retention,
    Retrieval,
    retrieval,
    retrieval_retention,
)
from isthmus.metrics.similarity import Hits, most_similar
from isthmus.metrics.sparse_codes import Codes, as_csr
from isthmus.metrics.sparsity import (
    EXACT,
    SIGMOID,
    CodeSums,
    Sparsity,
    gini,
    hoyer,
    population_sparseness,
    rate_histogram,
    relative_threshold,
)
from isthmus.metrics.stability import (
    Matching,
    Stability,
    match_decoders,
    random_like,
    seed_stability,
)
from isthmus.metrics.stats import (
    Comparison,
    Difference,
    Interval,
    PairedDifference,
    compare_all,
    differs,
    mean_interval,
    paired_bootstrap,
    permutation_test,
)
from isthmus.metrics.superposition import Superposition, superposition
from isthmus.metrics.variational import (
    InformationBound,
    PosteriorSummary,
    PosteriorSums,
    RateDistortion,
    gaussian_kl,
    mutual_information_bound,
    rate_distortion,
)
from isthmus.metrics.verdict import Outcome, Verdict, Worth, verdict

__all__ = [
    "EXACT",
    "SIGMOID",
    "BernoulliSums",
    "BootstrapInterval",
    "CodeProbe",
    "CodeSums",
    "Codes",
    "Coherence",
    "Comparison",
    "CovarianceSums",
    "CrossEntropy",
    "DictionaryScores",
    "DictionarySums",
    "Difference",
    "EffectiveRank",
    "Firing",
    "FiringSums",
    "Histogram",
    "Hits",
    "ImportanceEstimate",
    "ImportanceSums",
    "InformationBound",
    "Interval",
    "Judgements",
    "KNNAccuracy",
    "Likelihood",
    "LikelihoodSums",
    "Matching",
    "MomentSums",
    "NeighbourPreservation",
    "NeighbourRetention",
    "Outcome",
    "PCABaseline",
    "PairedDifference",
    "PosteriorSummary",
    "PosteriorSums",
    "ProbeAccuracy",
    "PublishedErrors",
    "RateDistortion",
    "Reconstruction",
    "ReconstructionSums",
    "Recovery",
    "Retention",
    "Retrieval",
    "SampleMeans",
    "SparseProbe",
    "Sparsity",
    "Stability",
    "Superposition",
    "Trustworthiness",
    "ValueHistogram",
    "Verdict",
    "Worth",
    "as_csr",
    "bce",
    "bce_floor",
    "bce_from_logits",
    "bootstrap_mean",
    "bootstrap_ratio",
    "code_probe",
    "compare_all",
    "decoder_coherence",
    "differs",
    "effective_rank",
    "gaussian_kl",
    "gini",
    "hoyer",
    "importance_estimate",
    "knn_accuracy",
    "linear_gaussian_nll",
    "linear_probe",
    "log_mean_exp",
    "match_decoders",
    "mean_interval",
    "most_similar",
    "multi_sample_bound",
    "mutual_information_bound",
    "neighbour_preservation",
    "neighbour_retention",
    "paired_bootstrap",
    "pca_reconstruction",
    "permutation_test",
    "population_sparseness",
    "ppca_nll",
    "published_errors",
    "random_like",
    "rate_distortion",
    "rate_histogram",
    "recovery",
    "relative_threshold",
    "retrieval",
    "retrieval_retention",
    "seed_stability",
    "sparse_probe",
    "squared_errors",
    "superposition",
    "trustworthiness",
    "verdict",
]
