"""Two dictionaries: what was kept, split, merged, is new, is lost; numbers that are kept."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from isthmus.bottlenecks import (
    L1,
    AnyK,
    BatchTopK,
    Contrastive,
    Gated,
    JumpReLU,
    KLSparse,
    Matryoshka,
    TopK,
)
from isthmus.concepts import Diffing, carry_ids, diff, permuted, stability_of
from isthmus.concepts.thresholds import chance_cosine
from isthmus.errors import ConfigError, DataError
from isthmus.models.dictionary import SparseDictionary

RNG = np.random.default_rng(0)
BASIS = np.linalg.qr(RNG.standard_normal((64, 64)))[0]


def unit(rows):
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def pair():
    """A and B: 0 and 1 are kept, 2 is split, 3 and 4 are merged, 5 is lost; B's 6 is new.

    Fifty more are the same: without them few directions would fill the space they are in.
    """
    near = BASIS + 0.05 * np.random.default_rng(1).standard_normal(BASIS.shape)
    a = np.stack([BASIS[0], BASIS[1], BASIS[2] + BASIS[3], BASIS[4], BASIS[5], BASIS[6]])
    b = np.stack([near[1], near[0], near[2], near[3], near[4] + near[5], np.zeros(64), near[7]])
    return np.concatenate([a, BASIS[10:60]]), np.concatenate([b, near[10:60]])


def first(kept):
    return [(pair.a, pair.b) for pair in kept if pair.a < 6]


def test_each_fate_by_construction():
    found = diff(*pair(), config=Diffing(cosine=0.75))
    assert first(found.kept) == [(0, 1), (1, 0)]
    assert [(split.a, set(split.b)) for split in found.split] == [(2, {2, 3})]
    assert [(set(merged.a), merged.b) for merged in found.merged] == [({3, 4}, 4)]
    assert found.lost == (5,)
    assert found.new == (6,)
    assert found.sizes == (56, 56)  # a row of zeros is no concept
    assert found.split[0].cosine > 0.9
    assert found.split[0].coverage is None
    assert found.kept[0].correlation is None
    assert found.summary() == (
        "52 of 56 concepts kept (93%), 1 split, 2 merged into 1, 1 lost; 1 new of 56"
    )


def test_codes_can_refute_what_directions_say():
    a, b = pair()
    rng = np.random.default_rng(2)
    on = rng.random((200, 8)) < 0.3
    codes_a = np.stack([on[:, 0], on[:, 1], on[:, 2] | on[:, 3], *on[:, 4:7].T], 1) * 1.0
    codes_b = np.stack(
        [on[:, 1], on[:, 0], on[:, 2], on[:, 3], on[:, 4] | on[:, 5], 0 * on[:, 0], on[:, 7]], 1
    ) * np.where(np.arange(7) == 1, 2.0, 1.0)
    more = rng.random((200, 50))
    codes_a, codes_b = np.hstack([codes_a, more]), np.hstack([codes_b, more])
    config = Diffing(cosine=0.75)
    same = diff(a, b, codes_a, codes_b, config)
    assert first(same.kept) == [(0, 1), (1, 0)]
    assert all(kept.jaccard == 1.0 for kept in same.kept)
    assert all(kept.correlation == pytest.approx(1.0) for kept in same.kept)
    assert same.split[0].coverage == 1.0
    assert same.merged[0].coverage == 1.0
    elsewhere = codes_b[rng.permutation(200)]
    other = diff(a, b, codes_a, elsewhere, config)
    assert other.kept == ()
    assert other.split == ()
    assert other.merged == ()
    assert other.lost == tuple(range(56))


def test_correlation_and_jaccard_are_numpys():
    rng = np.random.default_rng(3)
    dense = [rng.gamma(1, 1, (50, 4)) * (rng.random((50, 4)) < 0.5) for _ in range(2)]
    config = Diffing(correlation=1e-9)
    found = diff(np.eye(4), np.eye(4), dense[0], dense[1] + 0.5 * dense[0], config)
    for kept in found.kept:
        first, second = dense[0][:, kept.a], (dense[1] + 0.5 * dense[0])[:, kept.b]
        assert kept.correlation == pytest.approx(np.corrcoef(first, second)[0, 1])
        both, either = ((first > 0) & (second > 0)).sum(), ((first > 0) | (second > 0)).sum()
        assert kept.jaccard == pytest.approx(both / either)


def test_unrelated_dictionaries_share_nothing():
    rng = np.random.default_rng(4)
    found = diff(rng.standard_normal((200, 32)), rng.standard_normal((200, 32)))
    assert len(found.kept) + len(found.split) + len(found.merged) <= 4
    assert found.cosine >= 0.7
    assert 0.4 < found.chance < 0.9


def test_in_few_dimensions_chance_raises_the_bar():
    rng = np.random.default_rng(5)
    a, b = rng.standard_normal((300, 3)), rng.standard_normal((300, 3))
    found = diff(a, b)
    assert found.cosine == pytest.approx(chance_cosine(a, b))
    assert found.cosine > 0.95
    assert len(found.kept) < 250


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 1000))
def test_every_concept_has_one_fate(seed):
    rng = np.random.default_rng(seed)
    a = unit(rng.standard_normal((12, 20)))
    b = unit(a[rng.integers(0, 12, 15)] + 0.2 * rng.standard_normal((15, 20)))
    found = diff(a, b, config=Diffing(cosine=0.8))
    fates = [k.a for k in found.kept] + list(found.lost) + [s.a for s in found.split]
    merged = [j for m in found.merged for j in m.a]
    assert sorted({*fates, *merged}) == list(range(12))
    assert len(fates) == len(set(fates))
    assert not set(found.lost) & set(merged)
    assert len({k.b for k in found.kept}) == len(found.kept)
    assert not set(found.new) & {j for s in found.split for j in s.b}


def test_a_dictionary_is_itself():
    found = diff(BASIS, BASIS)
    assert len(found.kept) == 64
    assert not (found.new)
    assert not (found.lost)
    assert not (found.split)
    assert not (found.merged)
    assert all(kept.a == kept.b and kept.cosine == pytest.approx(1) for kept in found.kept)


def test_what_can_not_be_compared_is_refused():
    with pytest.raises(ConfigError, match="both dictionaries"):
        diff(np.eye(2), np.eye(2), np.eye(2))
    with pytest.raises(DataError, match="same passages"):
        diff(np.eye(2), np.eye(2), np.eye(2), np.ones((3, 2)))
    with pytest.raises(DataError, match="widths"):
        diff(np.eye(2), np.eye(3))
    for setting in ({"cosine": 0.0}, {"coverage": 2.0}, {"parts": 1}):
        with pytest.raises(ConfigError):
            Diffing(**setting)


# --- numbers that are kept ----------------------------------------------------------------------


def test_matched_concepts_keep_their_numbers_and_the_rest_fill_up():
    old = BASIS[:6]
    new = np.stack([BASIS[20], BASIS[4], BASIS[21], BASIS[0], BASIS[2], BASIS[22], BASIS[1]])
    found = carry_ids(old, new)
    assert found.kept.tolist() == [True, True, True, False, True, False, False]
    assert found.order.tolist() == [3, 6, 4, 0, 1, 2, 5]
    assert found.share == pytest.approx(4 / 6)
    assert found.before == 6
    assert np.allclose(new[found.order][found.kept], old[found.kept[:6]])


def test_a_smaller_dictionary_loses_the_numbers_beyond_it():
    found = carry_ids(BASIS[:5], BASIS[[4, 1, 0]])
    assert found.order.tolist() == [2, 1, 0]
    assert found.kept.tolist() == [True, True, False]


def test_groups_are_never_left():
    old = BASIS[:6]
    new = BASIS[[3, 1, 0, 2, 5, 4]]
    found = carry_ids(old, new, groups=(3, 6))
    assert found.order.tolist() == [2, 1, 0, 3, 5, 4]
    assert found.kept.tolist() == [True, True, False, False, True, True]
    assert sorted(found.order[:3]) == [0, 1, 2]


@pytest.mark.parametrize("options", [{"cosine": 0}, {"groups": (2, 5)}, {"groups": (4, 2, 6)}])
def test_impossible_carrying_is_refused(options):
    with pytest.raises(ConfigError):
        carry_ids(BASIS[:6], BASIS[:6], **options)


BOTTLENECKS = [
    TopK(latent=24, k=3),
    BatchTopK(latent=24, k=3),
    AnyK(latent=24, k=4),
    L1(latent=24, weight=0.1, unit="relu"),
    JumpReLU(latent=24, weight=0.1),
    Gated(latent=24, weight=0.1),
    KLSparse(latent=24),
    Contrastive(latent=24, k=3),
]


@pytest.mark.parametrize("bottleneck", BOTTLENECKS, ids=lambda b: type(b).__name__)
def test_permuting_latents_permutes_codes_and_nothing_else(bottleneck):
    # as wide as it has latents: what belongs to dimensions must not be moved
    model = SparseDictionary(24, bottleneck).eval()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for values in [*model.parameters(), *model.objective.buffers()]:
            if values.dtype.is_floating_point:
                values.add_(0.1 * torch.rand(values.shape, generator=generator))
    order = np.random.default_rng(0).permutation(24)
    x = np.random.default_rng(1).standard_normal((40, 24)).astype(np.float32)
    moved = permuted(model, order)
    before, after = model.encode(x, dense=True), moved.encode(x, dense=True)
    assert ((before[:, order] != 0) == (after != 0)).all()
    assert before.any()
    np.testing.assert_allclose(after, before[:, order], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(moved.reconstruct(x), model.reconstruct(x), rtol=1e-4, atol=1e-5)
    assert torch.equal(model.pre_bias, moved.pre_bias)
    back = permuted(moved, np.argsort(order))
    for name, values in model.state_dict().items():
        assert torch.equal(values.nan_to_num(), back.state_dict()[name].nan_to_num()), name


def test_matryoshka_latents_stay_in_their_prefix():
    model = SparseDictionary(8, Matryoshka(latent=24, k=3))
    ends = model.objective.levels().ends
    order = np.concatenate(
        [
            np.random.default_rng(0).permutation(np.arange(a, b))
            for a, b in zip((0, *ends), ends, strict=False)
        ]
    )
    x = np.random.default_rng(1).standard_normal((30, 8)).astype(np.float32)
    after = permuted(model, order).encode(x, dense=True)
    np.testing.assert_allclose(after, model.encode(x, dense=True)[:, order], rtol=1e-5)
    with pytest.raises(ConfigError, match="prefix"):
        permuted(model, np.arange(24)[::-1])


@pytest.mark.parametrize("order", [[0, 1], [0, 0, 1], [[0, 1, 2]], [1, 2, 3]])
def test_what_is_no_permutation_is_refused(order):
    with pytest.raises(ConfigError, match="each of the 3 latents"):
        permuted(SparseDictionary(4, TopK(latent=3, k=1)), order)


def test_a_warm_started_retraining_keeps_its_numbers():
    from dictionary_toys import mixtures
    from isthmus.sklearn import SparseDictionary as Estimator

    rows = mixtures(720, dim=16, directions=32, active=3)
    estimator = Estimator(n_latents=32, k=3, epochs=12, random_state=0, n_jobs=1).fit(rows[:600])
    old = estimator.model_.weights().decoder_ND.copy()
    for _ in range(4):
        estimator.partial_fit(rows)
    assert not np.allclose(old, estimator.model_.weights().decoder_ND, atol=0.01)
    shuffled = permuted(estimator.model_, np.random.default_rng(0).permutation(32))
    found = carry_ids(old, shuffled.weights().decoder_ND)
    assert found.share >= 0.9
    renumbered = permuted(shuffled, found.order)
    same = (unit(old) * unit(renumbered.weights().decoder_ND)).sum(1)
    assert (same[found.kept] >= found.cosine - 1e-6).all()
    cold = Estimator(n_latents=32, k=3, epochs=4, random_state=1, n_jobs=1).fit(rows)
    by_number = (unit(old) * unit(cold.model_.weights().decoder_ND)).sum(1)
    assert (by_number >= found.cosine).mean() < 0.3  # without carrying, numbers mean nothing


# --- stability ----------------------------------------------------------------------------------


def test_stability_by_hand():
    decoder = np.array([[1.0, 0, 0], [0, 2.0, 0], [0, 0, 0]])
    others = [np.array([[0, 1.0, 0], [0.6, 0, 0.8]]), np.eye(3)]
    found = stability_of(decoder, others)
    assert found.per_concept[:2] == pytest.approx([(0.6 + 1) / 2, 1.0])
    assert np.isnan(found.per_concept[2])
    assert found.values()[2] is None
    assert found.mean == pytest.approx(0.9)
    assert found.others == 2


def test_found_again_is_far_from_chance():
    rng = np.random.default_rng(6)
    near = BASIS + 0.05 * rng.standard_normal(BASIS.shape)
    found = stability_of(BASIS, [near, near[::-1]])
    assert found.mean > 0.9 > found.chance_high > found.chance
    lost = stability_of(BASIS, [rng.standard_normal((64, 64))])
    assert lost.mean == pytest.approx(lost.chance, abs=0.05)


def test_opposite_directions_count_where_signs_do_not():
    assert stability_of(np.eye(2), [-np.eye(2)]).mean == 0.0
    assert stability_of(np.eye(2), [-np.eye(2)], signed=False).mean == 1.0


def test_stability_needs_others_of_the_same_space():
    with pytest.raises(ConfigError, match="another training"):
        stability_of(np.eye(2), [])
    for other in (np.eye(3), np.zeros((2, 2))):
        with pytest.raises(DataError, match="decoder 0 of the others"):
            stability_of(np.eye(2), [other])
