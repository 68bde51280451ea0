"""The store in this process: segments, masks of conditions, replacement."""

import itertools

import numpy as np
import pytest

from isthmus.errors import ConfigError
from isthmus.search.filters import Condition
from isthmus.search.stores import EmbeddedStore
from store_tools import codes_of


def sizes(store):
    return [segment.living for segment in store._segments]


def test_segments_stay_few_and_halve():
    store = EmbeddedStore(8)
    for id in range(300):
        store.put([id], codes_of([{id % 8: 1.0 + id}]), [{"id": id}])
        held = sizes(store)
        assert all(a >= 2 * b for a, b in itertools.pairwise(held)), held
    assert len(store) == 300
    assert len(held) <= 9  # log2(300) + 1
    found = store.search([3], [1.0], limit=100)
    assert found.ids.tolist() == list(range(299, 0, -8))
    assert store.search([3], [1.0], where=[Condition("id", "<", 12)]).ids.tolist() == [11, 3]


def test_what_is_dead_is_dropped_in_time():
    store = EmbeddedStore(8)
    store.put(range(100), codes_of([{0: 1.0}] * 100), [{}] * 100)
    store.delete(range(49))
    assert (sizes(store), len(store._segments[0].ids)) == ([51], 100)
    store.delete(range(49, 51))
    assert (sizes(store), len(store._segments[0].ids)) == ([49], 49)
    store.delete(range(1000))
    assert (sizes(store), len(store)) == ([], 0)
    assert len(store.search([0], [1.0])) == 0


def test_conditions_on_one_and_on_true_are_not_mistaken_for_each_other():
    store = EmbeddedStore(8)
    store.put([1, 2, 3], codes_of([{0: 1.0}] * 3), [{"x": 1}, {"x": True}, {"x": 1.0}])
    for _ in range(2):
        assert store.search([0], [1.0], where=[Condition("x", "=", 1)]).ids.tolist() == [1, 3]
        assert store.search([0], [1.0], where=[Condition("x", "=", True)]).ids.tolist() == [2]


def test_masks_are_kept_for_the_last_conditions_only():
    store = EmbeddedStore(8)
    store.put([1, 2], codes_of([{0: 1.0}] * 2), [{"x": 1}, {"x": 2}])
    for value in range(50):
        store.search([0], [1.0], where=[Condition("x", "=", value)])
    masks = store._segments[0].masks
    assert len(masks) <= 16
    assert repr(Condition("x", "=", 49)) in masks


def test_a_mask_is_made_once(monkeypatch):
    asked = []
    monkeypatch.setattr(Condition, "holds", lambda self, facts: asked.append(facts) or True)
    store = EmbeddedStore(8)
    store.put([1, 2], codes_of([{0: 1.0}] * 2), [{}, {}])
    for _ in range(3):
        store.search([0], [1.0], where=[Condition("x", "=", 1)])
    assert len(asked) == 2
    store.delete([2])  # rows are masked, not changed
    store.search([0], [1.0], where=[Condition("x", "=", 1)])
    assert len(asked) == 2


def test_metadata_that_change_later_do_not_change_the_store():
    store, facts, codes = EmbeddedStore(8), {"x": 1}, codes_of([{0: 1.0}])
    store.put([1], codes, [facts])
    facts["x"], codes.data[:] = 2, 9.0
    assert store.search([0], [1.0], where=[Condition("x", "=", 1)]).scores.tolist() == [1.0]


def test_threads_change_nothing():
    rng = np.random.default_rng(0)
    from scipy.sparse import random_array

    codes = random_array((9000, 8), density=0.3, rng=rng, format="csr", dtype=np.float32)
    one, two = EmbeddedStore(8), EmbeddedStore(8, threads=2)
    for store in (one, two):
        store.put(range(9000), codes, [{}] * 9000)
        store.delete(range(0, 9000, 7))
    for limit in (1, 10, 9000):
        a, b = (s.search([1, 4, 6], [1.0, -2.0, 0.3], limit=limit) for s in (one, two))
        assert a.ids.tolist() == b.ids.tolist()
        assert a.scores.tolist() == b.scores.tolist()


@pytest.mark.parametrize("threads", [0, -1, 1.5, True])
def test_threads_that_are_refused(threads):
    with pytest.raises(ConfigError, match="threads"):
        EmbeddedStore(8, threads=threads)


def test_codes_come_from_any_segment_in_any_order():
    store = EmbeddedStore(8)
    store.put(range(64), codes_of([{0: 1.0 + i} for i in range(64)]), [{}] * 64)
    store.put(range(64, 80), codes_of([{1: 1.0 + i} for i in range(16)]), [{}] * 16)
    assert len(store._segments) == 2
    found = store.codes([70, 3, 70, 64, 0])
    assert found.toarray()[:, :2].tolist() == [[0, 7], [4, 0], [0, 7], [0, 1], [1, 0]]


def test_it_says_what_it_is_and_closes():
    with EmbeddedStore(8) as store:
        store.put([1], codes_of([{0: 1.0}]), [{}])
        assert repr(store) == "EmbeddedStore(latents=8, passages=1)"
    store.close()
