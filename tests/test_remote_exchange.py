"""Requests and answers over HTTP: retries, time limits, refusals, rubbish."""

import contextlib
import email.utils
import gzip
import time

import numpy as np
import pytest

from endpoint_tools import Answer, as_json, free_port, serving
from isthmus.errors import RemoteError
from isthmus.remote import Endpoint

MODELS = as_json({"data": [{"id": "a"}, {"id": "b"}]})


class Clock:
    """Stands in for waiting, and remembers for how long."""

    def __init__(self):
        self.waits = []

    def __call__(self, seconds):
        self.waits.append(seconds)


@pytest.fixture
def clock():
    return Clock()


def to(server, clock, **more):
    return Endpoint(server.url, sleep=clock, generator=np.random.default_rng(0), **more)


def test_models_are_listed_in_their_order(clock):
    with serving(MODELS) as server:
        assert to(server, clock).models() == ["a", "b"]
    assert (server.asked[0].method, server.asked[0].path) == ("GET", "/v1/models")
    assert clock.waits == []


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504, 529])
def test_what_may_pass_is_tried_again(status, clock):
    with serving(Answer(b"busy", status), Answer(b"busy", status), MODELS) as server:
        assert to(server, clock).models() == ["a", "b"]
    assert len(server.asked) == 3
    jitter = np.random.default_rng(0).random(2)
    assert clock.waits == pytest.approx([0.5 * (0.5 + jitter[0]), 1.0 * (0.5 + jitter[1])])


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 413, 422, 501])
def test_what_will_not_pass_is_said_at_once(status, clock):
    with (
        serving(as_json({"error": {"message": "no such thing"}}, status)) as server,
        pytest.raises(RemoteError, match=f"answered {status}") as error,
    ):
        to(server, clock).models()
    assert len(server.asked) == 1
    assert "it says: no such thing" in str(error.value)
    assert f"where: {server.url}/models" in str(error.value)


def test_after_the_last_try_the_last_refusal_is_said(clock):
    with (
        serving(Answer(b"one", 503), Answer(b"two", 503), Answer(b"three", 503)) as server,
        pytest.raises(RemoteError, match="503: it is overloaded") as error,
    ):
        to(server, clock, retries=2).models()
    assert len(server.asked) == 3
    assert "three" in str(error.value)
    assert len(clock.waits) == 2


def test_without_retries_there_is_one_try(clock):
    with serving(Answer(b"", 503)) as server, pytest.raises(RemoteError):
        to(server, clock, retries=0).models()
    assert len(server.asked) == 1


def test_retry_after_is_kept_to(clock):
    with serving(Answer(status=429, headers={"Retry-After": "7"}), MODELS) as server:
        to(server, clock).models()
    assert clock.waits == [7.0]


def test_retry_after_may_be_a_date(clock):
    date = email.utils.formatdate(time.time() + 20, usegmt=True)
    with serving(Answer(status=503, headers={"Retry-After": date}), MODELS) as server:
        to(server, clock).models()
    assert 15 < clock.waits[0] <= 20


@pytest.mark.parametrize("asked", ["soon", "-5", "nan", "inf", "", "Mon, 99 Foo 2020"])
def test_a_retry_after_that_makes_no_sense_is_passed_over(asked, clock):
    with serving(Answer(status=503, headers={"Retry-After": asked}), MODELS) as server:
        to(server, clock).models()
    assert 0.25 <= clock.waits[0] <= 0.75


def test_a_server_that_asks_for_too_long_a_wait_is_given_up(clock):
    with (
        serving(Answer(status=429, headers={"Retry-After": "3600"})) as server,
        pytest.raises(RemoteError, match="429") as error,
    ):
        to(server, clock, longest_wait=30).models()
    assert "3600 seconds" in str(error.value)
    assert clock.waits == []


def test_waits_never_exceed_their_cap(clock):
    with serving(Answer(status=503)) as server, pytest.raises(RemoteError):
        to(server, clock, retries=8, longest_wait=3).models()
    assert max(clock.waits) == 3
    assert len(clock.waits) == 8


def test_an_endpoint_that_is_away_is_said_to_be_plainly(clock):
    port = free_port()
    endpoint = Endpoint(f"http://127.0.0.1:{port}/v1", retries=2, sleep=clock)
    with pytest.raises(
        RemoteError, match=f"nothing answers at http://127.0.0.1:{port}/v1"
    ) as error:
        endpoint.models()
    assert "start the server" in str(error.value)
    assert len(clock.waits) == 2


def test_a_host_that_is_unknown_is_said_to_be(clock, monkeypatch):
    monkeypatch.setattr("socket.getaddrinfo", _unknown)
    with pytest.raises(RemoteError, match="nothing answers at http://nowhere") as error:
        Endpoint("http://nowhere.invalid/v1", retries=0).models()
    assert "check the address" in str(error.value)


def _unknown(*args, **more):
    import socket

    raise socket.gaierror(-2, "Name or service not known")


def test_an_endpoint_that_comes_up_late_is_reached():
    port = free_port()
    with contextlib.ExitStack() as later:

        def start_while_waiting(seconds):
            later.enter_context(serving(MODELS, port=port))

        endpoint = Endpoint(f"http://127.0.0.1:{port}/v1", sleep=start_while_waiting)
        assert endpoint.models() == ["a", "b"]


