"""Endpoints, ready-made vectors, the lexical fallback, and how each is opened."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedder_toys import Counting
from endpoint_tools import as_json, serving, toy_vectors, vectors
from isthmus.errors import ConfigError, DataError, MissingDataError, RemoteError
from isthmus.remote import Endpoint
from isthmus.search.embedders import (
    Embedder,
    EmbedderOptions,
    cached,
    embedder_from,
    fitted_to,
    open_embedder,
    save_state,
)
from isthmus.search.embedders.lexical import LexicalEmbedder, LexicalState
from isthmus.search.embedders.ready import ReadyVectors
from isthmus.search.embedders.remote import EndpointEmbedder

# ---------------------------------------------------------------- endpoints


def test_an_endpoint_is_opened_by_address_and_model():
    with serving(toy_vectors()) as server:
        found = open_embedder(f"{server.url}#nomic", EmbedderOptions(max_tokens=99, timeout=7))
        assert server.asked == []
        rows = found.embed(["a", "b", ""])
    assert isinstance(found, Embedder)
    assert (found.name, found.dim, found.max_tokens) == ("nomic", 8, 99)
    assert found.endpoint.timeout == 7
    assert np.linalg.norm(rows, axis=1) == pytest.approx(np.ones(3), abs=1e-6)
    assert "texts leave this program" in found.description
    assert "4 characters" in found.description


def test_an_endpoint_s_model_must_be_named():
    with pytest.raises(ConfigError, match="which of the endpoint's models") as error:
        open_embedder("http://127.0.0.1:9/v1")
    assert "http://127.0.0.1:9/v1#MODEL" in str(error.value)


def test_queries_and_texts_are_embedded_alike():
    with serving(toy_vectors()) as server:
        found = open_embedder(f"{server.url}#m")
        assert np.array_equal(found.embed(["a"]), found.embed_queries(["a"]))
        assert found.embed([]).shape == (0, 8)


def test_it_is_made_again_from_its_configuration_without_the_key(monkeypatch):
    monkeypatch.setenv("ISTHMUS_API_KEY", "sk-secret")
    with serving(toy_vectors()) as server:
        found = open_embedder(f"{server.url}#m")
        config = json.dumps(found.config())
        assert "sk-secret" not in config + repr(found.endpoint) + found.description
        again = embedder_from(json.loads(config))
        before = len(server.asked)
        assert (again.dim, again.digest) == (8, found.digest)
        assert len(server.asked) == before  # what is on record needs no server
        assert np.array_equal(again.embed(["a"]), found.embed(["a"]))


def test_the_digest_covers_model_and_width_and_the_cache_key_the_address_too():
    with (
        serving(toy_vectors(8)) as one,
        serving(toy_vectors(8)) as two,
        serving(toy_vectors(9)) as wide,
    ):
        first, moved = (open_embedder(f"{server.url}#m") for server in (one, two))
        other, wider = open_embedder(f"{one.url}#n"), open_embedder(f"{wide.url}#m")
        assert first.digest == moved.digest
        assert first.cache_key != moved.cache_key
        assert len({first.digest, other.digest, wider.digest}) == 3


@pytest.mark.parametrize(
    ("later", "why"), [(toy_vectors(7), "7 numbers"), (vectors([1.0] * 8), "cosine")]
)
def test_another_model_behind_the_same_name_is_refused(later, why):
    with serving(toy_vectors(8)) as server:
        config = open_embedder(f"{server.url}#m").config()
    with serving(later) as server:
        again = embedder_from(config | {"url": server.url})
        with pytest.raises(DataError, match="not the one that it was") as error:
            again.embed_queries(["a"])
    assert why in str(error.value)


def test_vectors_that_change_their_width_are_refused():
    with serving(vectors([1.0, 2.0]), vectors([1.0, 2.0, 3.0])) as server:
        found = open_embedder(f"{server.url}#m")
        with pytest.raises(DataError, match="not the one that it was"):
            found.embed(["a"])


def test_nan_from_an_endpoint_is_named_by_its_text_also_through_a_cache(tmp_path):
    def answer(asked):
        return vectors(*([math.nan if t == "bad" else 1.0, 2.0] for t in asked.content["input"]))

    with serving(answer) as server:
        found = open_embedder(f"{server.url}#m")
        with pytest.raises(RemoteError, match="text 2 is not finite"):
            found.embed(["a", "b", "bad"])
        with pytest.raises(RemoteError, match="text 1 is not finite"):
            cached(found, tmp_path).embed(["a", "bad", "a longer one"])


def test_a_zero_vector_is_refused():
    with serving(vectors([1.0, 0.0]), vectors([0.0, 0.0])) as server:
        found = EndpointEmbedder(Endpoint(server.url), "m")
        with pytest.raises(DataError, match="text 0 is zero"):
            found.embed(["a"])


# ---------------------------------------------------------------- ready-made vectors


@pytest.fixture
def rows(tmp_path):
    def save(array, name="rows.npy"):
        np.save(tmp_path / name, array)
        return tmp_path / name

    return save


def test_row_i_belongs_to_document_i(rows):
    table = np.array([[3.0, 4.0], [0.0, 2.0], [-1.0, 0.0]], dtype=np.float16)
    found = open_embedder(str(rows(table)))
    assert isinstance(found, ReadyVectors)
    assert (found.dim, found.max_tokens, found.name) == (2, None, "rows.npy")
    wanted = [[0.6, 0.8], [0.0, 1.0], [-1.0, 0.0]]
    told = []
    whole = found.embed(["a", "b", "c"], progress=lambda *at: told.append(at))
    assert whole == pytest.approx(np.array(wanted), abs=1e-6)
    assert told == [(3, 3)]
    assert found.take([2, 0]) == pytest.approx(np.array([wanted[2], wanted[0]]), abs=1e-6)
    assert found.take([]).shape == (0, 2)
    assert cached(found, "nowhere") is found


@pytest.mark.parametrize("count", [0, 2, 4])
def test_there_must_be_as_many_rows_as_documents(rows, count):
    found = open_embedder(str(rows(np.ones((3, 2)))))
    with pytest.raises(DataError, match="one vector for each document") as error:
        found.embed(["a"] * count)
    assert f"3 rows for {count} documents" in str(error.value)


@pytest.mark.parametrize("asked", [[3], [-1], [0, 7]])
def test_a_row_that_is_not_there_is_refused(rows, asked):
    with pytest.raises(DataError, match="no vector for document"):
        open_embedder(str(rows(np.ones((3, 2))))).take(asked)


def test_queries_need_the_embedder_that_made_the_vectors(rows):
    path = rows(np.ones((3, 2)))
    with pytest.raises(ConfigError, match="can't embed a query") as error:
        open_embedder(str(path)).embed_queries(["q"])
    assert "--query-embedder" in str(error.value)
    inner = Counting(dim=2)
    found = ReadyVectors(path, inner)
    assert np.array_equal(found.embed_queries(["q"]), inner.embed_queries(["q"]))
    assert found.digest == inner.digest
    assert "queries by counting" in found.description


def test_an_embedder_of_another_width_is_refused(rows):
    with pytest.raises(DataError, match="not made by this embedder") as error:
        ReadyVectors(rows(np.ones((3, 2))), Counting(dim=3))
    assert "2 numbers, those of counting have 3" in str(error.value)


def test_the_embedder_for_queries_stands_after_the_file(rows):
    with serving(toy_vectors(8)) as server:
        word = f"{rows(np.ones((3, 8)))}@{server.url}#m"
        found, same = open_embedder(word), open_embedder(f"vectors:{word}")
        assert found.queries.name == same.queries.name == "m"
        config = json.loads(json.dumps(found.config()))
        again = embedder_from(config)
        assert np.array_equal(again.embed_queries(["a"]), found.embed_queries(["a"]))


def test_an_index_can_be_searched_without_the_file(rows):
    path = rows(np.ones((3, 2)))
    found = open_embedder(str(path))
    config = found.config()
    path.unlink()
    again = embedder_from(config)
    assert (again.dim, again.digest) == (found.dim, found.digest)
    with pytest.raises(MissingDataError, match="no such file of vectors"):
        again.take([0])


def test_without_an_embedder_the_digest_is_that_of_the_file(rows):
    one, two = rows(np.ones((3, 2)), "a.npy"), rows(np.zeros((3, 2)), "b.npy")
    same = rows(np.ones((3, 2)), "c.npy")
    digests = [open_embedder(str(path)).digest for path in (one, two, same)]
    assert digests[0] == digests[2] != digests[1]


@pytest.mark.parametrize(
    ("array", "why"),
    [
        (np.ones(3), "no table"),
        (np.ones((2, 2, 2)), "no table"),
        (np.ones((0, 2)), "no table"),
        (np.ones((2, 2), dtype=int), "floating-point"),
        (np.ones((2, 2), dtype=complex), "floating-point"),
        (np.array([["a", "b"]]), "floating-point"),
        (np.array([[None, 1]], dtype=object), "can't be read"),
    ],
)
def test_a_file_that_holds_no_vectors_is_refused(rows, array, why):
    with pytest.raises(DataError, match=why):
        open_embedder(str(rows(array)))


@pytest.mark.parametrize("raw", [b"", b"rubbish", b"\x93NUMPY\x01\x00v\x00{'descr'"])
def test_a_damaged_file_is_refused(tmp_path, raw):
    (tmp_path / "a.npy").write_bytes(raw)
    with pytest.raises(DataError, match="can't be read"):
        open_embedder(str(tmp_path / "a.npy"))


def test_a_missing_file_is_said_to_be():
    with pytest.raises(MissingDataError, match="no such file of vectors"):
        open_embedder("nowhere.npy")


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_row_that_is_not_finite_is_named(rows, bad):
    table = np.ones((5, 2))
    table[3, 1] = bad
    found = open_embedder(str(rows(table)))
    with pytest.raises(DataError, match="the vector of text 3 is not finite"):
        found.embed(["a"] * 5)
    with pytest.raises(DataError, match="the vector of text 3 is not finite"):
        found.take([0, 3])


# ---------------------------------------------------------------- the lexical fallback

CORPUS = [
    *("red apples and green apples", "red roses", "green pears and red plums"),
    *("stone walls of grey stone", "grey seas", "grey stone by grey seas"),
]


@pytest.fixture(scope="module")
def lexical():
    return fitted_to(open_embedder("lexical", EmbedderOptions(dim=4)), CORPUS)


def test_it_says_everywhere_that_it_is_no_language_model(lexical):
    assert lexical.description.startswith("lexical: hashed n-grams and SVD, no language model")
    assert lexical.name == "lexical"


def test_texts_with_words_in_common_are_near(lexical):
    found = lexical.embed(["red apples", "grey stone"])
    documents = lexical.embed(CORPUS)
    assert set(np.argsort(-documents @ found[0])[:3]) == {0, 1, 2}
    assert set(np.argsort(-documents @ found[1])[:3]) == {3, 4, 5}
    assert np.linalg.norm(documents, axis=1) == pytest.approx(np.ones(6), abs=1e-5)


def test_with_all_directions_it_is_the_cosine_of_weighted_counts():
    """A truncated SVD that cuts nothing keeps every inner product among the corpus' texts."""
    from isthmus.search.embedders.lexical import _counts, _weighted

    full = LexicalEmbedder(dim=6).fitted([*CORPUS, *CORPUS])
    state = full.state
    weights = _weighted(_counts(CORPUS), state.columns, state.idf).toarray()
    norms = np.linalg.norm(weights, axis=1)
    wanted = weights @ weights.T / norms[:, None] / norms
    found = full.embed(CORPUS)
    assert found @ found.T == pytest.approx(wanted, abs=2e-3)  # directions are float16


