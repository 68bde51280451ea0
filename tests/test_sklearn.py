"""The scikit-learn estimator: scikit-learn's own checks, and what autoencoders add."""

import dataclasses
import inspect

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_digits, load_iris
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

import isthmus as im
from isthmus.errors import ConfigError, DivergedError
from isthmus.sklearn import AutoencoderTransformer

IRIS = load_iris().data


def made(**settings):
    given = {"latent": 2, "hidden": (8,), "epochs": 3, "lr": 0.01, "random_state": 0} | settings
    return AutoencoderTransformer(**given)


# No check is expected to fail. scikit-learn itself skips its array API check where SCIPY_ARRAY_API
# isn't set; the estimator claims no support for other arrays than NumPy's.
@parametrize_with_checks(
    [
        AutoencoderTransformer(latent=2, hidden=(8,), epochs=2, random_state=0),
        AutoencoderTransformer(preset="linear", latent=1, epochs=2),
        AutoencoderTransformer(
            preset="gaussian-vae", latent=2, hidden=(4,), epochs=2, random_state=1
        ),
    ]
)
def test_scikit_learns_own_checks(estimator, check):
    check(estimator)


# --- parameters -----------------------------------------------------------------------------------


def test_init_only_keeps_what_it_is_given():
    names = list(inspect.signature(AutoencoderTransformer.__init__).parameters)[1:]
    given = {name: object() for name in names}
    model = AutoencoderTransformer(given["latent"], **{n: given[n] for n in names if n != "latent"})
    assert vars(model) == given
    assert all(model.get_params()[name] is value for name, value in given.items())


def test_a_clone_has_the_parameters_and_nothing_learned():
    model = made(preset="topk", settings={"k": 1}).fit(IRIS)
    other = clone(model)
    assert other.get_params() == model.get_params()
    assert not hasattr(other, "model_")
    assert np.array_equal(other.fit(IRIS).transform(IRIS), model.transform(IRIS))


def test_every_parameter_and_attribute_is_documented():
    text = inspect.getdoc(AutoencoderTransformer)
    for name in made().get_params():
        assert f"\n{name}\n" in text
    for name in ("model_", "history_", "n_steps_"):
        assert name in text.split("Attributes")[1]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"preset": "dens"}, "did you mean 'dense'"),
        ({"settings": {"depth": 3}}, "no setting 'depth'"),
        ({"settings": {"epochs": 3}}, "epochs is no entry of settings"),
        ({"settings": {"k": 3}}, "no setting 'k'"),
        ({"epochs": 0}, "epochs"),
        ({"latent": 0}, "latent"),
        ({"batch_size": "many"}, "batch_size"),
        ({"n_jobs": 0}, "n_jobs"),
        ({"image_shape": (1, 3, 3)}, "no image of shape"),
        ({"preprocess": "whiten"}, "whiten"),
        ({"network": "transformer"}, "transformer"),
    ],
)
def test_settings_that_can_not_work_are_value_errors_of_fit(settings, said):
    with pytest.raises(ValueError, match=said) as caught:
        made(**settings).fit(IRIS)
    assert isinstance(caught.value, ConfigError)


def test_settings_reach_the_models_parts_and_the_training():
    model = made(preset="topk", latent=6, settings={"k": 3, "clip": 1.0}, activation="ReLU")
    model.fit(IRIS)
    assert (model.model_.bottleneck.k, model.model_.latent) == (3, 6)
    assert model.model_.network.activation == "ReLU"
    assert ((model.transform(IRIS) != 0).sum(1) <= 3).all()


def test_a_network_may_be_described():
    model = made(hidden=None, network=im.MLP((5, 4), activation="Tanh")).fit(IRIS)
    assert model.model_.network.hidden == (5, 4)
    assert made(network="linear", hidden=None).fit(IRIS).transform(IRIS).shape == (150, 2)


# --- learning -------------------------------------------------------------------------------------


def test_one_seed_gives_one_model_and_another_another():
    one, same, other = made().fit(IRIS), made().fit(IRIS), made(random_state=1).fit(IRIS)
    assert np.array_equal(one.transform(IRIS), same.transform(IRIS))
    assert not np.allclose(one.transform(IRIS), other.transform(IRIS))


def test_without_a_seed_every_fit_differs_and_numpys_state_gives_it():
    a, b = (made(random_state=None).fit(IRIS).transform(IRIS) for _ in range(2))
    assert not np.allclose(a, b)
    a, b = (made(random_state=np.random.RandomState(4)).fit(IRIS).transform(IRIS) for _ in range(2))
    assert np.array_equal(a, b)


def test_fitting_leaves_random_state_and_threads_alone():
    torch.manual_seed(3)
    before, threads = torch.get_rng_state(), torch.get_num_threads()
    made().fit(IRIS).partial_fit(IRIS)
    assert torch.equal(before, torch.get_rng_state())
    assert torch.get_num_threads() == threads


def test_fit_starts_afresh():
    model = made().fit(IRIS[:, :3])
    again = model.fit(IRIS)
    assert again is model
    assert np.array_equal(model.transform(IRIS), made().fit(IRIS).transform(IRIS))


def test_history_has_a_row_an_epoch():
    model = made(epochs=4, batch_size=50).fit(IRIS)
    assert len(model.history_) == 4
    assert model.n_steps_ == 12
    assert model.history_["train_loss"][-1] < model.history_["train_loss"][0]


def test_partial_fit_learns_on_and_keeps_the_first_scaling():
    model = made().partial_fit(IRIS[:75])
    assert model.history_ is None
    shift = model.model_.preprocessing.shift.clone()
    first = model.score(IRIS)
    for _ in range(40):
        model.partial_fit(IRIS[75:]).partial_fit(IRIS[:75])
    assert model.score(IRIS) > max(first, 0.5)
    assert torch.equal(model.model_.preprocessing.shift, shift)
    assert model.n_steps_ == 81 * 5  # batches of 16: five in 75 samples


