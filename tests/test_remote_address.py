"""Addresses and keys of endpoints."""

import logging

import pytest

from endpoint_tools import Answer, as_json, free_port, said, serving, stream, vectors
from isthmus.errors import ConfigError, RemoteError
from isthmus.remote import Endpoint

KEY = "sk-this-is-secret"


@pytest.fixture
def key(monkeypatch):
    monkeypatch.setenv("ISTHMUS_API_KEY", KEY)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("http://127.0.0.1:8080/v1", "http://127.0.0.1:8080/v1"),
        (" https://example.org/v1/ ", "https://example.org/v1"),
        ("http://[::1]:99/", "http://[::1]:99"),
    ],
)
def test_an_address_is_kept_without_what_is_too_much(given, kept):
    assert Endpoint(given).base_url == kept


@pytest.mark.parametrize(
    "given",
    [
        *("", "localhost:8080", "ftp://example.org/v1", "file:///etc/passwd", "http:///v1"),
        *("http://host:nine/v1", "http://[::1/v1", "http://host/v1?a=1", "http://host/v1#m"),
    ],
)
def test_an_address_that_is_none_is_refused(given):
    with pytest.raises(ConfigError, match="address"):
        Endpoint(given)


def test_an_address_with_a_password_is_refused_and_the_password_not_repeated():
    with pytest.raises(ConfigError, match="password") as error:
        Endpoint("https://me:hunter2@example.org/v1")
    assert "hunter2" not in str(error.value)
    assert "example.org" in str(error.value)


def test_there_is_no_default_address():
    with pytest.raises(TypeError):
        Endpoint()


@pytest.mark.parametrize(
    "wrong",
    [
        *({"timeout": 0}, {"connect_timeout": -1}, {"longest": 0}, {"most_bytes": 0}),
        *({"retries": -1}, {"backoff": -0.1}, {"longest_wait": -1}),
    ],
)
def test_limits_that_make_no_sense_are_refused(wrong):
    with pytest.raises(ConfigError):
        Endpoint("http://127.0.0.1/v1", **wrong)


def test_the_key_is_sent_where_there_is_one(key):
    with serving(as_json({"data": []})) as server:
        Endpoint(server.url).models()
    assert server.asked[0].headers["Authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize("value", [None, "", "  "])
def test_without_a_key_no_header_is_sent(monkeypatch, value):
    if value is None:
        monkeypatch.delenv("ISTHMUS_API_KEY", raising=False)
    else:
        monkeypatch.setenv("ISTHMUS_API_KEY", value)
    monkeypatch.setenv("OPENAI_API_KEY", "not-ours")
    with serving(as_json({"data": []})) as server:
        Endpoint(server.url).models()
    assert "Authorization" not in server.asked[0].headers


def test_the_key_may_stand_in_another_variable(monkeypatch, key):
    monkeypatch.setenv("MY_KEY", "other")
    with serving(as_json({"data": []})) as server:
        Endpoint(server.url, key_variable="MY_KEY").models()
        Endpoint(server.url, key_variable="").models()
    assert server.asked[0].headers["Authorization"] == "Bearer other"
    assert "Authorization" not in server.asked[1].headers


@pytest.mark.parametrize("bad", ["two words", "línea", "a\nX-Header: b"])
def test_a_key_that_can_be_none_is_refused_and_not_repeated(monkeypatch, bad):
    monkeypatch.setenv("ISTHMUS_API_KEY", bad)
    with pytest.raises(ConfigError, match="ISTHMUS_API_KEY") as error:
        Endpoint("http://127.0.0.1:9/v1").models()
    assert bad not in str(error.value)
    assert error.value.__cause__ is None


def echo(asked):
    """A server that repeats the key wherever it can."""
    return as_json({"error": {"message": f"bad key {asked.headers['Authorization']}"}}, 401)


def repeats_in_words(asked):
    return Answer(f"<html><title>{asked.headers['Authorization']}</title>".encode(), 500)


@pytest.mark.parametrize(
    "answer",
    [
        *(echo, repeats_in_words, lambda asked: Answer(asked.headers["Authorization"].encode())),
        lambda asked: as_json({"error": asked.headers["Authorization"]}),
        lambda asked: stream(asked.headers["Authorization"]),
        lambda asked: said(None, refusal=asked.headers["Authorization"]),
        lambda asked: Answer(cut=True),
    ],
)
def test_the_key_stands_in_no_message_and_no_log(key, answer, caplog, capfd):
    caplog.set_level(logging.DEBUG)
    with serving(answer) as server:
        endpoint = Endpoint(server.url, retries=1, backoff=0)
        with pytest.raises(RemoteError) as error:
            endpoint.chat("m", [{"role": "user", "content": "x"}], on_text=lambda text: None)
    shown = [repr(endpoint), str(vars(endpoint)), repr(error.value), str(error.value)]
    shown += [caplog.text, *capfd.readouterr()]
    before = error.value.__cause__
    while before is not None:
        shown += [repr(before), str(before)]
        before = before.__cause__ or before.__context__
    assert server.asked[0].headers["Authorization"].endswith(KEY)
    assert not [text for text in shown if KEY in text]


def test_the_key_stands_in_no_message_about_a_redirect(key):
    def answer(asked):
        return Answer(status=302, headers={"Location": f"/{asked.headers['Authorization']}"})

    with serving(answer) as server, pytest.raises(RemoteError, match="redirect") as error:
        Endpoint(server.url).models()
    assert "/Bearer [ISTHMUS_API_KEY]" in str(error.value)


def test_the_key_stands_in_no_attribute(key):
    with serving(vectors([1.0])) as server:
        endpoint = Endpoint(server.url, generator=None)
        endpoint.embeddings("m", ["x"])
    assert KEY not in repr(vars(endpoint))


def test_nothing_is_sent_when_an_endpoint_is_made():
    Endpoint(f"http://127.0.0.1:{free_port()}/v1")
