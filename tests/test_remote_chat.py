"""Answers of chat models, whole and in pieces."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from endpoint_tools import Answer, as_json, delta, said, serving, stream
from isthmus.errors import RemoteError
from isthmus.remote import Endpoint
from isthmus.remote.talk import events

TURNS = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Wh\ud800?"}]
SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}}


def to(server, **more):
    return Endpoint(server.url, backoff=0, retries=2, **more)


def test_an_answer_in_one_piece():
    with serving(said("Yes.")) as server:
        assert to(server).chat("m", TURNS, max_tokens=9) == "Yes."
    asked = server.asked[0]
    assert (asked.method, asked.path) == ("POST", "/v1/chat/completions")
    assert asked.content == {
        "model": "m",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Wh??"},
        ],
        "temperature": 0.0,
        "max_tokens": 9,
    }


def test_a_schema_is_sent():
    with serving(said('{"a": "b"}')) as server:
        assert to(server).chat("m", TURNS, schema=SCHEMA) == '{"a": "b"}'
    asked = server.asked[0].content["response_format"]
    assert asked["type"] == "json_schema"
    assert asked["json_schema"]["schema"] == SCHEMA


def test_an_empty_answer_is_one():
    with serving(said("")) as server:
        assert to(server).chat("m", TURNS) == ""


def test_a_cut_answer_is_refused_where_it_must_be_whole():
    with serving(said("Because", "length"), said('{"a', "length")) as server:
        assert to(server).chat("m", TURNS) == "Because"
        with pytest.raises(RemoteError, match="cut before its end"):
            to(server).chat("m", TURNS, schema=SCHEMA)
    with (
        serving(stream(delta('{"a'), delta(None, "length"))) as server,
        pytest.raises(RemoteError, match="cut before its end"),
    ):
        to(server).chat("m", TURNS, schema=SCHEMA, on_text=lambda text: None)


@pytest.mark.parametrize("answer", [said(None), said(None, refusal="I won't"), said(["a"])])
def test_an_answer_without_text_is_refused(answer):
    with serving(answer) as server, pytest.raises(RemoteError, match="without any text") as error:
        to(server).chat("m", TURNS)
    assert ("I won't" in str(error.value)) == (b"won't" in answer.body)


@pytest.mark.parametrize(
    "answer",
    [
        *({}, {"choices": []}, {"choices": None}, {"choices": [{}]}, {"choices": ["text"]}),
        *({"choices": {"0": {}}}, {"choices": [{"message": "text"}]}),
    ],
)
def test_an_answer_of_another_shape_is_refused(answer):
    with serving(as_json(answer)) as server, pytest.raises(RemoteError, match="can't be used"):
        to(server).chat("m", TURNS)


def test_the_time_limit_of_one_answer_can_be_set():
    with (
        serving(Answer(pause=30)) as server,
        pytest.raises(RemoteError, match=r"said nothing for 0\.1 seconds"),
    ):
        to(server).chat("m", TURNS, timeout=0.1)


# ---------------------------------------------------------------- in pieces


def heard(server, **more):
    pieces = []
    whole = to(server, **more).chat("m", TURNS, on_text=pieces.append)
    return whole, pieces


def test_pieces_are_handed_on_as_they_arrive():
    usage = {"choices": [], "usage": {"total_tokens": 3}}
    events = [delta(""), delta("Yé"), delta("s, "), delta("\n"), delta(None, "stop"), usage]
    with serving(stream(*events)) as server:
        assert heard(server) == ("Yés, \n", ["Yé", "s, ", "\n"])
    assert server.asked[0].content["stream"] is True


def test_each_piece_comes_before_the_next_is_sent():
    """The server goes on only when the piece was handed on: nothing is held back."""
    told = []

    def pieces():
        for i, data in enumerate(stream(delta("a"), delta("b"), delta("c")).pieces):
            deadline_ok = server.over.wait(0.0) or _until(lambda i=i: len(told) >= min(i, 3))
            yield data if deadline_ok else b"data: too late\n\n"

    answer = Answer(pieces=pieces(), headers={"Content-Type": "text/event-stream"})
    with serving(answer) as server:
        assert to(server).chat("m", TURNS, on_text=told.append) == "abc"


def _until(condition):
    from endpoint_tools import wait_for

    return wait_for(condition, 5)


def test_a_stream_may_end_with_its_reason_alone():
    with serving(stream(delta("a"), delta("b", "stop"), done=False)) as server:
        assert heard(server) == ("ab", ["a", "b"])


def test_a_server_that_can_not_stream_is_understood():
    with serving(said("All at once.")) as server:
        assert heard(server) == ("All at once.", ["All at once."])


@pytest.mark.parametrize(
    "answer",
    [stream(delta("a"), done=False), stream(delta("a"), done=False, cut=True), stream(done=False)],
)
def test_a_stream_that_ends_too_early_is_said_to(answer):
    with serving(answer) as server, pytest.raises(RemoteError, match="broke off") as error:
        heard(server)
    assert "ask again" in str(error.value)
    assert len(server.asked) == 1


def test_a_connection_lost_after_the_first_piece_is_not_asked_again():
    lost = Answer(
        b"data: " + b'{"choices": [{"delta": {"content": "a"}}]}' + b"\n\n",
        headers={"Content-Type": "text/event-stream"},
        cut=True,
    )
    pieces = []
    with serving(lost) as server, pytest.raises(RemoteError, match="broke off"):
        to(server).chat("m", TURNS, on_text=pieces.append)
    assert pieces == ["a"]
    assert len(server.asked) == 1


def test_a_connection_lost_before_the_first_piece_is_asked_again():
    lost = Answer(b": wait\n\n", headers={"Content-Type": "text/event-stream"}, cut=True)
    with serving(lost, stream(delta("a"))) as server:
        assert heard(server) == ("a", ["a"])
    assert len(server.asked) == 2


def test_a_busy_server_is_asked_again():
    with serving(Answer(status=503), stream(delta("a"))) as server:
        assert heard(server) == ("a", ["a"])


def test_a_stream_that_hangs_is_given_up():
    with (
        serving(stream(delta("a"), delta("b"), pause=0.5)) as server,
        pytest.raises(RemoteError, match="said nothing for"),
    ):
        heard(server, timeout=0.2)


@pytest.mark.parametrize(
    ("event", "why"),
    [
        ("not json", "an event is not JSON: not json"),
        ("[]", "a JSON object was expected"),
        ({"choices": "a"}, "no list of objects"),
        (delta(3), "no text"),
        (delta(["a"]), "no text"),
    ],
)
def test_an_event_that_is_rubbish_is_said_to_be(event, why):
    with serving(stream(delta("a"), event)) as server, pytest.raises(RemoteError) as error:
        heard(server)
    assert why in str(error.value)


def test_an_error_in_the_middle_of_a_stream_is_said():
    with (
        serving(stream(delta("a"), {"error": {"message": "out of memory"}})) as server,
        pytest.raises(RemoteError, match="reports an error") as error,
    ):
        heard(server)
    assert "out of memory" in str(error.value)


def test_what_the_listener_raises_comes_through():
    def stop(text):
        raise KeyboardInterrupt

    with serving(stream(delta("a"), delta("b"))) as server, pytest.raises(KeyboardInterrupt):
        to(server).chat("m", TURNS, on_text=stop)


# ---------------------------------------------------------------- server-sent events


@pytest.mark.parametrize(
    ("raw", "data"),
    [
        (b"", []),
        (b"\n\n\n", []),
        (b": comment\n\n", []),
        (b"data: a\n\n", ["a"]),
        (b"data:a\n\n", ["a"]),
        (b"data:  a\n\n", [" a"]),
        (b"data\n\n", [""]),
        (b"data: a\ndata: b\n\n", ["a\nb"]),
        (b"event: x\nid: 1\nretry: 2\ndata: a\n\n", ["a"]),
        (b"data: a\r\rdata: b\r\n\r\n", ["a", "b"]),
        (b"data: a", ["a"]),
        (b"\xef\xbb\xbfdata: a\n\n", ["a"]),
        (b"data: \xff\n\n", ["\ufffd"]),
    ],
)
def test_events_are_read_as_the_standard_says(raw, data):
    assert list(events([raw])) == data


@given(
    st.lists(st.text(st.characters(exclude_characters="\r\n\ufeff", codec="utf-8")), max_size=5),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.lists(st.integers(0, 200), max_size=8),
)
def test_where_the_bytes_are_cut_changes_nothing(texts, end, cuts):
    raw = "".join(f"data: {text}{end}{end}" for text in texts).encode()
    places = [0, *sorted(min(cut, len(raw)) for cut in cuts), len(raw)]
    blocks = [raw[a:b] for a, b in itertools.pairwise(places)]
    assert list(events(blocks)) == texts
