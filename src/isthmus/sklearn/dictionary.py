"""Sparse dictionaries as a scikit-learn transformer: rows to sparse codes and back."""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Mapping
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array, issparse
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_array, check_is_fitted, validate_data

from isthmus.bottlenecks import Bottleneck
from isthmus.data.streams import VectorStream, open_vectors
from isthmus.errors import ConfigError, DataError
from isthmus.kernels.cpu import CPUKernels
from isthmus.kernels.pursuit import Pursuit
from isthmus.metrics import ReconstructionSums
from isthmus.models import dictionary as dictionaries
from isthmus.models.dictionary.presets import DictionaryPreset
from isthmus.runs.settings import threads_held
from isthmus.sklearn.choices import chosen, training
from isthmus.sklearn.threads import thread_count
from isthmus.training import History
from isthmus.training.dictionary import (
    DictionaryTraining,
    Together,
    batch_for,
    fit_dictionary,
    latents_for,
)
from isthmus.training.dictionary.member import Member, Standing
from isthmus.training.dictionary.rules import learning_rate
from isthmus.training.dictionary.start import started

__all__ = ["SparseDictionary"]

Array = NDArray[Any]
_SAMPLE = 32_768  # rows that the start is made from
_FEWEST = 50  # rows that some can be held out of
_STEPS = 10_000  # of a training by parts, whose end nobody knows


