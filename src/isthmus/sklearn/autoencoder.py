"""Any autoencoder of the presets as a scikit-learn transformer."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_array, check_is_fitted, validate_data

from isthmus.data import Dataset, Preprocessing, Samples
from isthmus.errors import ConfigError, DivergedError
from isthmus.metrics import ReconstructionSums
from isthmus.models import preset as preset_called
from isthmus.models.autoencoder import Autoencoder, evaluating
from isthmus.models.presets import Preset
from isthmus.networks import Network
from isthmus.runs.settings import applied, threads_held
from isthmus.sklearn.threads import thread_count
from isthmus.training import History, Training, fit
from isthmus.training.batches import order_of
from isthmus.training.device import chosen_device
from isthmus.training.optimiser import optimiser_for

__all__ = ["AutoencoderTransformer"]

Array = NDArray[Any]


class AutoencoderTransformer(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Any of the presets as a transformer: samples to codes, and codes back to samples.

    Parameters
    ----------
    latent
        Number of latents; None: the preset's own (32 for ``dense``).
    preset
        Name of a preset: ``dense``, ``linear``, ``sparse-kl``, ``topk``, ``vae``, ...
    network
        Another network: "mlp", "conv", "linear", or a description such as ``im.MLP(...)``;
        None: the preset's.
    hidden
        Widths of the hidden layers; None: the network's.
    activation
        Activation after each hidden layer, by its name in ``torch.nn``; None: the network's.
    settings
        Any other settings of the preset's parts or of :class:`~isthmus.training.Training`, such
        as ``{"k": 4, "clip": 1.0}``.
    epochs
        Passes over the samples in ``fit``.
    lr
        Largest learning rate of Adam.
    batch_size
        Samples a step; "auto": a tenth of the samples, but 16 to 128.
    weight_decay
        Decoupled weight decay; None: the preset's.
    preprocess
        How features are scaled, learned in ``fit``: "standardise" (what "auto" means for
        features), "unit", "centre" or "none"; "auto" means "unit" for images.
    image_shape
        (channels, height, width) where the features are the pixels of an image, for
        convolutional networks; None: features are features.
    device
        "cpu", "cuda", ... or "auto".
    n_jobs
        CPU threads; None: 1, -1: all. The result is repeatable for one number.
    random_state
        Seed of the weights, the order of the samples and all noise. With a number, ``fit``
        gives the same model every time; None draws another each time.

    Attributes
    ----------
    model_
        The trained :class:`~isthmus.models.Autoencoder`.
    history_
        A row an epoch of the last ``fit``; ``None`` after ``partial_fit`` alone.
    n_steps_
        Optimiser steps taken.
    n_features_in_, feature_names_in_
        As in every scikit-learn estimator.
    """

    _optimiser: torch.optim.Optimizer | None

    def __init__(
        self,
        latent: int | None = None,
        *,
        preset: str = "dense",
        network: Network | str | None = None,
        hidden: Sequence[int] | None = None,
        activation: str | None = None,
        settings: Mapping[str, Any] | None = None,
        epochs: int = 20,
        lr: float = 1e-3,
        batch_size: int | str = "auto",
        weight_decay: float | None = None,
        preprocess: str = "auto",
        image_shape: tuple[int, int, int] | None = None,
        device: str = "cpu",
        n_jobs: int | None = None,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.latent = latent
        self.preset = preset
        self.network = network
        self.hidden = hidden
        self.activation = activation
        self.settings = settings
        self.epochs = epochs
        self.lr = lr
        self.batch_size = batch_size
        self.weight_decay = weight_decay
        self.preprocess = preprocess
        self.image_shape = image_shape
        self.device = device
        self.n_jobs = n_jobs
        self.random_state = random_state

    # --- learning ---------------------------------------------------------------------------

    def fit(self, X: ArrayLike, y: object = None) -> Self:
        """Train a new model on the samples X (n_samples, n_features).

        Parameters
        ----------
        X
            At least two samples of finite numbers.
        y
            Not used.

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
        config = self._begin(X)
        with threads_held(self._thread_count):
            fitted = fit(self.model_, self._dataset(X), config)
        self.history_: History | None = fitted.history
        self.n_steps_ = int(fitted.history["steps"][-1])
        return self

    def partial_fit(self, X: ArrayLike, y: object = None) -> Self:
        """Take one pass over the samples X, going on from what has been learned.

        The first call makes the model and learns the scaling from X, which then stays: let
        that first batch be like the rest. The learning rate is ``lr`` throughout, and Adam's
        moments are kept from call to call (after ``fit`` they start afresh).

        Raises
        ------
        ValueError, TypeError
            As ``fit``.
        DivergedError
            If the loss becomes infinite or not a number.
        """
        X = self._checked(X, reset=not hasattr(self, "model_"))
        if not hasattr(self, "model_"):
            self._begin(X)
            self.history_, self.n_steps_ = None, 0
        _, config = self._chosen(len(X))
        optimiser = self._optimiser or optimiser_for(self.model_, config, self.model_.device)
        self._optimiser = optimiser
        with threads_held(self._thread_count), torch.random.fork_rng(devices=[]):
            torch.manual_seed(self._seed + self.n_steps_)
            self._pass_over(X, config, optimiser)
        return self

    def _pass_over(self, X: Array, config: Training, optimiser: torch.optim.Optimizer) -> None:
        model = self.model_
        raw = torch.tensor(X.reshape(-1, *self._shape), dtype=torch.float32)
        with torch.no_grad():
            x = model.preprocessing(raw.to(model.device))
        generator = torch.Generator(model.device).manual_seed(self._seed + 1 + self.n_steps_)
        model.train()
        for index in order_of(len(X), self._seed, self.n_steps_).split(config.batch_size):  # type: ignore[no-untyped-call]
            loss = model.terms(x[index], generator).loss
            if not math.isfinite(float(loss.detach())):
                raise DivergedError("the loss became infinite or not a number", fix="lower lr")
            optimiser.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            if config.clip:
                torch.nn.utils.clip_grad_norm_(model.parameters(), config.clip)
            optimiser.step()
            self.n_steps_ += 1
        model.eval()

    def _begin(self, X: Array) -> Training:
        """Make a new model with scaling learned from X; return the settings of its training."""
        self._seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        chosen, config = self._chosen(len(X))
        dataset = self._dataset(X)
        scaling = Preprocessing.fit(dataset["train"], dataset.kind, self.preprocess)
        self.model_ = chosen.model(dataset.shape, scaling.output_range, self._seed)
        self.model_.preprocessing = scaling
        self.model_.to(chosen_device(self.device))
        self._mean = X.mean(0, dtype=np.float64)
        self._n_features_out = self.model_.latent
        self._optimiser = None
        return config

    @property
    def _settings(self) -> dict[str, Any]:
        named = {
            "latent": self.latent,
            "network": self.network,
            "hidden": None if self.hidden is None else tuple(self.hidden),
            "activation": self.activation,
        }
        return {k: v for k, v in named.items() if v is not None} | dict(self.settings or {})

    def _chosen(self, samples: int) -> tuple[Preset, Training]:
        """Return the preset with its settings, and those of a training on so many samples."""
        batch = self.batch_size
        own = {
            "epochs": self.epochs,
            "lr": self.lr,
            "batch_size": min(128, max(16, samples // 10)) if batch == "auto" else batch,
            "device": self.device,
            "threads": self._thread_count,
            "seed": self._seed,
        }
        if self.weight_decay is not None:
            own["weight_decay"] = self.weight_decay
        if both := sorted(set(own) & set(self.settings or {})):
            raise ConfigError(f"{both[0]} is no entry of settings", fix="give it by itself")
        return applied(preset_called(self.preset), self._settings | own)

    @property
    def _thread_count(self) -> int:
        return thread_count(self.n_jobs)

    # --- samples to codes and back ----------------------------------------------------------

    def transform(self, X: ArrayLike) -> Array:
        """Return the codes (n_samples, latent) of samples, in their floating-point type.

        Codes are deterministic (for variational models the posterior means).
        """
        check_is_fitted(self, "model_")
        X = self._checked(X, reset=False)
        return self._mapped(X, _codes)

    def inverse_transform(self, X: ArrayLike) -> Array:
        """Return the samples (n_samples, n_features) that codes X (n_samples, latent) stand for."""
        check_is_fitted(self, "model_")
        codes = check_array(X, dtype=[np.float64, np.float32])
        width = self._n_features_out
        if codes.shape[1] != width:
            raise ValueError(f"codes have {width} columns, and these have {codes.shape[1]}")
        found = self._mapped(
            codes, lambda model, z: model.preprocessing.inverse(model.reconstruction(z)), codes=True
        )
        return found.reshape(len(found), -1)

    def score(self, X: ArrayLike, y: object = None) -> float:
        """Return R², 1 - FVU: 1 for perfect reconstruction, 0 for that of the training mean.

        Higher is better. Each feature counts as it was scaled; squares are about the mean of
        the *training* samples. Samples that all equal that mean score 1 if they are
        reconstructed exactly, and else 0.
        """
        check_is_fitted(self, "model_")
        X = self._checked(X, reset=False)
        sums = ReconstructionSums(self._scaled(self._mean[None])[0])
        x = self._scaled(X)
        out = self._mapped(X, lambda model, raw: model.reconstruction(_codes(model, raw)))
        sums.update(x, out.reshape(len(x), -1))
        found = sums.result()
        return float(found.mse == 0) if found.fvu is None else 1.0 - found.fvu

    def _scaled(self, X: Array) -> Array:
        """Return samples in the model's units, flat, in float64."""
        found = self._mapped(np.asarray(X, np.float64), lambda model, x: model.preprocessing(x))
        return found.reshape(len(found), -1)

    def _mapped(self, X: Array, function: Any, *, codes: bool = False) -> Array:
        """Map samples (or codes) a thousand at a time, in their own floating-point type."""
        device = self.model_.device
        # most devices but the CPU and CUDA know no float64
        exact = X.dtype == np.float64 and device.type in {"cpu", "cuda"}
        shape = (self._n_features_out,) if codes else self._shape
        model = copy.deepcopy(self.model_).double() if exact else self.model_
        parts = []
        with threads_held(self._thread_count), evaluating(model), torch.no_grad():
            for start in range(0, len(X), 1024):
                part = np.ascontiguousarray(X[start : start + 1024]).reshape(-1, *shape)
                given = torch.tensor(part, dtype=torch.float64 if exact else torch.float32)
                parts.append(function(model, given.to(device)).cpu().numpy())
        return np.concatenate(parts).astype(X.dtype, copy=False)

    # --- samples ----------------------------------------------------------------------------

    def _checked(self, X: ArrayLike, *, reset: bool) -> Array:
        """Return the samples as finite floats that float32 can hold."""
        found: Array = validate_data(
            self, X, reset=reset, dtype=[np.float64, np.float32], ensure_min_samples=1 + reset
        )
        if found.dtype == np.float64 and np.abs(found).max() > np.finfo(np.float32).max:
            raise ValueError("X contains values too large for float32, in which models compute")
        return found

    @property
    def _shape(self) -> tuple[int, ...]:
        return (self.n_features_in_,) if self.image_shape is None else tuple(self.image_shape)

    def _dataset(self, X: Array) -> Dataset:
        if math.prod(self._shape) != X.shape[1]:
            raise ConfigError(f"{X.shape[1]} features are no image of shape {self.image_shape}")
        kind = "table" if self.image_shape is None else "image"
        values = X.reshape(-1, *self._shape)
        return Dataset("samples", "an array in memory", {"train": Samples(values)}, kind)

    def __sklearn_tags__(self) -> Any:
        """Say that float32 stays float32."""
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


def _codes(model: Autoencoder, raw: torch.Tensor) -> torch.Tensor:
    return model.embed(model.preprocessing(raw))
