"""The adapter to Qdrant: what it makes, accepts and refuses, and what it never does."""

import logging
import pickle
import socket

import pytest

from isthmus.errors import ConfigError, DataError, RemoteError
from isthmus.search.filters import Condition
from isthmus.search.stores import QdrantStore
from store_tools import LATENTS, ServerLike, codes_of, environment, memory_client

SECRET = "s3cr3t-key"
pytestmark = pytest.mark.filterwarnings("ignore:Api key is used with an insecure")


@pytest.fixture
def client():
    return memory_client()


def filled(client, **settings):
    store = QdrantStore(client, "codes", latents=LATENTS, **settings)
    store.put([1, 2], codes_of([{0: 1.0}, {0: 2.0, 3: 1.0}]), [{"x": 1}, {"x": "a"}])
    return store


def test_a_collection_is_made_with_our_settings_and_found_again(client):
    filled(client)
    config = client.get_collection("codes").config
    assert config.metadata == {"isthmus": "codes", "format": 1, "latents": LATENTS}
    assert list(config.params.sparse_vectors) == ["codes"]
    assert config.params.sparse_vectors["codes"].index.datatype == "float32"
    assert config.params.vectors == {}
    again = QdrantStore(client, "codes", latents=LATENTS)
    assert len(again) == 2
    assert again.search([0], [1.0]).ids.tolist() == [2, 1]


def test_a_collection_of_something_else_is_refused_and_left_alone(client):
    from qdrant_client import models

    parts = {"sparse_vectors_config": {"codes": models.SparseVectorParams()}}
    client.create_collection("codes", vectors_config={}, **parts)
    with pytest.raises(DataError, match="not made by Isthmus"):
        QdrantStore(client, "codes", latents=LATENTS)
    assert client.get_collection("codes").config.metadata is None


@pytest.mark.parametrize(
    ("said", "wrong"),
    [
        ({"latents": 9}, "another dictionary\n.*\n.*9 latents, not 8"),
        ({"format": 2}, "newer format\n.*\n.*format 2"),
        ({"format": None}, "newer format"),
        ({"isthmus": "runs"}, "not made by Isthmus"),
    ],
)
def test_a_collection_that_says_something_else_is_refused(client, said, wrong):
    from qdrant_client import models

    mark = {"isthmus": "codes", "format": 1, "latents": LATENTS, **said}
    parts = {"sparse_vectors_config": {"codes": models.SparseVectorParams()}}
    client.create_collection("codes", vectors_config={}, metadata=mark, **parts)
    with pytest.raises(DataError, match=wrong):
        QdrantStore(client, "codes", latents=LATENTS)


@pytest.mark.parametrize("kind", ["none", "idf", "float16"])
def test_settings_that_would_change_scores_are_refused(client, kind):
    from qdrant_client import models

    params = {
        "none": {"other": models.SparseVectorParams()},
        "idf": {"codes": models.SparseVectorParams(modifier=models.Modifier.IDF)},
        "float16": {
            "codes": models.SparseVectorParams(
                index=models.SparseIndexParams(datatype=models.Datatype.FLOAT16)
            )
        },
    }[kind]
    mark = {"isthmus": "codes", "format": 1, "latents": LATENTS}
    client.create_collection(
        "codes", vectors_config={}, metadata=mark, sparse_vectors_config=params
    )
    with pytest.raises(DataError, match="would change scores"):
        QdrantStore(client, "codes", latents=LATENTS)


def test_nothing_is_pickled_in_memory(client, monkeypatch):
    def refused(*arguments, **settings):
        raise AssertionError("something was pickled")

    for name in ("dumps", "loads", "dump", "load"):
        monkeypatch.setattr(pickle, name, refused)
    store = filled(client)
    assert store.search([0], [1.0], where=[Condition("x", "=", "a")]).ids.tolist() == [2]
    store.delete([1])
    assert len(store) == 1


def test_local_mode_on_disk_is_refused_for_its_pickles(tmp_path):
    from qdrant_client import QdrantClient

    local = QdrantClient(path=str(tmp_path / "q"))
    with pytest.raises(ConfigError, match=r"on disk is not used\n.*pickles"):
        QdrantStore(local, "codes", latents=LATENTS)
    local.close()


def test_the_payload_index_for_the_largest_value_is_made_on_a_server(client):
    made = []

    class Server(ServerLike):
        def create_payload_index(self, collection, field, schema, wait):
            made.append((collection, field, schema, wait))

    QdrantStore(Server(client), "codes", latents=LATENTS)
    assert made == [("codes", "peak", "float", True)]
    QdrantStore(Server(client), "codes", latents=LATENTS)
    assert len(made) == 1