def test_partial_fit_is_repeatable_and_goes_on_after_fit():
    one, other = (made().fit(IRIS).partial_fit(IRIS[:40]).transform(IRIS) for _ in range(2))
    assert np.array_equal(one, other)
    assert not np.allclose(one, made().fit(IRIS).transform(IRIS))


def test_partial_fit_takes_a_single_sample_once_it_has_begun():
    with pytest.raises(ValueError, match="minimum of 2"):
        made().partial_fit(IRIS[:1])
    model = made().partial_fit(IRIS)
    steps = model.n_steps_
    assert model.partial_fit(IRIS[:1]).n_steps_ == steps + 1
    with pytest.raises(ValueError, match="features"):
        model.partial_fit(IRIS[:, :2])


@pytest.mark.parametrize("how", ["fit", "partial_fit"])
def test_a_loss_that_diverges_is_said(how):
    model = made(lr=1e30, batch_size=16)
    with pytest.raises(DivergedError):
        getattr(model, how)(IRIS)


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e300])
def test_values_that_float32_can_not_hold(value):
    X = IRIS.copy()
    X[3, 1] = value
    with pytest.raises(ValueError, match=r"NaN|infinity|too large"):
        made().fit(X)


# --- codes and back -------------------------------------------------------------------------------


def test_codes_are_those_of_the_model():
    model = made().fit(IRIS)
    codes = model.transform(IRIS)
    assert codes.dtype == np.float64
    assert np.allclose(codes, model.model_.encode(IRIS), atol=1e-5)
    assert np.allclose(model.inverse_transform(codes), model.model_.reconstruct(IRIS), atol=1e-4)
    single = IRIS.astype(np.float32)
    assert made().fit(single).transform(single).dtype == np.float32


def test_a_samples_code_does_not_depend_on_its_neighbours():
    model = made(preset="batch-topk", latent=8, settings={"k": 2}).fit(IRIS)
    alone = np.concatenate([model.transform(IRIS[i : i + 1]) for i in range(20)])
    assert np.allclose(alone, model.transform(IRIS)[:20], rtol=0, atol=1e-12)


def test_linear_codes_score_what_pca_scores():
    X = load_digits().data[:600]
    model = AutoencoderTransformer(
        5, preset="linear", epochs=60, lr=0.01, preprocess="centre", random_state=0
    )
    pca = PCA(5).fit(X)
    residual = ((X - pca.inverse_transform(pca.transform(X))) ** 2).sum()
    oracle = 1 - residual / ((X - X.mean(0)) ** 2).sum()
    assert model.fit(X).score(X) == pytest.approx(oracle, abs=0.01)
    assert model.score(X) <= oracle + 1e-6


def test_score_is_one_less_fvu_about_the_training_mean():
    model = made(preprocess="none").fit(IRIS)
    some = IRIS[:50]
    out = model.inverse_transform(model.transform(some))
    expected = 1 - ((some - out) ** 2).sum() / ((some - IRIS.mean(0)) ** 2).sum()
    assert model.score(some) == pytest.approx(expected, rel=1e-6)


def test_score_of_samples_that_all_equal_the_mean():
    model = made().fit(IRIS)
    assert model.score(np.tile(IRIS.mean(0), (3, 1))) in {0.0, 1.0}


def test_names_of_the_codes():
    model = made(latent=3).fit(IRIS)
    assert list(model.get_feature_names_out()) == [f"autoencodertransformer{i}" for i in range(3)]


def test_codes_of_another_width_can_not_be_decoded():
    model = made().fit(IRIS)
    with pytest.raises(ValueError, match="codes have 2 columns, and these have 3"):
        model.inverse_transform(np.zeros((4, 3)))


@pytest.mark.parametrize("name", ["transform", "inverse_transform", "score"])
def test_nothing_works_before_fit(name):
    with pytest.raises(NotFittedError):
        getattr(made(), name)(IRIS)
    with pytest.raises(NotFittedError):
        made().get_feature_names_out()


def test_pixels_as_an_image_for_a_convolutional_network():
    X = load_digits().data[:80]
    model = made(preset="conv", hidden=None, epochs=1, image_shape=(1, 8, 8)).fit(X)
    assert model.model_.shape == (1, 8, 8)
    assert model.inverse_transform(model.transform(X)).shape == X.shape
    assert np.isfinite(model.score(X))


# --- at work --------------------------------------------------------------------------------------


def test_in_a_pipeline_and_a_search():
    X, y = load_iris(return_X_y=True)
    pipe = make_pipeline(made(epochs=15), LogisticRegression())
    grid = {"autoencodertransformer__latent": [1, 3]}
    search = GridSearchCV(pipe, grid, cv=2).fit(X, y)
    assert len(search.cv_results_["mean_test_score"]) == 2
    assert search.best_score_ > 0.6
    assert search.best_estimator_[0].model_.latent in {1, 3}
    # alone, it is chosen by its own score: more latents reconstruct better
    own = GridSearchCV(made(epochs=40), {"latent": [1, 4]}, cv=2).fit(X)
    assert own.best_params_ == {"latent": 4}


def test_in_cross_validation():
    scores = cross_val_score(made(epochs=20), IRIS, cv=3)
    assert scores.shape == (3,)
    assert (scores < 1).all()


def test_settings_may_not_name_a_field_that_no_part_has():
    fields = {f.name for f in dataclasses.fields(im.Training)}
    assert {"clip", "schedule", "patience"} <= fields
    with pytest.raises(ConfigError, match=r"its own: .*latent.*; of training: epochs"):
        made(settings={"nonsense": 1}).fit(IRIS)
