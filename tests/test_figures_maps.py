"""Latent maps: coordinates, labels, trust, and what happens with little or odd data."""

import numpy as np
import pytest
from matplotlib.collections import PathCollection

from isthmus import figures
from isthmus.errors import ConfigError, DataError
from isthmus.figures.latent_map import _apart

pytestmark = pytest.mark.filterwarnings("error")


def blobs(count=45, width=6, groups=3, seed=0):
    draws = np.random.default_rng(seed)
    labels = np.arange(count) % groups
    return draws.normal(size=(count, width)) + 6 * labels[:, None], labels


def clouds(axes):
    return [c for c in axes.collections if isinstance(c, PathCollection)]


# --- projections ------------------------------------------------------------------------------


def test_pca_of_a_plane_is_exact_and_trusted():
    draws = np.random.default_rng(0)
    plane = draws.normal(size=(40, 2)) * (3, 1) @ np.linalg.qr(draws.normal(size=(5, 5)))[0][:2]
    found = figures.project(plane, "pca")
    assert found.explained == pytest.approx(1.0)
    assert found.trustworthiness == pytest.approx(1.0)
    before = np.linalg.norm(plane[:, None] - plane[None], axis=-1)
    after = np.linalg.norm(found.coordinates[:, None] - found.coordinates[None], axis=-1)
    assert after / before.max() == pytest.approx(before / before.max() * after.max() / before.max())
    explained = figures.project(np.random.default_rng(1).normal(size=(400, 4)), "pca").explained
    assert 0.4 < explained < 0.65


def test_the_same_seed_gives_the_same_map():
    codes, _ = blobs()
    one, other = figures.project(codes, seed=3), figures.project(codes, seed=3)
    assert np.array_equal(one.coordinates, other.coordinates)


def test_t_sne_keeps_apart_what_is_apart():
    codes, labels = blobs()
    found = figures.project(codes, perplexity=8)
    assert found.trustworthiness > 0.85
    centres = np.array([found.coordinates[labels == i].mean(axis=0) for i in range(3)])
    nearest = np.argmin(np.linalg.norm(found.coordinates[:, None] - centres, axis=-1), axis=1)
    assert (nearest == labels).mean() > 0.95


