"""The sparse dictionary as a scikit-learn estimator: its checks, and what dictionaries add."""

import inspect
import pickle

import numpy as np
import pytest
import torch
from scipy import sparse
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

import isthmus as im
from dictionary_toys import fvu, mixtures, state_of
from isthmus.errors import ConfigError, DataError, DivergedError
from isthmus.sklearn import AutoencoderTransformer, SparseDictionary

ROWS = mixtures(400, 10)
KINDS = [
    "topk",
    "batch-topk",
    "matryoshka",
    "any-k",
    "jumprelu",
    "gated",
    "relu-l1",
    "kl",
    "contrastive",
]


def made(**settings):
    given = {"n_latents": 24, "k": 3, "epochs": 3, "lr": 0.01, "random_state": 0} | settings
    return SparseDictionary(**given)


# No check is expected to fail. scikit-learn itself skips its array API check where SCIPY_ARRAY_API
# isn't set; the estimator claims no support for other arrays than NumPy's.
@parametrize_with_checks(
    [
        SparseDictionary(epochs=1, random_state=0),
        SparseDictionary(bottleneck="gated", normalise="layer", epochs=1, random_state=0),
        SparseDictionary(
            n_latents=8, k=2, bottleneck="batch-topk", refine=True, epochs=1, random_state=0
        ),
    ]
)
def test_scikit_learns_own_checks(estimator, check):
    check(estimator)


# --- parameters -----------------------------------------------------------------------------------


def test_both_estimators_are_where_they_were():
    import isthmus.sklearn

    assert isthmus.sklearn.__all__ == ["AutoencoderTransformer", "SparseDictionary"]
    assert AutoencoderTransformer.__module__.startswith("isthmus.sklearn")


def test_init_only_keeps_what_it_is_given():
    names = list(inspect.signature(SparseDictionary.__init__).parameters)[1:]
    given = {name: object() for name in names}
    model = SparseDictionary(given["n_latents"], **{n: given[n] for n in names if n != "n_latents"})
    assert vars(model) == given


def test_every_parameter_and_attribute_is_documented():
    text = inspect.getdoc(SparseDictionary)
    for name in made().get_params():
        assert f"\n{name}\n" in text
    for name in ("model_", "components_", "history_", "notes_", "n_steps_"):
        assert f"\n{name}\n" in text.split("Attributes")[1]


def test_a_clone_has_the_parameters_and_nothing_learned():
    model = made(bottleneck="any-k", settings={"levels": (1, 3)}).fit(ROWS)
    other = clone(model)
    assert other.get_params() == model.get_params()
    assert not hasattr(other, "model_")
    assert np.array_equal(other.fit(ROWS).components_, model.components_)


@pytest.mark.parametrize(
    ("rows", "dim", "n_latents", "k", "latents", "active"),
    [
        (400, 10, None, None, 16, 4),  # one latent for 16 samples, a quarter of them active
        (4000, 10, None, None, 80, 20),  # 8 a feature
        (400, 10, 200, None, 200, 32),
        (400, 10, None, 6, 24, 6),  # room for the k that was asked for
        (400, 10, 12, 6, 12, 6),
    ],
)
def test_sizes_follow_from_the_data_and_from_each_other(rows, dim, n_latents, k, latents, active):
    x = np.random.default_rng(0).normal(size=(rows, dim))
    model = SparseDictionary(n_latents, k=k, epochs=1, random_state=0).fit(x)
    assert (model.model_.latent, model.model_.bottleneck.k) == (latents, active)
    assert model.transform(x).shape == (rows, latents)


@pytest.mark.parametrize("bottleneck", KINDS)
def test_every_bottleneck_by_name(bottleneck):
    k = None if bottleneck == "kl" else 3
    model = made(bottleneck=bottleneck, k=k, epochs=10).fit(ROWS)
    codes = model.transform(ROWS)
    assert isinstance(codes, sparse.csr_array)
    assert (codes.shape, codes.dtype) == ((400, 24), np.float32)
    assert model.score(ROWS) > 0.3
    if bottleneck in ("topk", "any-k", "contrastive"):
        assert np.diff(codes.indptr).max() <= 3
    if bottleneck == "kl":
        assert codes.nnz == 400 * 24


def test_a_bottleneck_may_be_described():
    model = SparseDictionary(bottleneck=im.JumpReLU(latent=30, weight=0.01), epochs=2).fit(ROWS)
    assert model.model_.bottleneck == im.JumpReLU(latent=30, weight=0.01)
    model = SparseDictionary(bottleneck=im.TopK(4, 3), settings={"balance": 0.5}, epochs=1)
    assert model.fit(ROWS).model_.bottleneck == im.TopK(4, 3, balance=0.5)


