"""The joint mixture: conditionals against brute force, EM with missing parts, files, use."""

import numpy as np
import pytest
import torch

from isthmus.errors import ConfigError, DataError, RunError
from isthmus.models.multimodal.joint_mixture import JointMixture
from isthmus.models.multimodal.mixture_fitting import MixtureFit, fit_mixture
from isthmus.models.multimodal.mixture_use import belongs, blocks_of, fit_to, imagine, translations
from multimodal_models import items, small
from multimodal_toys import toy


def mixture(seed=0, k=3, widths=(("a", 2), ("b", 3))):
    generator = np.random.default_rng(seed)
    d = sum(width for _, width in widths)
    roots = generator.normal(size=(k, d, d))
    covariances = roots @ roots.transpose(0, 2, 1) + 0.3 * np.eye(d)
    weights = generator.dirichlet(np.ones(k))
    return JointMixture(dict(widths), weights, generator.normal(size=(k, d)) * 2, covariances)


def brute(m, x):
    """Log-density by inverses and determinants."""
    found = []
    for row in x:
        total = 0.0
        for w, mean, c in zip(m.weights, m.means, m.covariances, strict=True):
            e = row - mean
            norm = np.sqrt(np.linalg.det(2 * np.pi * c))
            total += w * np.exp(-0.5 * e @ np.linalg.inv(c) @ e) / norm
        found.append(np.log(total))
    return np.array(found)


def test_density_against_brute_force_and_scipy():
    from scipy.stats import multivariate_normal

    m = mixture()
    x = np.random.default_rng(1).normal(size=(6, 5))
    found = m.log_density({"a": x[:, :2], "b": x[:, 2:]})
    assert found == pytest.approx(brute(m, x))
    marginal = sum(
        w * multivariate_normal(mean[:2], c[:2, :2]).pdf(x[:, :2])
        for w, mean, c in zip(m.weights, m.means, m.covariances, strict=True)
    )
    assert m.log_density({"a": x[:, :2]}) == pytest.approx(np.log(marginal))


def test_a_row_with_nothing_has_density_one_and_the_prior_weights():
    m = mixture()
    x = np.zeros((2, 2))
    mask = {"a": np.array([True, False])}
    assert m.log_density({"a": x}, mask)[1] == pytest.approx(0.0)
    assert m.responsibilities({"a": x}, mask)[1] == pytest.approx(m.weights)


def test_conditional_is_joint_over_marginal():
    """On a grid over one wanted coordinate p(b|a) must be p(a, b) / p(a)."""
    m = mixture(3, widths=(("a", 2), ("b", 1)))
    a = np.array([[0.3, -1.0]])
    found = m.conditional({"a": a})
    grid = np.linspace(-30, 30, 20001)[:, None]
    joint = m.log_density({"a": np.repeat(a, len(grid), 0), "b": grid})
    density = np.exp(joint - m.log_density({"a": a}))
    step = grid[1, 0] - grid[0, 0]
    assert density.sum() * step == pytest.approx(1, rel=1e-6)
    mean = (density * grid[:, 0]).sum() * step
    variance = (density * (grid[:, 0] - mean) ** 2).sum() * step
    assert found.mean()["b"][0, 0] == pytest.approx(mean, rel=1e-5)
    assert found.deviation()["b"][0, 0] == pytest.approx(np.sqrt(variance), rel=1e-5)


def test_samples_have_the_conditional_moments():
    m = mixture(4)
    a = np.array([[0.5, 0.5], [-2.0, 1.0]])
    found = m.conditional({"a": a})
    drawn = found.sample(60_000, np.random.default_rng(0))["b"]
    assert drawn.shape == (2, 60_000, 3)
    assert drawn.mean(1) == pytest.approx(found.mean()["b"], abs=0.1)
    assert drawn.std(1) == pytest.approx(found.deviation()["b"], rel=0.03)
    joint = m.sample(60_000, np.random.default_rng(0))
    assert joint["a"].mean(0) == pytest.approx((m.weights @ m.means)[:2], abs=0.1)


def test_the_best_component_is_no_average():
    covariances = np.stack([np.eye(2) * 0.1] * 2)
    m = JointMixture(
        {"a": 1, "b": 1}, np.array([0.5, 0.5]), np.array([[0.0, -5], [0, 5]]), covariances
    )
    found = m.conditional({"a": np.array([[0.0]])})
    assert found.mean()["b"][0, 0] == pytest.approx(0)
    assert abs(found.best()["b"][0, 0]) == pytest.approx(5)
    assert found.entropy()[0] == pytest.approx(np.log(2))
    assert found.deviation()["b"][0, 0] == pytest.approx(np.sqrt(25.1))