def test_rows_are_sent_in_batches(client):
    sent = []

    class Counting(ServerLike):
        def upsert(self, collection, points, wait):
            sent.append(len(points))
            return self._client.upsert(collection, points, wait=wait)

    store = QdrantStore(Counting(client), "codes", latents=LATENTS, batch=4)
    store.put(range(10), codes_of([{0: 1.0}] * 10), [{}] * 10)
    assert sent == [4, 4, 2]
    store.delete(range(10))
    assert len(store) == 0


@pytest.mark.parametrize(
    "address",
    [
        f"https://user:{SECRET}@host:6333",
        f"https://{SECRET}@host",
        f"https://host/?api_key={SECRET}",
        f"https://host/#{SECRET}",
        f"host:{SECRET}",
        f"https://host:{SECRET}",
        f"ftp://{SECRET}",
        "",
    ],
)
def test_an_address_that_holds_a_secret_or_is_none_is_refused_unshown(address):
    with pytest.raises(ConfigError) as caught:
        QdrantStore(address, "codes", latents=LATENTS)
    assert SECRET not in str(caught.value)
    assert "key" in str(caught.value) or "https://host:6333" in str(caught.value)


def test_a_key_is_sent_over_https_only():
    with environment(QDRANT_API_KEY=SECRET):
        with pytest.raises(ConfigError, match="over https only") as caught:
            QdrantStore("http://example.org:6333", "codes", latents=LATENTS)
        assert SECRET not in str(caught.value)


def listening():
    """Return a socket of this machine that answers nothing sensible, and its port."""
    server = socket.create_server(("127.0.0.1", 0))
    return server, server.getsockname()[1]


def test_a_server_that_is_away_is_named_and_its_key_is_not(caplog):
    server, port = listening()
    server.close()
    with (
        environment(QDRANT_API_KEY=SECRET),
        caplog.at_level(logging.DEBUG),
        pytest.raises(RemoteError, match="Qdrant could not open") as caught,
    ):
        QdrantStore(f"http://127.0.0.1:{port}", "codes", latents=LATENTS, timeout=2)
    assert f"127.0.0.1:{port}" in str(caught.value)
    assert SECRET not in str(caught.value) + caplog.text


def answering(body, status="200 OK"):
    """Serve one kind of answer to everything; returns the port and what was asked."""
    import threading

    server, port = listening()
    asked = []

    def serve():
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            with connection:
                asked.append(connection.recv(65536).decode("latin1"))
                head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\n"
                head += f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
                connection.sendall(head.encode() + body)

    threading.Thread(target=serve, daemon=True).start()
    return server, port, asked


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"rubbish", "200 OK"),
        (b'{"result": {"exists": "perhaps"}}', "200 OK"),
        (b'{"status": {"error": "no"}}', "401 Unauthorized"),
        (b"", "500 Internal Server Error"),
        (b'{"status": {"error": "slow down"}}', "429 Too Many Requests"),
    ],
)
def test_a_server_that_answers_rubbish_or_refuses_is_reported(body, status):
    server, port, asked = answering(body, status)
    with server, environment(QDRANT_API_KEY=SECRET):
        with pytest.raises(RemoteError, match="Qdrant could not open the collection") as caught:
            QdrantStore(f"http://127.0.0.1:{port}", "codes", latents=LATENTS, timeout=2)
        assert SECRET not in str(caught.value) + repr(caught.value)
        assert f"api-key: {SECRET}" in asked[0]  # the key comes from the environment, and is sent


def test_nothing_is_sent_when_rows_are_refused(client):
    class Deaf(ServerLike):
        def upsert(self, *arguments, **settings):
            raise AssertionError("sent")

    store = QdrantStore(Deaf(client), "codes", latents=LATENTS)
    with pytest.raises(DataError):
        store.put([1, 1], codes_of([{0: 1.0}] * 2), [{}, {}])


def test_conditions_that_nothing_meets_are_not_asked(client):
    class Deaf(ServerLike):
        def query_batch_points(self, *arguments, **settings):
            raise AssertionError("asked")

    store = QdrantStore(Deaf(client), "codes", latents=LATENTS)
    assert len(store.search([0], [1.0], where=[Condition("x", "in", ())])) == 0
    assert len(store.search([0], [1.0], where=[Condition("x", "<", False)])) == 0


@pytest.mark.parametrize(
    "settings",
    [
        {"collection": ""},
        {"collection": 3},
        {"batch": 0},
        {"timeout": 0},
        {"timeout": float("nan")},
    ],
)
def test_settings_that_are_refused(client, settings):
    with pytest.raises(ConfigError):
        QdrantStore(client, **{"collection": "codes", "latents": LATENTS, **settings})


def test_it_says_what_it_is_and_a_given_client_stays_open(client):
    with filled(client) as store:
        assert repr(store) == "QdrantStore('the given client', 'codes', latents=8)"
    with pytest.raises(ConfigError, match="the store is closed"):
        store.search([0], [1.0])
    store.close()
    assert client.collection_exists("codes")