def test_settings_reach_the_bottleneck_and_the_training():
    given = {"prefixes": (6, 24), "max_rate": 0.3, "revival": 0.0}
    model = made(bottleneck="matryoshka", settings=given)
    model.fit(ROWS)
    assert model.model_.bottleneck.prefixes == (6, 24)
    assert "train_revival" not in model.history_.columns


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"bottleneck": "tokp"}, "did you mean 'topk'"),
        ({"bottleneck": im.TopK(8, 2)}, "holds its own n_latents and k"),
        ({"bottleneck": im.Plain(8), "n_latents": None, "k": None}, "can't have a Plain"),
        ({"bottleneck": "kl"}, "no k to choose"),
        ({"settings": {"depth": 3}}, "no setting 'depth'"),
        ({"settings": {"epochs": 3}}, "epochs is no entry of settings"),
        ({"settings": {"k": 3}}, "k is no entry of settings"),
        ({"settings": {"normalise": "unit"}}, "normalise is no entry of settings"),
        ({"settings": {"max_rate": 2.0}}, "max_rate"),
        ({"k": 0}, "k must be above 0"),
        ({"k": 13}, "more than half of the 24"),
        ({"k": 25}, "k = 25"),
        ({"k": "many"}, "k can't be"),
        ({"n_latents": 0}, "latent"),
        ({"epochs": 0}, "epochs"),
        ({"epochs": "x"}, "epochs"),
        ({"lr": -1.0}, "lr"),
        ({"batch_size": 0}, "batch"),
        ({"batch_size": "many"}, "batch_size"),
        ({"held_out": 1.5}, "held_out"),
        ({"n_jobs": 0}, "n_jobs"),
        ({"normalise": "batch"}, "none, layer or unit"),
    ],
)
def test_settings_that_can_not_work_are_value_errors_of_fit(settings, said):
    with pytest.raises(ValueError, match=said) as caught:
        made(**settings).fit(ROWS)
    assert isinstance(caught.value, ConfigError)


# --- learning -------------------------------------------------------------------------------------


def test_it_is_the_librarys_own_training():
    from dictionary_toys import stream
    from isthmus.training.dictionary import DictionaryTraining, fit_dictionary

    model = made(batch_size=64).fit(ROWS)
    seed = model._seed
    other = im.SparseDictionary(10, im.TopK(24, 3), seed=seed)
    config = DictionaryTraining(epochs=3, lr=0.01, batch_size=64, threads=1, seed=seed)
    fit_dictionary(other, stream(ROWS, 64, seed), config)
    assert state_of(model.model_) == state_of(other)


def test_one_seed_gives_one_dictionary_and_another_another():
    one, same, other = made().fit(ROWS), made().fit(ROWS), made(random_state=1).fit(ROWS)
    assert state_of(one.model_) == state_of(same.model_)
    assert not np.allclose(one.components_, other.components_)
    a, b = (made(random_state=None).fit(ROWS).components_ for _ in range(2))
    assert not np.allclose(a, b)
    a, b = (made(random_state=np.random.RandomState(4)).fit(ROWS).components_ for _ in range(2))
    assert np.array_equal(a, b)


def test_threads_do_not_matter():
    one, two = made().fit(ROWS), made(n_jobs=2).fit(ROWS)
    assert state_of(one.model_) == state_of(two.model_)
    assert np.array_equal(one.transform(ROWS).toarray(), two.transform(ROWS).toarray())


def test_fitting_leaves_random_state_threads_and_samples_alone():
    torch.manual_seed(3)
    before, threads, rows = torch.get_rng_state(), torch.get_num_threads(), ROWS.copy()
    made(normalise="unit").fit(rows).partial_fit(rows).transform(rows)
    assert torch.equal(before, torch.get_rng_state())
    assert torch.get_num_threads() == threads
    assert np.array_equal(rows, ROWS)


def test_fit_starts_afresh():
    model = made().fit(ROWS[:, :4])
    assert model.fit(ROWS) is model
    assert state_of(model.model_) == state_of(made().fit(ROWS).model_)


def test_history_and_notes_are_those_of_the_last_fit():
    model = made(epochs=4, batch_size=64).fit(ROWS)
    assert len(model.history_) == 4
    assert model.n_steps_ == 4 * 6  # 360 rows
    assert model.history_["validation_fvu"][-1] < model.history_["validation_fvu"][0]
    assert isinstance(model.notes_, tuple)
    rows = np.random.default_rng(0).normal(size=(80, 20))  # nothing to learn but by heart
    model = made(epochs=40, lr=0.02, k=6, settings={"noise": 0.0}).fit(rows)
    assert any("over-fits" in note for note in model.notes_)


