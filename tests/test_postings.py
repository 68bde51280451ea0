"""Search over postings against an oracle: bit for bit, ties and signs and masks included."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array, vstack

from isthmus.errors import ConfigError, DataError
from isthmus.kernels.team import Team
from isthmus.search.postings import BM25, Postings, Saturation, rounded
from posting_tools import oracle, query, same, toy

SEEDS = st.integers(0, 2**31)


# ---------------------------------------------------------------- the search


@settings(max_examples=150, deadline=None)
@given(
    seed=SEEDS,
    rows=st.integers(1, 300),
    terms=st.integers(1, 40),
    density=st.floats(0, 1),
    distinct=st.sampled_from([0, 1, 3]),
    limit=st.integers(1, 400),
    kept=st.sampled_from(["rounded", "float32"]),
    extras=st.sets(st.sampled_from(["allowed", "scaling", "norms", "constant"])),
)
def test_hits_are_those_of_the_oracle(seed, rows, terms, density, distinct, limit, kept, extras):
    rng = np.random.default_rng(seed)
    postings = Postings.of(toy(seed, rows, terms, density, distinct), values=kept)
    asked = query(seed, terms, rng.integers(1, terms + 1), distinct)
    given_ = {
        "allowed": rng.random(rows) < 0.5,
        "scaling": rng.integers(-2, 4, rows).astype(np.float32),
        "norms": rng.random(rows).astype(np.float32),
        "constant": float(rng.integers(-2, 3)),
    }
    given_ = {name: values for name, values in given_.items() if name in extras}
    wanted = oracle(postings.codes(), *asked, limit=limit, **given_)
    norms = given_.pop("norms", None)
    saturation = None if norms is None else Saturation(norms)
    same(postings.search(*asked, limit=limit, saturation=saturation, **given_), wanted)
    every = postings.scores(*asked, saturation=saturation, **given_)
    assert (np.diff(every[0]) > 0).all()
    order = np.lexsort((every[0], -every[1]))[:limit]
    same((every[0][order], every[1][order]), wanted)


@pytest.fixture(scope="module")
def tall():
    """More rows than 16 bits can number, in both blocks, with some runs of rows left empty."""
    codes = toy(0, 70_000, 60, 0.05, distinct=4)
    full = np.ones(70_000)
    full[20_000:40_000] = 0
    full[-1] = 1
    codes.data *= np.repeat(full, np.diff(codes.indptr)).astype(np.float32)
    codes.eliminate_zeros()
    return {block: Postings.of(codes, block=block) for block in (16_384, 65_536)}


@pytest.mark.parametrize("block", [16_384, 65_536])
@pytest.mark.parametrize("threads", [1, 2, 3, 16])
def test_neither_blocks_nor_threads_change_a_hit(tall, block, threads):
    postings = tall[block]
    for seed in range(6):
        asked = query(seed, 60, 12, distinct=3)
        wanted = oracle(postings.codes(), *asked, limit=50)
        same(postings.search(*asked, limit=50, threads=threads), wanted)
        rows, scores = postings.scores(*asked, threads=threads)
        same((rows, scores), postings.scores(*asked))
        assert scores.max() == wanted[1][0]


def test_a_team_that_is_there_may_do_the_work(tall):
    asked = query(3, 60, 12)
    with Team(2) as team:
        first = tall[16_384].search(*asked, threads=team)
        same(tall[16_384].search(*asked, threads=team), first)
    same(tall[65_536].search(*asked), first)


def test_all_rows_can_be_asked_for_where_most_tie(tall):
    wanted = oracle(tall[16_384].codes(), [3, 5], [1.0, -1.0], limit=80_000)
    assert len(wanted[0]) > 3000
    same(tall[16_384].search([5, 3], [-1.0, 1.0], limit=80_000), wanted)


def test_equal_scores_stand_in_the_order_of_rows(tall):
    codes = csr_array(np.ones((50_000, 1)))
    rows, scores = Postings.of(codes).search([0], [2.0], limit=5, threads=2)
    assert rows.tolist() == [0, 1, 2, 3, 4]
    assert scores.tolist() == [2.0] * 5


def test_a_query_of_all_terms_of_both_signs():
    codes = toy(1, 2000, 300, 0.1)
    postings = Postings.of(codes)
    weights = np.random.default_rng(1).standard_normal(300)
    wanted = oracle(postings.codes(), np.arange(300), weights)
    same(postings.search(np.arange(300), weights), wanted)
    scores = postings.codes().astype(np.float64) @ weights
    np.testing.assert_allclose(wanted[1], np.sort(scores)[::-1][:10], rtol=1e-12)


@pytest.mark.parametrize("density", [0.0005, 0.01])
def test_a_query_of_many_terms_over_many_blocks(density):
    """Long lists are summed up block by block, short ones over several blocks at once."""
    postings = Postings.of(toy(2, 90_000, 600, density, distinct=2), block=16_384)
    weights = np.random.default_rng(2).choice([-2.0, -1.0, 1.0], 600)
    norms = np.random.default_rng(3).random(90_000).astype(np.float32)
    for options in ({}, {"norms": norms}):
        wanted = oracle(postings.codes(), np.arange(600), weights, limit=30, **options)
        saturation = Saturation(norms) if options else None
        for threads in (1, 2, 6):
            found = postings.search(
                np.arange(600), weights, limit=30, saturation=saturation, threads=threads
            )
            same(found, wanted)


def test_who_shares_a_term_is_found_at_a_score_of_zero_or_below_and_nobody_else():
    codes = np.array([[1, 1, 0], [0, 0, 5], [2, 0, 0], [0, 3, 0], [0, 0, 0], [1, 2, 9]])
    postings = Postings.of(codes)
    rows, scores = postings.search([0, 1], [1.0, -1.0])
    assert rows.tolist() == [2, 0, 5, 3]
    assert scores.tolist() == [2.0, 0.0, -1.0, -3.0]
    rows, scores = postings.search([0, 1], [1.0, -1.0], scaling=np.float32([0, 1, 0, 0, 1, 0]))
    assert rows.tolist() == [0, 2, 3, 5]
    assert np.abs(scores).tolist() == [0.0] * 4
    assert postings.search([1], [-1.0], limit=2)[0].tolist() == [0, 5]


def test_terms_without_weight_are_no_part_of_the_query():
    postings = Postings.of(np.array([[1, 0], [0, 1]]))
    assert postings.search([0, 1], [0.0, 1.0])[0].tolist() == [1]
    assert postings.search([0, 1], [1e-300, 1.0])[0].tolist() == [1]
    assert postings.search([0, 1], [1e-200, 1.0])[0].tolist() == [1, 0]
    for asked in (([0, 1], [0.0, -0.0]), ([], [])):
        rows, scores = postings.search(*asked)
        assert (rows.dtype, scores.dtype) == (np.int64, np.float64)
        assert len(rows) == len(scores) == 0


def test_the_smallest_product_leaves_its_mark():
    least = np.float32(1e-45)
    postings = Postings.of(np.array([[0.0], [least]], np.float32), values="float32")
    rows, scores = postings.search([0], [-1e-200])
    assert rows.tolist() == [1]
    assert scores[0] == -1e-200 * float(least) < 0


def test_what_is_nothing_as_float32_is_nothing():
    for kept in ("rounded", "float32"):
        postings = Postings.of(np.array([[1e-60, 1.0]]), values=kept)
        assert postings.count == 1
        assert len(postings.search([0], [1.0])[0]) == 0


def test_the_largest_scores_stay_finite():
    most = np.finfo(np.float32).max
    postings = Postings.of(np.full((2, 9), most), values="float32")
    _, scores = postings.search(np.arange(9), np.full(9, 1e200))
    assert np.isfinite(scores).all()


@pytest.mark.parametrize("shape", [(0, 5), (3, 0), (1, 1), (4, 3)])
def test_nothing_in_it_is_no_error(shape):
    postings = Postings.of(csr_array(shape, dtype=np.float32))
    assert (postings.rows, postings.terms, postings.count) == (*shape, 0)
    terms = np.arange(shape[1])
    assert len(postings.search(terms, np.ones(shape[1]), threads=2)[0]) == 0
    assert postings.codes().shape == shape
    assert postings.row_sums().tolist() == [0.0] * shape[0]
    postings.verify()


def test_one_row():
    postings = Postings.of(np.array([[0.5, 0.0, 2.0]]))
    rows, scores = postings.search([2, 0], [1.0, 2.0], limit=10, threads=4)
    assert (rows.tolist(), scores.tolist()) == ([0], [3.0])


# ---------------------------------------------------------------- explaining a score


@settings(max_examples=60, deadline=None)
@given(seed=SEEDS, saturated=st.booleans(), scaled=st.booleans(), constant=st.sampled_from([0, 2]))
def test_contributions_add_up_to_the_score(seed, saturated, scaled, constant):
    rng = np.random.default_rng(seed)
    postings = Postings.of(toy(seed, 100, 30, 0.4))
    asked = query(seed, 30, 15)
    options = {}
    if saturated:
        options["saturation"] = BM25().saturation(postings.row_sums())
    if scaled:
        options["scaling"] = rng.random(100).astype(np.float32)
    hits = postings.search(*asked, limit=100, constant=constant, **options)
    for row, score in zip(*hits, strict=True):
        terms, parts = postings.contributions(row, *asked, **options)
        assert (np.diff(terms) > 0).all()
        shared = set(postings.codes([row]).indices) & set(asked[0][asked[1] != 0])
        assert set(terms) == shared
        total = 0.0
        for part in parts:
            total += part
        if scaled:
            total += options["scaling"][row] * constant
            assert total == pytest.approx(score, rel=1e-9, abs=1e-12)
        else:
            assert total + constant == score


def test_a_row_that_shares_nothing_has_no_contributions():
    terms, parts = Postings.of(np.array([[1, 0]])).contributions(0, [1], [1.0])
    assert len(terms) == len(parts) == 0


# ---------------------------------------------------------------- what is kept


@settings(max_examples=60, deadline=None)
@given(seed=SEEDS, rows=st.integers(1, 80), kept=st.sampled_from(["rounded", "float32"]))
def test_codes_come_back(seed, rows, kept):
    codes = toy(seed, rows, 25, 0.3)
    wanted = codes.copy()
    if kept == "rounded":
        wanted.data = rounded(wanted.data)
    postings = Postings.of(codes, values=kept)
    back = postings.codes()
    assert back.dtype == np.float32
    assert back.has_sorted_indices
    np.testing.assert_array_equal(back.toarray(), wanted.toarray())
    chosen = np.random.default_rng(seed).integers(0, rows, 7)
    np.testing.assert_array_equal(postings.codes(chosen).toarray(), wanted.toarray()[chosen])
    again = Postings.of(back, values=kept)
    np.testing.assert_array_equal(again.layout.values, postings.layout.values)
    assert postings.codes([]).shape == (0, 25)


def test_a_few_rows_of_many_are_looked_up(tall):
    whole = tall[16_384].codes().toarray()
    for chosen in ([69_999, 0, 16_384, 16_383, 30_000, 65_536], [5], list(range(9000))):
        np.testing.assert_array_equal(tall[16_384].codes(chosen).toarray(), whole[chosen])


def test_what_is_stored_does_not_depend_on_what_stands_beside_it():
    first, second = toy(1, 50, 20), toy(2, 50, 20)
    second.data *= np.float32(1e-3)
    apart = vstack([Postings.of(first).codes(), Postings.of(second).codes()])
    together = Postings.of(vstack([first, second])).codes()
    np.testing.assert_array_equal(apart.toarray(), together.toarray())


def test_facts_of_terms_and_rows():
    postings = Postings.of(np.array([[3.0, 0.0, 4.0, 0.0], [1.0, 0.0, 0.0, 0.5]]))
    assert postings.frequency.tolist() == [2, 0, 1, 1]
    assert postings.sums.tolist() == [4.0, 0.0, 4.0, 0.5]
    assert postings.maxima.tolist() == [3.0, 0.0, 4.0, 0.5]
    assert postings.row_sums().tolist() == [7.0, 1.5]
    assert postings.row_norms().tolist() == [5.0, 1.25**0.5]


def test_signs_are_kept_where_values_are_kept_in_full():
    codes = np.array([[-2.0, 1.0], [1.0, -1.0]])
    postings = Postings.of(codes, values="float32")
    np.testing.assert_array_equal(postings.codes().toarray(), codes)
    rows, scores = postings.search([0, 1], [1.0, 2.0])
    assert (rows.tolist(), scores.tolist()) == ([0, 1], [0.0, -1.0])
    assert postings.maxima.tolist() == [1.0, 1.0]
    with pytest.raises(ConfigError, match="saturated"):
        postings.search([0], [1.0], saturation=Saturation(np.ones(2, np.float32)))


def test_codes_of_any_kind_are_taken():
    dense = np.array([[0, 3, 1], [2, 0, 0]])
    shuffled = csr_array((np.array([1, 3, 2]), np.array([2, 1, 0]), np.array([0, 2, 3])))
    doubled = csr_array((np.ones(7), np.array([1, 2, 1, 0, 1, 0, 0]), np.array([0, 4, 7])), (2, 3))
    doubled.data[3] = 0
    doubled.data[4] = 0
    doubled.data[0] = 2
    before = doubled.copy()
    for codes in (dense, dense.astype(np.int8), csr_array(dense).tocsc(), shuffled, doubled):
        np.testing.assert_array_equal(Postings.of(codes).codes().toarray(), dense)
    np.testing.assert_array_equal(doubled.data, before.data)
    assert Postings.of(np.array([True, False])).codes().toarray().tolist() == [[1.0, 0.0]]


def test_an_index_is_at_most_a_fifth_of_the_vectors():
    rng = np.random.default_rng(0)
    first, step = rng.integers(0, 3072, (20_000, 1)), 6 * rng.integers(0, 512, (20_000, 1)) + 1
    indices = np.sort((first + step * np.arange(64)) % 3072, axis=1)  # 64 different ones
    codes = csr_array(
        (rng.random(indices.size) + 0.1, indices.ravel(), np.arange(20_001) * 64), (20_000, 3072)
    )
    postings = Postings.of(codes)
    assert postings.count == 20_000 * 64
    assert postings.bytes <= 20_000 * 384 * 4 / 5 * 0.9


def test_many_rare_terms_take_little_room():
    """Words: 300,000 of them, most in a row or two."""
    rng = np.random.default_rng(0)
    terms = np.minimum(rng.zipf(1.3, 400_000) - 1, 299_999)
    codes = csr_array((np.ones(400_000), (rng.integers(0, 70_000, 400_000), terms)))
    postings = Postings.of(csr_array(codes, shape=(70_000, codes.shape[1])))
    assert postings.layout.block == 65_536
    assert postings.bytes <= 10 * postings.count + 28 * postings.terms + 64
    asked = query(0, postings.terms, 200)
    same(postings.search(*asked), oracle(postings.codes(), *asked))


# ---------------------------------------------------------------- rounding to 16 bits


def test_rounding_by_hand():
    third = 2731 / 8192  # twelve significant bits of 1/3
    even = np.float32([1 + 1 / 4096, 1 + 3 / 4096])  # half way: to the even neighbour
    given_ = np.float32([1 / 3, *even, 1e-30, 2.0**-20, 4095, 0.1])
    wanted = [third, 1.0, 1 + 2 / 2048, 2.0**-20, 2.0**-20, 4095, 3277 / 32768]
    np.testing.assert_array_equal(rounded(given_), np.float32(wanted))


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(2.0**-20, 2.0**11, width=32), min_size=1))
def test_rounding_is_near_and_settles(values):
    given_ = np.float32(values)
    once = rounded(given_)
    assert (np.abs(once - given_) <= given_ * 2.0**-12).all()
    np.testing.assert_array_equal(rounded(once), once)


def test_whole_numbers_up_to_4096_are_exact_and_larger_ones_fit():
    whole = np.arange(1, 4097, dtype=np.float32)
    np.testing.assert_array_equal(rounded(whole), whole)
    np.testing.assert_array_equal(Postings.of(whole[:, None]).codes().toarray()[:, 0], whole)
    for large in (np.float32([1.0, 1e4, 1e7]), np.float32([1e30, 3e38])):
        np.testing.assert_allclose(rounded(large), large, rtol=2.0**-12)
        kept = Postings.of(large[:, None]).codes().data
        np.testing.assert_array_equal(kept, rounded(large))
    assert (rounded(np.float32([1e-9, 1e30])) > 0).all()
    most = np.finfo(np.float32).max
    assert np.isfinite(rounded(np.float32([most]))).all()


# ---------------------------------------------------------------- what bad input gets


@pytest.mark.parametrize(
    ("codes", "words"),
    [
        (np.array([[1.0, 0.0], [0.0, np.nan]]), "finite"),
        (np.array([[1.0, 0.0], [0.0, np.inf]]), "finite"),
        (np.array([[1.0, 0.0], [0.0, 1e39]]), "finite"),
        (np.array([[1.0, 0.0], [0.0, -1e-9]]), "negative"),
        (np.array([[1.0, 0.0], [0.0, 1.0j]]), "complex"),
    ],
)
def test_codes_that_are_none(codes, words):
    with pytest.raises(DataError, match=words) as caught:
        Postings.of(codes)
    assert words == "complex" or "row 1, term 1" in caught.value.where


def test_codes_with_an_index_out_of_range():
    codes = csr_array(np.eye(3))
    codes.indices[1] = 7
    with pytest.raises(DataError, match="sound"):
        Postings.of(codes)


@pytest.mark.parametrize(
    ("terms", "weights", "words"),
    [
        ([0, 0], [1.0, 1.0], "once"),
        ([0, 3], [1.0, 1.0], "below 3"),
        ([-1], [1.0], "below 3"),
        ([0], [1.0, 2.0], "as many"),
        ([[0]], [[1.0]], "as many"),
        ([0.5], [1.0], "whole"),
        ([0], [np.nan], "finite"),
        ([0], [np.inf], "finite"),
        ([0], [1e201], "1e200"),
    ],
)
def test_queries_that_are_none(terms, weights, words):
    postings = Postings.of(np.ones((2, 3)))
    with pytest.raises(ConfigError, match=words):
        postings.search(terms, weights)
    with pytest.raises(ConfigError, match=words):
        postings.contributions(0, terms, weights)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"limit": 0}, "0 hits"),
        ({"threads": 0}, "0 threads"),
        ({"constant": np.nan}, "constant"),
        ({"allowed": np.ones(3, bool)}, "allowed"),
        ({"allowed": np.ones(2, np.uint8)}, "allowed"),
        ({"scaling": np.ones(2)}, "scaling"),
        ({"scaling": np.ones((2, 1), np.float32)}, "scaling"),
        ({"saturation": Saturation(np.ones(3, np.float32))}, "saturation"),
    ],
)
def test_options_that_do_not_fit(options, words):
    with pytest.raises(ConfigError, match=words):
        Postings.of(np.ones((2, 3))).search([0], [1.0], **options)


@pytest.mark.parametrize("rows", [[2], [-1], [0.5], [[0]]])
def test_rows_that_are_none(rows):
    postings = Postings.of(np.ones((2, 3)))
    with pytest.raises(ConfigError, match="rows are"):
        postings.codes(rows)


def test_blocks_that_are_none():
    with pytest.raises(ConfigError, match="blocks of 1000"):
        Postings.of(np.ones((2, 3)), block=1000)


def test_opening_waits_for_no_compiler(tmp_path):
    """numba takes a third of a second to start; only scoring needs it."""
    Postings.of(np.ones((2, 3))).write(tmp_path / "p")
    code = (
        "import sys; from isthmus.search.postings import Postings;"
        f"Postings.open({str(tmp_path / 'p')!r});"
        "print({'numba', 'scipy', 'torch'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