def test_known_classes_are_fitted_in_closed_form():
    generator = np.random.default_rng(0)
    labels = np.arange(600) % 2
    x = generator.normal(size=(600, 3)) + 4 * labels[:, None]
    m = fit_mixture({"a": x[:, :1], "b": x[:, 1:]}, labels=labels, config=MixtureFit(ridge=1e-9))
    assert m.labels.tolist() == [0, 1]
    assert m.weights == pytest.approx([0.5, 0.5])
    for label in (0, 1):
        own = x[labels == label]
        assert m.means[label] == pytest.approx(own.mean(0))
        assert m.covariances[label] == pytest.approx(np.cov(own.T, bias=True), abs=1e-6)


def test_em_raises_the_likelihood_and_finds_the_mixture_with_a_third_missing():
    truth = JointMixture(
        {"a": 2, "b": 2},
        np.array([0.4, 0.6]),
        np.array([[-3.0, 0, 2, 2], [3, 1, -2, 0]]),
        np.stack([np.eye(4) + 0.5 * np.ones((4, 4)), np.eye(4) + 0.3 * np.ones((4, 4))]),
    )
    generator = np.random.default_rng(0)
    x = truth.sample(3000, generator)
    mask = {"a": generator.random(3000) > 0.33}
    mask["b"] = (generator.random(3000) > 0.33) | ~mask["a"]
    spoilt = {n: np.where(mask[n][:, None], v, 1e9) for n, v in x.items()}
    scores = []
    for rounds in (0, 1, 3, 25):
        config = MixtureFit(components=2, rounds=rounds, ridge=1e-6, tolerance=0)
        m = fit_mixture(spoilt, mask, config=config)
        scores.append(m.log_density(spoilt, mask).mean())
    assert scores == sorted(scores)
    assert scores[-1] == pytest.approx(truth.log_density(spoilt, mask).mean(), abs=0.02)
    order = np.argsort(m.means[:, 0])
    assert m.means[order] == pytest.approx(truth.means, abs=0.2)
    assert m.covariances[order] == pytest.approx(truth.covariances, abs=0.3)


def test_rows_of_unknown_class_join_the_classes():
    generator = np.random.default_rng(0)
    labels = np.arange(400) % 2
    x = generator.normal(size=(400, 2)) + 6 * labels[:, None]
    hidden = np.where(np.arange(400) < 20, labels, -1)
    m = fit_mixture({"a": x}, labels=hidden)
    assert m.labels.tolist() == [0, 1]
    assert m.weights == pytest.approx([0.5, 0.5], abs=0.02)
    assert m.responsibilities({"a": x}).argmax(1).tolist() == labels.tolist()


def test_completion_fills_what_is_missing_and_nothing_else():
    generator = np.random.default_rng(0)
    a = generator.normal(size=(500, 1))
    b = 2 * a + 0.1 * generator.normal(size=(500, 1))
    m = fit_mixture({"a": a, "b": b}, config=MixtureFit(components=1, ridge=1e-6))
    mask = {"a": np.ones(500, bool), "b": np.arange(500) % 2 == 0}
    filled = m.complete({"a": a, "b": np.where(mask["b"][:, None], b, 0)}, mask)
    assert filled["a"] == pytest.approx(a)
    assert filled["b"][::2] == pytest.approx(b[::2])
    assert np.corrcoef(filled["b"][1::2, 0], b[1::2, 0])[0, 1] > 0.995


def test_what_belongs_together_scores_above_what_does_not():
    generator = np.random.default_rng(0)
    labels = np.arange(900) % 3
    centres = np.eye(3) * 5
    a, b = (generator.normal(size=(900, 3)) + centres[labels] for _ in range(2))
    m = fit_mixture({"a": a, "b": b}, labels=labels)
    together = m.belongs({"a": a}, {"b": b})
    apart = m.belongs({"a": a}, {"b": np.roll(b, 1, 0)})
    assert (together > 0).mean() > 0.98
    assert (apart < 0).mean() > 0.98
    # log 3: to know the class of the one is to know that of the other
    assert np.median(together) == pytest.approx(np.log(3), abs=0.1)
    with pytest.raises(ConfigError, match="both sides"):
        m.belongs({"a": a}, {"a": a})