def test_a_server_that_hangs_is_given_up_and_not_asked_again(clock):
    with serving(Answer(pause=30)) as server:
        began = time.monotonic()
        with pytest.raises(RemoteError, match=r"said nothing for 0\.2 seconds") as error:
            to(server, clock, timeout=0.2).models()
        assert time.monotonic() - began < 5
    assert len(server.asked) == 1
    assert "longer timeout" in str(error.value)


def test_a_server_that_hangs_in_the_middle_is_given_up(clock):
    slow = Answer(pieces=[b'{"data"', b": []}"], pause=0.6)
    with serving(slow) as server, pytest.raises(RemoteError, match="said nothing for"):
        to(server, clock, timeout=0.3).models()


def test_an_answer_that_drips_is_given_up(clock):
    with (
        serving(Answer(pieces=[b" "] * 100, pause=0.05)) as server,
        pytest.raises(RemoteError, match=r"was not done after 0\.2 seconds"),
    ):
        to(server, clock, longest=0.2).models()


def test_an_answer_that_is_too_long_is_given_up(clock):
    with serving(Answer(b" " * 5000)) as server, pytest.raises(RemoteError) as error:
        to(server, clock, most_bytes=1000).models()
    assert "longer than 1,000 bytes" in str(error.value)


def test_an_answer_that_unpacks_to_too_much_is_given_up(clock):
    bomb = gzip.compress(b" " * 5_000_000)
    assert len(bomb) < 10_000
    with (
        serving(Answer(bomb, headers={"Content-Encoding": "gzip"})) as server,
        pytest.raises(RemoteError, match="can't be used") as error,
    ):
        to(server, clock, most_bytes=100_000).models()
    assert "longer than 100,000 bytes" in str(error.value)


def test_damaged_compression_is_said(clock):
    with (
        serving(Answer(b"no gzip", headers={"Content-Encoding": "gzip"})) as server,
        pytest.raises(RemoteError, match="can't be used") as error,
    ):
        to(server, clock).models()
    assert "compression" in str(error.value)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_not_followed(status, clock):
    with serving(MODELS) as other:
        moved = Answer(status=status, headers={"Location": f"{other.url}/models"})
        with serving(moved) as server, pytest.raises(RemoteError, match="redirects") as error:
            to(server, clock).models()
    assert other.asked == []
    assert f"{other.url}/models" in str(error.value)


def test_a_connection_that_breaks_off_is_tried_again(clock):
    with serving(Answer(b'{"data":', cut=True), MODELS) as server:
        assert to(server, clock).models() == ["a", "b"]
    assert len(clock.waits) == 1


def test_a_connection_that_always_breaks_off_is_said(clock):
    with (
        serving(Answer(b'{"data":', cut=True)) as server,
        pytest.raises(RemoteError, match="can't be used") as error,
    ):
        to(server, clock, retries=1).models()
    assert "broke off" in str(error.value)
    assert len(server.asked) == 2


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"", "it is empty"),
        (b"hello", "it is not JSON but: hello"),
        (b"<!DOCTYPE html><html><title>Log\n in</title>", 'an HTML page, "Log in"'),
        (b"<html>", "an HTML page"),
        (b"\xff\xfe\x00", "it is not JSON"),
        (b"[" * 200_000, "it is not JSON"),
        (b"[]", "a JSON object was expected, not list"),
        (b"null", "a JSON object was expected, not NoneType"),
        (b"{}", 'no list of models with an "id"'),
        (b'{"data": 3}', 'no list of models with an "id"'),
        (b'{"data": ["a"]}', 'no list of models with an "id"'),
        (b'{"data": [{"id": 3}]}', 'no list of models with an "id"'),
    ],
)
def test_rubbish_is_said_to_be(body, why, clock):
    with (
        serving(Answer(body)) as server,
        pytest.raises(RemoteError, match="can't be used") as error,
    ):
        to(server, clock).models()
    assert why in str(error.value)
    assert f"{server.url}/models" in str(error.value)


def test_an_error_reported_under_a_success_is_one(clock):
    with (
        serving(as_json({"error": {"message": "model gone"}})) as server,
        pytest.raises(RemoteError, match="reports an error") as error,
    ):
        to(server, clock).models()
    assert "model gone" in str(error.value)


def test_what_a_server_says_is_shown_short_and_without_controls(clock):
    body = b"\x1b[2Jdanger\r\n" + b"x" * 5000
    with serving(Answer(body, 400)) as server, pytest.raises(RemoteError) as error:
        to(server, clock).models()
    shown = str(error.value)
    assert "\x1b" not in shown
    assert "danger" in shown
    assert len(shown) < 700


def test_proxies_have_no_place_on_the_way_to_this_machine(clock, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{free_port()}")
    with serving(MODELS) as server:
        assert to(server, clock).models() == ["a", "b"]


def test_proxies_of_the_environment_are_used_on_the_way_elsewhere(clock, monkeypatch):
    with serving(MODELS) as proxy:
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.port}")
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        assert Endpoint("http://models.example/v1").models() == ["a", "b"]
    assert proxy.asked[0].path == "http://models.example/v1/models"