def test_weights_are_those_of_the_formula():
    """One word alone: tf 1 + ln 3, idf ln((1 + 2) / (1 + 2)) + 1 = 1; the rest has df 1."""
    from isthmus.search.embedders.lexical import _WORDS

    found = LexicalEmbedder(dim=1).fitted(["a a a", "a b"])
    words = found.state.columns[found.state.columns < _WORDS]
    assert len(words) == 1  # "a" is in both; "b", "a a" and "a b" are in one
    assert found.state.idf[0] == pytest.approx(1.0)


def test_before_it_has_learned_it_refuses():
    empty = open_embedder("lexical")
    for ask in (lambda: empty.embed(["a"]), lambda: empty.digest, lambda: empty.save("x")):
        with pytest.raises(ConfigError, match="has not learned"):
            ask()


def test_what_it_does_not_know_is_a_row_of_zeros(lexical):
    found = lexical.embed(["zzzz qqqq", "", "red"])
    assert not found[:2].any()
    assert found[2].any()


def test_it_is_saved_and_loaded(lexical, tmp_path):
    save_state(lexical, tmp_path)
    again = embedder_from(json.loads(json.dumps(lexical.config())), folder=tmp_path)
    assert again.digest == lexical.digest
    assert again.embed(CORPUS).tobytes() == lexical.embed(CORPUS).tobytes()
    assert [path.name for path in tmp_path.iterdir()] == ["lexical.safetensors"]
    assert fitted_to(again, ["other", "texts"]) is again