class SparseDictionary(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """A sparse dictionary: rows to codes of few active latents, and back.

    Parameters
    ----------
    n_latents
        Number of latents; None: 8 a feature, but at most one for each 16 samples, and never
        fewer than 16.
    k
        Active latents a sample (of BatchTopK and of those with an ``l0``: on average). None: 32,
        or a quarter of the latents where that is less, as on small data. A k that is given holds:
        without ``n_latents`` there are then at least four times as many latents; with it, more
        than half of them are refused.
    bottleneck
        "topk", "batch-topk", "matryoshka", "any-k", "jumprelu", "gated", "relu-l1", "kl",
        "contrastive"; or a description such as ``im.TopK(latent=64, k=4)``, which holds its own
        number of latents and k.
    settings
        Any other settings of the bottleneck or of
        :class:`~isthmus.training.dictionary.DictionaryTraining`, such as ``{"max_rate": 0.3}``.
    normalise
        What is done to each sample alone: "none"; "layer", zero mean and unit variance over its
        features; "unit", unit norm. What is taken away is not in the codes: samples come back
        normalised from ``inverse_transform``, and are scored so.
    epochs
        Passes over the samples in ``fit``.
    lr
        Largest learning rate of Adam; None: from the numbers of latents, steps and samples a step.
    batch_size
        Samples a step; "auto": a power of two from 64 to 4,096 that leaves enough steps.
    held_out
        Share of the samples that ``fit`` measures each epoch on instead of training: the best
        epoch's dictionary is kept. Fewer than 50 samples are all trained on.
    refine
        Refined codes of ``transform``: a matching pursuit among candidates picks and fits the
        activations. True, or an ``im.Pursuit``. They reconstruct much better; plain codes are
        the better ones to compare samples by.
    n_jobs
        CPU threads; None: 1, -1: all.
    random_state
        Seed of the weights, the order of the samples and all noise. With a number, ``fit``
        gives the same dictionary every time; None draws another each time.

    Attributes
    ----------
    model_
        The trained :class:`~isthmus.models.dictionary.SparseDictionary`.
    components_
        The directions of the latents, (n_latents, n_features).
    history_
        A row an epoch of the last ``fit``; ``None`` after ``partial_fit`` alone.
    notes_
        What the last ``fit`` found that a user should know, such as over-fitting.
    n_steps_
        Steps taken.
    n_features_in_, feature_names_in_
        As in every scikit-learn estimator.

    Examples
    --------
    >>> rows = np.random.default_rng(0).standard_normal((400, 8))
    >>> dictionary = SparseDictionary(n_latents=32, k=4, epochs=5, random_state=0).fit(rows)
    >>> codes = dictionary.transform(rows)
    >>> type(codes).__name__, codes.shape, codes.nnz <= 4 * 400
    ('csr_array', (400, 32), True)
    >>> dictionary.inverse_transform(codes).shape
    (400, 8)
    """

    _state: dict[str, torch.Tensor] | None

    def __init__(
        self,
        n_latents: int | None = None,
        *,
        k: int | None = None,
        bottleneck: str | Bottleneck = "topk",
        settings: Mapping[str, Any] | None = None,
        normalise: str = "none",
        epochs: int = 20,
        lr: float | None = None,
        batch_size: int | str = "auto",
        held_out: float = 0.1,
        refine: bool | Pursuit | None = None,
        n_jobs: int | None = None,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.n_latents = n_latents
        self.k = k
        self.bottleneck = bottleneck
        self.settings = settings
        self.normalise = normalise
        self.epochs = epochs
        self.lr = lr
        self.batch_size = batch_size
        self.held_out = held_out
        self.refine = refine
        self.n_jobs = n_jobs
        self.random_state = random_state

    # --- learning ---------------------------------------------------------------------------

    def fit(self, X: ArrayLike, y: object = None) -> Self:
        """Train a new dictionary on the samples X (n_samples, n_features).

        X has at least two different samples of finite numbers; y is not used.

        Raises
        ------
        ValueError
            If the samples or the settings can't be used.
        TypeError
            If X is sparse.
        DivergedError
            If the loss becomes infinite or not a number.
        """
        X = self._checked(X, reset=True)
        model, config = self._begin(X)
        held = self.held_out if len(X) >= _FEWEST else 0
        stream = VectorStream(
            open_vectors(np.asarray(X)), config.batch_size, config.seed, held_out=held
        )
        with threads_held(config.threads):
            left = fit_dictionary(model, stream, config)
        self.model_ = model
        self.history_: History | None = left.history
        self.notes_ = left.notes
        self.n_steps_ = int(left.history["steps"][-1])
        return self

    def partial_fit(self, X: ArrayLike, y: object = None) -> Self:
        """Take one pass over the samples X, going on from what has been learned.

        The first call makes the dictionary and learns the scale of the data from X, which then
        stays: let that first batch be like the rest, and have several times ``k`` rows. The
        learning rate is ``lr`` throughout (None: what suits some 10,000 steps). Adam's moments,
        the clocks of dead latents and the running firing rates are kept from call to call; after
        ``fit`` they start afresh. No sample is held out.

        Raises
        ------
        ValueError, TypeError
            As ``fit``.
        DivergedError
            If the loss becomes infinite or not a number.
        """
        X = self._checked(X, reset=not hasattr(self, "model_"))
        if not hasattr(self, "model_"):
            model, _ = self._begin(X)
            self._scale = started(model, self._sample(X), model.seed)
            model.rescale(self._scale)
            self.model_, self.history_, self.notes_, self.n_steps_ = model, None, (), 0
        config = self._chosen_by_parts(X)
        kernels = CPUKernels(config.threads)
        try:
            with threads_held(config.threads), kernels.team.at_work():
                self._pass_over(X, config, kernels)
        finally:
            kernels.close()
        return self

    def _pass_over(self, X: Array, config: DictionaryTraining, kernels: CPUKernels) -> None:
        """Step through X on a copy in the units of training; then bring that back."""
        model = copy.deepcopy(self.model_).train()
        model.rescale(1 / self._scale)
        member = Member(model, config, self._scale, self._mean, kernels, Together())
        if self._state is not None:
            member.restore(self._state, Standing())
        order = np.random.default_rng([config.seed, self.n_steps_]).permutation(len(X))
        taken = self.n_steps_
        for start in range(0, len(X), config.batch_size):
            rows = np.asarray(X[np.sort(order[start : start + config.batch_size])], np.float32)
            taken += 1
            member.step(np.ascontiguousarray(rows), taken, max(_STEPS, taken))
        self._state = {name: value.clone() for name, value in member.tensors().items()}
        self.n_steps_ = taken
        model.rescale(self._scale)
        self.model_ = model.eval()

    def _begin(self, X: Array) -> tuple[dictionaries.SparseDictionary, DictionaryTraining]:
        """Make a new dictionary for X, and the settings of its training."""
        if X.shape[1] == 1 and self.normalise == "layer":
            raise DataError("n_features = 1: a single feature normalised by itself is always 0")
        self._seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        preset, config = self._chosen(X)
        model = preset.model(X.shape[1], self._seed)
        self._mean = X.mean(0, dtype=np.float64).astype(np.float32)
        sample = model.prepared(torch.from_numpy(self._sample(X)))[0]
        self._scale = math.sqrt(float(sample.double().var(0, correction=0).sum()))
        self._n_features_out = model.latent
        self._state = None
        return model, config

    def _chosen(self, X: Array) -> tuple[DictionaryPreset, DictionaryTraining]:
        suited = latents_for(*X.shape)
        preset, rest = chosen(
            self.bottleneck, self.n_latents, self.k, self.normalise, self.settings or {}, suited
        )
        own = {
            "epochs": self.epochs,
            "lr": 0.0 if self.lr is None else self.lr,
            "batch_size": 0 if self.batch_size == "auto" else self.batch_size,
            "threads": thread_count(self.n_jobs),
            "device": "cpu",
            "seed": self._seed,
        }
        config = training(own, rest)
        if self.batch_size == "auto":
            size = batch_for(len(X), config.epochs)
            return preset, dataclasses.replace(config, batch_size=size)
        if config.batch_size < 1:
            raise ConfigError(f"batch_size must be at least 1, or 'auto', not {self.batch_size}")
        return preset, config

    def _chosen_by_parts(self, X: Array) -> DictionaryTraining:
        """Return the settings of a training whose end nobody knows."""
        config = self._chosen(X)[1]
        noise = max(config.noise, 0.0)  # where rows come once, there is nothing to over-fit
        rate = config.lr or learning_rate(self.model_.latent, _STEPS, config.batch_size)
        return dataclasses.replace(
            config, lr=rate, noise=noise, warmup=0.0, decay=0.0, anneal_k=1.0
        )

    def _sample(self, X: Array) -> Array:
        """Return some rows, spread over all."""
        step = -(-len(X) // _SAMPLE)
        return np.ascontiguousarray(X[::step], np.float32)

    # --- samples to codes and back ----------------------------------------------------------

    def transform(self, X: ArrayLike) -> csr_array:
        """Return the codes of samples, a sparse array (n_samples, n_latents), float32."""
        check_is_fitted(self, "model_")
        X = self._checked(X, reset=False)
        codes = self.model_.encode(X, refine=self._pursuit, threads=thread_count(self.n_jobs))
        return codes if issparse(codes) else csr_array(codes)

    def inverse_transform(self, X: ArrayLike | csr_array) -> Array:
        """Return the samples (n_samples, n_features) that codes stand for, sparse or dense."""
        check_is_fitted(self, "model_")
        codes = check_array(X, accept_sparse="csr", dtype=[np.float32, np.float64])
        width = self._n_features_out
        if codes.shape[1] != width:
            raise ValueError(f"codes have {width} columns, and these have {codes.shape[1]}")
        found: Array = self.model_.decode(codes)
        return found

    def score(self, X: ArrayLike, y: object = None) -> float:
        """Return R², 1 - FVU: 1 for perfect reconstruction, 0 for that of the training mean.

        Squares are about the mean of the *training* samples. Samples that all equal that mean
        score 1 if they are reconstructed exactly, and else 0.
        """
        check_is_fitted(self, "model_")
        X = np.asarray(self._checked(X, reset=False), np.float32)
        prepared = self.model_.prepared
        mean = prepared(torch.from_numpy(self._mean[None]))[0].numpy()[0]
        sums = ReconstructionSums(mean.astype(np.float64))
        for start in range(0, len(X), 8192):
            part = X[start : start + 8192]
            inside = prepared(torch.from_numpy(np.ascontiguousarray(part)))[0].numpy()
            sums.update(inside, self.inverse_transform(self.transform(part)))
        found = sums.result()
        return float(found.mse == 0) if found.fvu is None else 1.0 - found.fvu

    @property
    def components_(self) -> Array:
        """The directions of the latents, (n_latents, n_features)."""
        check_is_fitted(self, "model_")
        directions: Array = self.model_.decoder.detach().numpy()
        return directions

    @property
    def _pursuit(self) -> Pursuit | None:
        if not self.refine:
            return None
        if isinstance(self.refine, Pursuit):
            return self.refine
        bottleneck = self.model_.bottleneck
        active = getattr(bottleneck, "k", None) or getattr(bottleneck, "l0", None)
        return Pursuit(k=max(1, round(active or min(32, self.model_.latent // 4))))

    def _checked(self, X: ArrayLike, *, reset: bool) -> Array:
        """Return the samples as finite floats that float32 can hold."""
        found: Array = validate_data(
            self, X, reset=reset, dtype=[np.float32, np.float64], ensure_min_samples=1 + reset
        )
        if found.dtype == np.float64 and np.abs(found).max() > np.finfo(np.float32).max:
            raise ValueError("X contains values too large for float32, in which models compute")
        return found

    def __sklearn_tags__(self) -> Any:
        """Say that codes are float32."""
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags
