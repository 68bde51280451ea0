"""Processes that embed, tried with one that has no model."""

import io
import os
import signal
import subprocess
import sys

import numpy as np
import pytest

from embedder_worker_toy import opened
from endpoint_tools import wait_for
from isthmus.errors import RunError
from isthmus.search.embedders.base import EmbedderOptions
from isthmus.search.embedders.frames import DONE, FAILED, receive, send
from isthmus.search.embedders.worker import serve
from isthmus.search.embedders.workers import Workers

TEXTS = ["a" * i + chr(98 + i % 20) for i in range(700)]


class ToyWorkers(Workers):
    program = "embedder_worker_toy"


@pytest.fixture(scope="module")
def team():
    found = ToyWorkers("3", EmbedderOptions(threads=1), 2)
    yield found
    found.close()


def right(texts):
    return [[len(text), ord(text[:1] or " "), 0] for text in texts]


def test_every_text_gets_its_own_vector(team):
    told = []
    found = team.embed(TEXTS, 3, lambda *at: told.append(at))
    assert found.tolist() == right(TEXTS)
    assert told[-1] == (700, 700)
    assert told == sorted(told)


def test_the_processes_stay_and_take_no_notice_of_ctrl_c(team):
    before = [process.pid for process in team._processes]
    for pid in before:
        os.kill(pid, signal.SIGINT)
    assert team.embed(TEXTS[:5], 3, None).tolist() == right(TEXTS[:5])
    assert [process.pid for process in team._processes] == before


def test_a_failure_in_a_process_is_told_and_ends_them():
    team = ToyWorkers("3", EmbedderOptions(threads=1), 2)
    with pytest.raises(RunError, match="a worker process failed") as error:
        team.embed(["a", "b", "fail", "c"], 3, None)
    assert "ValueError: it failed" in str(error.value)
    assert all(process.poll() is not None for process in team._processes)


def test_what_the_listener_raises_ends_them():
    team = ToyWorkers("3", EmbedderOptions(threads=1), 2)

    def stop(*at):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        team.embed(TEXTS, 3, stop)
    assert all(process.poll() is not None for process in team._processes)


def test_a_process_that_is_killed_is_an_error_and_not_a_hang():
    team = ToyWorkers("3", EmbedderOptions(threads=1), 1)
    os.kill(team._processes[0].pid, signal.SIGKILL)
    with pytest.raises(RunError, match="ended before its time") as error:
        team.embed(["a", "b"], 3, None)
    assert "fewer processes" in str(error.value)


def test_they_end_with_the_object_that_holds_them():
    team = ToyWorkers("3", EmbedderOptions(threads=1), 1)
    process = team._processes[0]
    assert process.poll() is None
    del team
    assert process.poll() is not None


def test_they_end_with_the_process_that_started_them():
    code = (
        "import sys, time; sys.path[:0] = %r\n"
        "from test_embedders_workers import ToyWorkers, EmbedderOptions\n"
        "team = ToyWorkers('3', EmbedderOptions(threads=1), 2)\n"
        "team.embed(['a', 'b'], 3, None)\n"
        "print(*[process.pid for process in team._processes], flush=True)\n"
        "time.sleep(600)\n"
    )
    command = [sys.executable, "-c", code % sys.path]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        workers = [int(pid) for pid in parent.stdout.readline().split()]
        parent.kill()
    assert len(workers) == 2
    assert wait_for(lambda: not any(_runs(pid) for pid in workers), 20)


def _runs(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    try:  # where nobody collects it, a process that has ended is left as a zombie
        with open(f"/proc/{pid}/stat") as facts:  # noqa: PTH123
            return facts.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def conversation(*messages):
    questions, answers = io.BytesIO(), io.BytesIO()
    for message in messages:
        send(questions, message)
    questions.seek(0)
    serve(questions, answers, opened)
    answers.seek(0)
    found = []
    while answers.tell() < len(answers.getvalue()):
        found.append(receive(answers))
    return found


def test_a_worker_answers_and_goes_on_after_a_failure():
    found = conversation(b'{"folder": "2"}', b'["fail"]', b'["abc", ""]')
    assert found[0] == (FAILED, b"ValueError: it failed")
    assert found[1][0] == DONE
    assert np.frombuffer(found[1][1], dtype=np.float32).tolist() == [3, 97, 0, 32]


def test_a_worker_ends_when_nobody_asks_any_more():
    assert conversation() == []
    assert conversation(b'{"folder": "2"}') == []


@pytest.mark.parametrize("raw", [b"", b"d", b"d\x05" + b"\0" * 7 + b"abcd"])
def test_a_message_that_ends_too_early_is_none(raw):
    with pytest.raises(EOFError):
        receive(io.BytesIO(raw))