def test_the_same_corpus_and_seed_give_the_same_digest(lexical):
    again = LexicalEmbedder(dim=4).fitted(CORPUS)
    assert again.digest == lexical.digest
    assert LexicalEmbedder(dim=4).fitted(CORPUS[1:]).digest != lexical.digest


@pytest.mark.parametrize("texts", [[], [""], ["", " \n"]])
def test_a_corpus_of_nothing_teaches_nothing(texts):
    with pytest.raises(DataError, match="no words to learn from"):
        LexicalEmbedder().fitted(texts)


def test_a_corpus_of_one_text_is_enough():
    found = LexicalEmbedder().fitted(["only this"])
    assert np.abs(found.embed(["only this"])).tolist() == [[1.0]]


@given(st.lists(st.text(st.characters(exclude_categories=()), max_size=30), min_size=1, max_size=6))
def test_any_corpus_is_learned_or_refused(texts):
    try:
        found = LexicalEmbedder(dim=3).fitted(texts)
    except DataError:
        return
    norms = np.linalg.norm(found.embed(texts), axis=1)
    assert np.all((norms < 1e-6) | (np.abs(norms - 1) < 1e-5))


@pytest.mark.parametrize("damage", [lambda raw: b"", lambda raw: raw[:60], lambda raw: b"{" + raw])
def test_a_damaged_state_is_refused(lexical, tmp_path, damage):
    save_state(lexical, tmp_path)
    path = tmp_path / "lexical.safetensors"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DataError, match="state can't be read"):
        embedder_from(lexical.config(), folder=tmp_path)


