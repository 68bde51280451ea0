"""The distributions that hold the decoder's output against the input."""

from isthmus.configs import by_name
from isthmus.likelihoods.base import Likelihood, Readout
from isthmus.likelihoods.bernoulli import Bernoulli
from isthmus.likelihoods.categorical import Categorical
from isthmus.likelihoods.cosine import Cosine
from isthmus.likelihoods.gaussian import MSE, Gaussian
from isthmus.likelihoods.laplace import Laplace

LIKELIHOODS: dict[str, type[Likelihood]] = by_name(
    MSE, Gaussian, Bernoulli, Laplace, Categorical, Cosine
)

__all__ = [
    "LIKELIHOODS",
    "MSE",
    "Bernoulli",
    "Categorical",
    "Cosine",
    "Gaussian",
    "Laplace",
    "Likelihood",
    "Readout",
]