def test_files_hold_the_same_mixture(tmp_path):
    m = mixture()
    m.save(tmp_path / "m.safetensors")
    again = JointMixture.open(tmp_path / "m.safetensors")
    x = {"a": np.ones((2, 2))}
    assert again.widths == m.widths
    assert again.log_density(x).tolist() == m.log_density(x).tolist()
    assert again.labels.tolist() == m.labels.tolist()


def test_damaged_files_are_refused(tmp_path):
    path = tmp_path / "m.safetensors"
    with pytest.raises(RunError, match="missing"):
        JointMixture.open(path)
    path.write_bytes(b"no safetensors")
    with pytest.raises(RunError, match="damaged"):
        JointMixture.open(path)
    m = mixture()
    m.means[0, 0] = np.nan
    m.save(path)
    with pytest.raises(RunError, match="damaged"):
        JointMixture.open(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(RunError, match="damaged"):
        JointMixture.open(path)


def test_wrong_blocks_are_refused():
    m = mixture()
    with pytest.raises(ConfigError, match="no block 'c'"):
        m.log_density({"c": np.zeros((1, 2))})
    with pytest.raises(DataError, match="the shape"):
        m.log_density({"a": np.zeros((1, 3))})
    with pytest.raises(DataError, match="NaN"):
        m.log_density({"a": np.full((1, 2), np.nan)})
    with pytest.raises(DataError, match="two rows"):
        fit_mixture({"a": np.zeros((1, 2))})
    with pytest.raises(DataError, match="fit each other"):
        JointMixture({"a": 3}, m.weights, m.means, m.covariances)
    for wrong in (
        {"ridge": 0.0},
        {"components": 0},
        {"per_class": 0},
        {"rounds": -1},
        {"shrink": 2.0},
    ):
        with pytest.raises(ConfigError):
            MixtureFit(**wrong)


def test_constant_coordinates_do_no_harm():
    """The codes of ten words, each always the same, have no variance within a class."""
    labels = np.arange(60) % 3
    b = np.random.default_rng(0).normal(size=(60, 2)) + labels[:, None]
    m = fit_mixture({"a": np.eye(3)[labels], "b": b}, labels=labels)
    found = m.conditional({"a": np.eye(3)})
    assert found.weights.argmax(1).tolist() == [0, 1, 2]
    assert all(np.isfinite(v).all() for v in found.sample(3, np.random.default_rng(0)).values())


# --- on a model ------------------------------------------------------------


@pytest.mark.parametrize("name", ["aligned", "mvtcae", "mmvae-plus"])
def test_a_mixture_serves_any_model(name):
    data = toy(rule="table")
    from multimodal_models import modality

    model = small(name, [modality("a", (4,)), modality("b", (4,), private=0)])
    m = fit_to(model, data)
    has = {"a/shared", "b/shared"} | ({"a/private"} if name != "mvtcae" else set())
    assert set(m.widths) == has
    given = {"b": data["b"].items[:5]}
    one = translations(model, m, given, "a")
    assert one.items.shape == (5, 1, 4)
    many = translations(model, m, given, "a", samples=7, seed=1)
    assert many.items.shape == (5, 7, 4)
    assert many.items.isfinite().all()
    again = translations(model, m, given, "a", samples=7, seed=1)
    assert torch.equal(many.items, again.items)
    assert many.weights.sum(1) == pytest.approx(np.ones(5))
    kept = translations(model, m, given, "a", samples=2, style=data["a"].items[:1])
    assert kept.items.shape == (5, 2, 4)
    drawn = imagine(model, m, 6)
    assert {k: tuple(v.shape) for k, v in drawn.items()} == {"a": (6, 4), "b": (6, 4)}
    score = belongs(model, m, {"a": data["a"].items[:5]}, given)
    assert score.shape == (5,)
    assert np.isfinite(score).all()
    with pytest.raises(ConfigError, match="given and wanted"):
        translations(model, m, given, "b")
    with pytest.raises(ConfigError, match="no modality"):
        translations(model, m, given, "smell")


def test_blocks_are_codes_by_name():
    codes = small("aligned").encode(items(3), {"b": torch.tensor([True, False, True])})
    blocks, masks = blocks_of(codes)
    assert set(blocks) == {"a/shared", "a/private", "b/shared", "b/private", "c/shared"}
    assert masks["b/private"].tolist() == [True, False, True]
    assert blocks["b/private"].shape == (3, 3)