def test_few_samples_are_all_trained_on():
    model = made(epochs=2).fit(ROWS[:49])
    assert "validation_fvu" not in model.history_.columns
    assert "validation_fvu" in made(epochs=2).fit(ROWS[:50]).history_.columns
    assert "validation_fvu" not in made(epochs=2, held_out=0).fit(ROWS).history_.columns
    assert made(epochs=1).fit(ROWS[:2]).transform(ROWS[:2]).shape == (2, 24)


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e300])
def test_values_that_float32_can_not_hold(value):
    rows = ROWS.astype(np.float64)
    rows[3, 1] = value
    with pytest.raises(ValueError, match=r"NaN|infinity|too large"):
        made().fit(rows)


def test_samples_that_teach_nothing_are_refused():
    with pytest.raises(DataError, match="all rows are the same"):
        made().fit(np.ones((60, 10)))
    with pytest.raises(DataError, match="all rows are the same"):
        made().partial_fit(np.ones((60, 10)))
    with pytest.raises(ValueError, match="minimum of 2"):
        made().fit(ROWS[:1])
    with pytest.raises(TypeError, match="dense"):
        made().fit(sparse.csr_array(ROWS))


@pytest.mark.parametrize("how", ["fit", "partial_fit"])
def test_a_loss_that_diverges_is_said(how):
    with pytest.raises(DivergedError):
        getattr(made(lr=1e30, batch_size=16, settings={"encoder_decay": 1.0}), how)(ROWS)


# --- learning by parts ----------------------------------------------------------------------------


@pytest.mark.parametrize("bottleneck", ["topk", "batch-topk", "gated", "kl"])
def test_partial_fit_learns_on(bottleneck):
    model = made(bottleneck=bottleneck, k=None if bottleneck == "kl" else 3, batch_size=32)
    model.partial_fit(ROWS[:200])
    assert model.history_ is None
    assert model.n_steps_ == 7
    first = model.score(ROWS)
    for _ in range(20):
        model.partial_fit(ROWS[200:]).partial_fit(ROWS[:200])
    assert model.n_steps_ == 41 * 7
    assert model.score(ROWS) > max(first + 0.05, 0.5)
    assert np.allclose(np.linalg.norm(model.components_, axis=1), 1, atol=1e-5) or (
        bottleneck == "kl"
    )


def test_calls_keep_moments_and_clocks():
    """Rows in two calls of 200 are two calls; their state is not that of a fresh start."""
    one = made(batch_size=50)
    for _ in range(3):
        one.partial_fit(ROWS[:200]).partial_fit(ROWS[200:])
    assert int(one._state["clock.seen"]) == 1200
    assert float(one._state["engine.square.encoder_ND"].abs().sum()) > 0
    # the same calls, in a copy that was pickled half-way
    other = made(batch_size=50)
    for _ in range(3):
        other = pickle.loads(pickle.dumps(other.partial_fit(ROWS[:200])))  # noqa: S301
        other.partial_fit(ROWS[200:])
    assert state_of(one.model_) == state_of(other.model_)
    # a start that forgets Adam's moments is another
    third = made(batch_size=50)
    for _ in range(3):
        for part in (ROWS[:200], ROWS[200:]):
            third.partial_fit(part)
            third._state = None
    assert state_of(third.model_) != state_of(one.model_)


def test_one_pass_by_parts_is_the_trainings_own_steps():
    """A pass of one batch is one step; the scale is that of the first rows."""
    from dictionary_toys import member

    model = made(batch_size=200, lr=0.01).partial_fit(ROWS[:200])
    other = im.SparseDictionary(10, im.TopK(24, 3), seed=model._seed)
    decay = im.DictionaryTraining().encoder_decay
    one = member(other, ROWS[:200], lr=0.01, decay=0.0, max_rate=0.2, encoder_decay=decay)
    one.step(ROWS[:200], 1, 10_000)
    one.finish()
    assert np.allclose(other.decoder.detach(), model.components_, atol=1e-5)
    scale = model._scale
    for part in (ROWS[200:] * 100, ROWS[:200]):
        assert model.partial_fit(part)._scale == scale


def test_partial_fit_goes_on_after_fit():
    model = made().fit(ROWS)
    before, steps = model.score(ROWS), model.n_steps_
    codes = model.transform(ROWS).toarray()
    model.set_params(lr=1e-9).partial_fit(ROWS)  # a rate of nearly nothing: what was learned stays
    assert model.n_steps_ > steps
    assert np.allclose(model.transform(ROWS).toarray(), codes, atol=1e-4)
    model.set_params(lr=0.003)
    for _ in range(20):
        model.partial_fit(ROWS)
    assert model.score(ROWS) > before
    assert len(model.history_) == 3


