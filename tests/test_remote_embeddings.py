"""Vectors from an endpoint."""

import base64
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from endpoint_tools import as_json, serving, toy_vectors, vectors
from isthmus.errors import ConfigError, RemoteError
from isthmus.remote import Endpoint
from isthmus.remote.vectors import read_vectors


def packed(*numbers):
    return base64.b64encode(np.array(numbers, dtype="<f4").tobytes()).decode()


def test_vectors_come_back_in_the_order_of_the_texts():
    with serving(vectors([1.0, 2.0], [3, -4.5])) as server:
        found = Endpoint(server.url).embeddings("m", ["a", "b"])
    assert found.dtype == np.float32
    assert found.tolist() == [[1.0, 2.0], [3.0, -4.5]]
    asked = server.asked[0]
    assert asked.path == "/v1/embeddings"
    assert asked.content == {"model": "m", "input": ["a", "b"], "encoding_format": "float"}


def test_a_server_may_answer_in_another_order():
    data = [{"index": 1, "embedding": [1.0]}, {"index": 0, "embedding": [0.5]}]
    with serving(as_json({"data": data})) as server:
        assert Endpoint(server.url).embeddings("m", ["a", "b"]).tolist() == [[0.5], [1.0]]


def test_a_server_may_leave_the_numbers_out():
    with serving(as_json({"data": [{"embedding": [1.0]}, {"embedding": [2.0]}]})) as server:
        assert Endpoint(server.url).embeddings("m", ["a", "b"]).tolist() == [[1.0], [2.0]]


def test_base64_is_read():
    with serving(vectors(packed(1.5, -2.0), packed(0.0, 3.0))) as server:
        found = Endpoint(server.url).embeddings("m", ["a", "b"])
    assert found.tolist() == [[1.5, -2.0], [0.0, 3.0]]


def test_texts_are_sent_in_batches():
    done = []
    with serving(toy_vectors(4)) as server:
        texts = [f"text {i}" for i in range(7)]
        endpoint = Endpoint(server.url)
        found = endpoint.embeddings("m", texts, batch=3, progress=lambda *at: done.append(at))
        whole = endpoint.embeddings("m", texts)
    assert [len(asked.content["input"]) for asked in server.asked] == [3, 3, 1, 7]
    assert done == [(3, 7), (6, 7), (7, 7)]
    assert np.array_equal(found, whole)


def test_no_texts_need_no_server():
    assert Endpoint("http://127.0.0.1:9/v1").embeddings("m", []).shape == (0, 0)


@pytest.mark.parametrize("batch", [0, -1])
def test_a_batch_of_nothing_is_refused(batch):
    with pytest.raises(ConfigError, match="batch"):
        Endpoint("http://127.0.0.1:9/v1").embeddings("m", ["a"], batch=batch)


def test_half_a_surrogate_pair_is_sent_as_a_question_mark():
    with serving(vectors([1.0])) as server:
        Endpoint(server.url).embeddings("m", ["a\ud800é"])
    assert server.asked[0].content["input"] == ["a?é"]


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf"), None, 1e300])
def test_what_is_not_finite_is_refused_with_the_number_of_its_text(bad):
    answers = [vectors([1.0, 2.0], [3.0, 4.0]), vectors([1.0, 2.0], [1.0, bad])]
    with (
        serving(*answers) as server,
        pytest.raises(RemoteError, match="the vector of text 3 is not finite") as error,
    ):
        Endpoint(server.url).embeddings("m", list("abcd"), batch=2)
    assert f"{server.url}/embeddings" in str(error.value)


def test_base64_that_is_not_finite_is_refused():
    with (
        serving(vectors(packed(1.0), packed(math.nan))) as server,
        pytest.raises(RemoteError, match="text 1 is not finite"),
    ):
        Endpoint(server.url).embeddings("m", ["a", "b"])


def whole(*items):
    return {"data": list(items)}


RIGHT = {"index": 0, "embedding": [1.0, 2.0]}


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ({}, 'no list of objects under "data"'),
        ({"data": {"0": RIGHT}}, 'no list of objects under "data"'),
        (whole("ab", "cd"), 'no list of objects under "data"'),
        (whole(), "0 vectors for 2 texts"),
        (whole(RIGHT), "1 vectors for 2 texts"),
        (whole(RIGHT, RIGHT, RIGHT), "3 vectors for 2 texts"),
        (whole(RIGHT, RIGHT), "0 to 1, each once"),
        (whole(RIGHT, RIGHT | {"index": 2}), "0 to 1, each once"),
        (whole(RIGHT, RIGHT | {"index": "1"}), "0 to 1, each once"),
        (whole(RIGHT, RIGHT | {"index": True}), "0 to 1, each once"),
        (whole(RIGHT, {"embedding": [1.0, 2.0]}), "0 to 1, each once"),
        (whole(RIGHT, {"index": 1}), "text 1 is no list"),
        (whole(RIGHT, {"index": 1, "embedding": []}), "text 1 is no list"),
        (whole(RIGHT, {"index": 1, "embedding": {}}), "text 1 is no list"),
        (whole(RIGHT, {"index": 1, "embedding": [1.0]}), "text 1 has 1 numbers, text 0 has 2"),
        (whole(RIGHT, {"index": 1, "embedding": [1.0, "2"]}), "no number"),
        (whole(RIGHT, {"index": 1, "embedding": [1.0, True]}), "no number"),
        (whole(RIGHT, {"index": 1, "embedding": [1.0, [2.0]]}), "no number"),
        (whole(RIGHT, {"index": 1, "embedding": [[1.0, 2.0]]}), "a vector for each token"),
        (whole(RIGHT, {"index": 1, "embedding": [1.0, 10**400]}), "beyond all bounds"),
        (whole(RIGHT, {"index": 1, "embedding": "no base64!"}), "damaged base64"),
        (whole(RIGHT, {"index": 1, "embedding": "AAAA"}), "3 bytes, no row of float32"),
        (whole(RIGHT, {"index": 1, "embedding": ""}), "0 bytes, no row of float32"),
    ],
)
def test_vectors_that_are_none_are_refused(answer, why):
    with (
        serving(as_json(answer)) as server,
        pytest.raises(RemoteError, match="can't be used") as error,
    ):
        Endpoint(server.url).embeddings("m", ["a", "b"])
    assert why in str(error.value)


def test_vectors_of_another_width_in_a_later_batch_are_refused():
    with (
        serving(vectors([1.0, 2.0]), vectors([1.0])) as server,
        pytest.raises(RemoteError) as error,
    ):
        Endpoint(server.url).embeddings("m", ["a", "b"], batch=1)
    assert "text 1 has 1 numbers, text 0 has 2" in str(error.value)


@settings(max_examples=200, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.dictionaries(
                st.sampled_from(["data", "index", "embedding", "x"]), inner, max_size=4
            )
        ),
        max_leaves=12,
    )
)
def test_whatever_an_answer_holds_it_is_vectors_or_a_clear_error(value):
    try:
        found = read_vectors({"data": value}, 2, 0, "there")
    except RemoteError as error:
        assert "there" in str(error)  # noqa: PT017
    else:
        assert found.shape[0] == 2
        assert np.isfinite(found).all()
