"""The same searches on the index, on Qdrant's engine and on PostgreSQL."""

import pytest

from index_toys import TOPICS, build, documents, opened
from isthmus.errors import ConfigError, DataError
from isthmus.search.filling import fill_store, search_store
from isthmus.search.filters import Condition
from isthmus.search.steering import Steering
from isthmus.search.stores import EmbeddedStore, QdrantStore

QUERIES = [" ".join(topic[:3]) for topic in TOPICS]


@pytest.fixture(scope="module")
def toy_index(tmp_path_factory):
    folder = tmp_path_factory.mktemp("index") / "toys"
    build(folder, documents())
    with opened(folder) as index:
        yield index


def qdrant(latents):
    client = pytest.importorskip("qdrant_client").QdrantClient(":memory:")
    return QdrantStore(client, "codes", latents=latents)


@pytest.mark.parametrize("store_of", [EmbeddedStore, qdrant])
@pytest.mark.parametrize("scoring", ["bm25", "idf", "dot"])
def test_a_store_finds_what_the_index_finds(toy_index, store_of, scoring):
    with store_of(toy_index.latents) as store:
        assert fill_store(toy_index, store, scoring=scoring) == len(toy_index)
        for steering in (None, Steering({3: 1.0, 5: -0.5})):
            for query in QUERIES:
                here = toy_index.search(query, scoring=scoring, steering=steering or Steering())
                there = search_store(toy_index, store, query, scoring=scoring, steering=steering)
                assert [hit.id for hit in there.hits] == [hit.id for hit in here.hits]
                for mine, other in zip(here.hits, there.hits, strict=True):
                    assert other.score == pytest.approx(mine.score, abs=1e-12)
                    parts = sum(concept.contribution for concept in other.concepts)
                    assert parts == pytest.approx(other.score, abs=1e-9)


def test_conditions_hold_in_a_store_too(toy_index):
    document = toy_index.search(QUERIES[0]).hits[0].document
    where = [Condition("document", "=", document)]
    with EmbeddedStore(toy_index.latents) as store:
        fill_store(toy_index, store)
        found = search_store(toy_index, store, QUERIES[0], where=where)
    assert found.hits
    assert {hit.document for hit in found.hits} == {document}


def test_a_store_of_another_width_is_refused(toy_index):
    with (
        EmbeddedStore(toy_index.latents + 1) as store,
        pytest.raises(ConfigError, match="the index has"),
    ):
        fill_store(toy_index, store)


def test_a_store_of_another_index_is_noticed(toy_index):
    with EmbeddedStore(toy_index.latents) as store:
        codes = toy_index.segments[0].concepts.codes()
        store.put([10_000 + row for row in range(codes.shape[0])], codes, [{}] * codes.shape[0])
        with pytest.raises(DataError, match="not in the index"):
            search_store(toy_index, store, QUERIES[0], scoring="dot")