def test_partial_fit_takes_a_single_sample_once_it_has_begun():
    with pytest.raises(ValueError, match="minimum of 2"):
        made().partial_fit(ROWS[:1])
    model = made().partial_fit(ROWS)
    steps = model.n_steps_
    assert model.partial_fit(ROWS[:1]).n_steps_ == steps + 1
    with pytest.raises(ValueError, match="features"):
        model.partial_fit(ROWS[:, :2])


# --- codes and back -------------------------------------------------------------------------------


@pytest.mark.parametrize("normalise", ["none", "layer", "unit"])
def test_codes_are_those_of_the_model(normalise):
    model = made(normalise=normalise).fit(ROWS)
    codes = model.transform(ROWS)
    assert np.array_equal(codes.toarray(), model.model_.encode(ROWS, dense=True))
    assert np.array_equal(model.inverse_transform(codes), model.model_.decode(codes))
    for other in (codes.toarray(), codes.tocsc(), sparse.csr_matrix(codes)):
        assert np.allclose(model.inverse_transform(other), model.model_.decode(codes), atol=1e-5)
    assert model.inverse_transform(codes).dtype == np.float32
    assert model.transform(ROWS.astype(np.float64)).dtype == np.float32


def test_refined_codes_score_better():
    plain = made(epochs=8).fit(ROWS)
    refined = made(epochs=8, refine=True).fit(ROWS)
    assert state_of(plain.model_) == state_of(refined.model_)
    assert refined.score(ROWS) > plain.score(ROWS) + 0.02
    assert np.diff(refined.transform(ROWS).indptr).max() <= 3
    more = made(epochs=8, refine=im.Pursuit(k=5)).fit(ROWS)
    assert more.score(ROWS) > refined.score(ROWS)


@pytest.mark.parametrize("normalise", ["none", "unit"])
def test_score_is_one_less_fvu_about_the_training_mean(normalise):
    model = made(normalise=normalise).fit(ROWS)
    some = ROWS[:50]
    out = model.inverse_transform(model.transform(some))
    inside, mean = (
        model.model_.prepared(torch.tensor(x))[0].numpy() for x in (some, ROWS.mean(0)[None])
    )
    wanted = 1 - ((inside - out) ** 2).sum() / ((inside - mean) ** 2).sum()
    assert model.score(some) == pytest.approx(wanted, rel=1e-4)
    if normalise == "none":
        assert model.score(ROWS) == pytest.approx(
            1 - fvu(ROWS, model.inverse_transform(model.transform(ROWS))), rel=1e-4
        )


def test_names_of_the_codes():
    model = made(n_latents=6, k=2).fit(ROWS)
    assert list(model.get_feature_names_out()) == [f"sparsedictionary{i}" for i in range(6)]


def test_codes_of_another_width_can_not_be_decoded():
    model = made().fit(ROWS)
    for codes in (np.zeros((4, 3)), sparse.csr_array((4, 3))):
        with pytest.raises(ValueError, match="codes have 24 columns, and these have 3"):
            model.inverse_transform(codes)


@pytest.mark.parametrize("name", ["transform", "inverse_transform", "score"])
def test_nothing_works_before_fit(name):
    with pytest.raises(NotFittedError):
        getattr(made(), name)(ROWS)
    with pytest.raises((NotFittedError, AttributeError)):
        made().components_  # noqa: B018


def test_dense_output_can_be_asked_of_a_pipeline_only_as_it_is():
    """pandas frames hold no sparse arrays: scikit-learn says so."""
    pytest.importorskip("pandas")
    model = made().fit(ROWS).set_output(transform="pandas")
    with pytest.raises(ValueError, match="sparse"):
        model.transform(ROWS)


# --- at work --------------------------------------------------------------------------------------


def test_in_a_pipeline_and_a_search():
    x, y = load_digits(return_X_y=True)
    x, y = x[:600], y[:600]
    pipe = make_pipeline(made(n_latents=None, epochs=20), LogisticRegression(max_iter=3000))
    search = GridSearchCV(pipe, {"sparsedictionary__k": [1, 8]}, cv=2).fit(x, y)
    assert search.best_params_ == {"sparsedictionary__k": 8}
    assert search.best_score_ > 0.8
    # alone, it is chosen by its own score: more active latents reconstruct better
    own = GridSearchCV(made(epochs=6), {"k": [1, 4]}, cv=2).fit(ROWS)
    assert own.best_params_ == {"k": 4}


def test_pickled_and_deep_copied_estimators_do_the_same():
    import copy

    model = made(bottleneck="gated").fit(ROWS)
    for other in (pickle.loads(pickle.dumps(model)), copy.deepcopy(model)):  # noqa: S301
        assert np.array_equal(other.transform(ROWS).toarray(), model.transform(ROWS).toarray())
        other.partial_fit(ROWS)