@pytest.mark.parametrize(
    ("count", "width"), [(1, 3), (2, 1), (3, 7), (4, 2), (5, 1), (5, 7), (6, 2), (11, 1), (31, 7)]
)
def test_t_sne_of_few_samples(count, width):
    found = figures.project(np.random.default_rng(0).normal(size=(count, width)))
    assert found.coordinates.shape == (count, 2)
    assert np.isfinite(found.coordinates).all()
    said = " ".join(found.notes)
    if count == 1:
        assert "all codes are the same" in said
    elif count < 5:
        assert "too few samples for t-SNE: PCA shown" in said
    else:
        assert f"perplexity reduced from 30 to {(count - 1) / 3:.3g}" in said
    if count < 3:
        assert np.isnan(found.trustworthiness)
    else:
        assert 0 <= found.trustworthiness <= 1
        assert found.neighbours == min(5, (count - 1) // 2)


@pytest.mark.parametrize("method", ["pca", "tsne"])
@pytest.mark.parametrize(
    "codes",
    [np.zeros((9, 3)), np.full((9, 3), 1e30), np.repeat([[0.0, 1.0], [1.0, 0.0]], 6, axis=0),
     np.linspace(0, 1, 12)[:, None] * 1e-20, np.random.default_rng(0).normal(size=(12, 80)) * 1e200,
     np.arange(24, dtype=np.uint8).reshape(12, 2)],
    ids=["zeros", "constant", "two points", "tiny", "huge and wide", "integers"],
)  # fmt: skip
def test_degenerate_codes_give_a_map_without_warnings(method, codes):
    found = figures.project(codes, method)
    assert np.isfinite(found.coordinates).all()
    if np.ptp(codes) == 0:
        assert found.notes == ("all codes are the same",)
        assert np.isnan(found.trustworthiness)
    figures.latent_map(codes, np.arange(len(codes)) % 2, method).figure.draw_without_rendering()


def test_a_limit_draws_without_replacement_and_says_so():
    codes, labels = blobs(60)
    found = figures.project(codes, "pca", seed=1, limit=20)
    assert len(set(found.rows)) == 20
    assert list(found.rows) == sorted(found.rows)
    assert found.notes == ("20 of 60 samples",)
    picture = figures.latent_map(codes, labels, "pca", limit=20)
    rows = picture.table["row"]
    assert list(picture.table["label"]) == [str(labels[row]) for row in rows]


@pytest.mark.parametrize(
    ("codes", "options", "error", "what"),
    [
        (np.empty((0, 3)), {}, DataError, "no codes"),
        (np.zeros(5), {}, DataError, "two dimensions"),
        ([[np.nan, 1.0]], {}, DataError, "NaN"),
        (np.eye(3), {"method": "umap"}, ConfigError, "no projection 'umap'"),
        (np.eye(3), {"perplexity": 0}, ConfigError, "perplexity must be positive"),
        (np.eye(3), {"perplexity": float("nan")}, ConfigError, "perplexity must be positive"),
        (np.eye(3), {"limit": 0}, ConfigError, "limit"),
    ],
)
def test_what_cannot_be_projected_is_refused(codes, options, error, what):
    with pytest.raises(error, match=what):
        figures.project(codes, **options)
    with pytest.raises(error, match=what):
        figures.latent_map(codes, **options)


# --- maps -------------------------------------------------------------------------------------


def test_the_points_drawn_are_the_table():
    codes, labels = blobs()
    picture = figures.latent_map(codes, labels, "pca", label_names=["zero", "one", "two"])
    axes = picture.figure.axes[0]
    names = np.array(picture.table["label"])
    points = np.stack([picture.table["x"], picture.table["y"]], axis=1)
    assert [c.get_label() for c in clouds(axes)] == ["zero", "one", "two"]
    for cloud in clouds(axes):
        assert np.array_equal(cloud.get_offsets(), points[names == cloud.get_label()])
    looks = {(tuple(c.get_facecolor()[0]), len(c.get_paths()[0])) for c in clouds(axes)}
    assert len(looks) == 3
    assert [t.get_text() for t in axes.get_legend().get_texts()] == ["zero", "one", "two"]
    assert {t.get_text() for t in axes.texts} == {"zero", "one", "two"}


def test_the_title_tells_how_far_to_trust_the_map():
    codes, labels = blobs()
    found = figures.project(codes, "pca")
    picture = figures.latent_map(codes, labels, "pca")
    title = picture.figure.axes[0].get_title(loc="left")
    assert f"trustworthiness {found.trustworthiness:.3f} (5 neighbours)" in title
    assert f"{100 * found.explained:.0f} % of the variance" in title
    assert "trustworthiness" in picture.alt


def test_both_maps_show_the_same_samples():
    codes, labels = blobs(40)
    picture = figures.latent_maps(codes, labels, limit=25)
    assert list(picture.table.columns) == ["row", "label", "pca_x", "pca_y", "tsne_x", "tsne_y"]
    assert len(picture.table) == 25
    for axes, name in zip(picture.figure.axes, ("pca", "tsne"), strict=True):
        drawn = np.concatenate([np.asarray(c.get_offsets()) for c in clouds(axes)])
        assert sorted(drawn[:, 0]) == sorted(picture.table[f"{name}_x"])
    picture.png()


def test_maps_without_labels_and_with_too_many():
    codes, _ = blobs(70)
    plain = figures.latent_map(codes, None, "pca")
    assert plain.table["label"] == [None] * 70
    assert plain.figure.axes[0].get_legend() is None
    many = figures.latent_map(codes, np.arange(70) % 35, "pca").figure.axes[0]
    assert many.get_legend() is None
    assert [t.get_text() for t in many.texts] == ["35 labels: too many for a legend"]


def test_labels_are_words_numbers_and_odd_characters_in_order():
    codes, _ = blobs(24)
    labels = np.array(["10", "9", "_x", "$\\frac$"] * 6)
    axes = figures.latent_map(codes, labels, "pca").figure.axes[0]
    assert [t.get_text().strip() for t in axes.get_legend().get_texts()] == [
        "9",
        "10",
        "$\\frac$",
        "_x",
    ]
    axes.figure.draw_without_rendering()


def test_names_of_few_points_stay_in_the_legend_alone():
    codes, _ = blobs(10)
    axes = figures.latent_map(codes, [0] * 8 + [1] * 2, "pca").figure.axes[0]
    assert [t.get_text() for t in axes.texts] == ["0"]


def test_labels_must_fit():
    with pytest.raises(DataError, match="one label a sample"):
        figures.latent_map(np.eye(3), [1, 2], "pca")
    with pytest.raises(DataError, match="one label a sample"):
        figures.latent_maps(np.eye(3), [[1], [2], [3]])


def test_names_are_pushed_apart():
    places = _apart(np.zeros((6, 2)))
    distance = np.linalg.norm(places[:, None] - places[None], axis=-1)
    assert distance[~np.eye(6, dtype=bool)].min() > 0.04
    far = np.array([[0.0, 0.0], [1.0, 1.0]])
    assert _apart(far) == pytest.approx(far, abs=1e-5)