def test_a_missing_state_is_refused(lexical, tmp_path):
    with pytest.raises(DataError, match="state can't be read"):
        embedder_from(lexical.config(), folder=tmp_path)


@pytest.mark.parametrize(
    "wrong",
    [
        {"columns": np.array([2, 1], dtype=np.int32)},
        {"columns": np.array([0, 1 << 20], dtype=np.int32)},
        {"columns": np.array([-1, 1], dtype=np.int32)},
        {"idf": np.array([np.nan, 1], dtype=np.float32)},
        {"idf": np.ones(3, dtype=np.float32)},
        {"components": np.ones((3, 2), dtype=np.float16)},
        {"components": np.ones(2, dtype=np.float16)},
        {"components": np.ones((2, 0), dtype=np.float16)},
        {"components": np.full((2, 2), np.inf, dtype=np.float16)},
    ],
)
def test_a_state_that_can_not_be_is_refused(wrong):
    right = {
        "columns": np.array([0, 9], dtype=np.int32),
        "idf": np.ones(2, dtype=np.float32),
        "components": np.ones((2, 2), dtype=np.float16),
    }
    LexicalState(**right)
    with pytest.raises(DataError, match="damaged"):
        LexicalState(**(right | wrong))


# ---------------------------------------------------------------- opening


@pytest.mark.parametrize("word", ["", "  "])
def test_a_word_must_be_given(word):
    with pytest.raises(ConfigError, match="no embedder is named"):
        open_embedder(word)


@pytest.mark.parametrize("config", [{}, {"kind": None}, {"kind": "pickle"}, {"kind": ["lexical"]}])
def test_a_kind_that_is_not_known_is_refused(config):
    with pytest.raises(ConfigError, match="unknown embedder"):
        embedder_from(config)


@pytest.mark.parametrize(
    "config",
    [
        *({"kind": "endpoint"}, {"kind": "model"}, {"kind": "lexical"}, {"kind": "vectors"}),
        {"kind": "vectors", "file": 3, "queries": None, "sha256": "", "dim": 2},
        {"kind": "endpoint", "url": 3, "model": "m", "key_variable": "K", "max_tokens": 3},
    ],
)
def test_a_damaged_configuration_is_refused(config):
    with pytest.raises(ConfigError, match="damaged"):
        embedder_from(config)


def test_only_the_lexical_one_learns_from_the_corpus(tmp_path):
    inner = Counting()
    assert fitted_to(inner, CORPUS) is inner
    save_state(inner, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_an_endpoint_that_has_no_embeddings_says_so():
    with (
        serving(as_json({"error": "this server does not support embeddings"}, 501)) as server,
        pytest.raises(RemoteError, match="501") as error,
    ):
        _ = open_embedder(f"{server.url}#m").dim
    assert "does not support embeddings" in str(error.value)
