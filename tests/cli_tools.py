"""The command line as tests use it: in this process, or as a program of its own."""

import contextlib
import io
import json
import os
import subprocess
import sys
from dataclasses import dataclass

from isthmus.cli.program import run

SMALL = ("--hidden", "16", "--latent", "4", "--batch-size", "256", "--threads", "1")
"""Settings that make a training of digits a matter of a tenth of a second."""
QUICK = (*SMALL, "--epochs", "2", "--no-figures")


@dataclass(frozen=True)
class Answer:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def json(self):
        """What was printed, which must be one JSON object and nothing else."""
        value = json.loads(self.out)
        assert isinstance(value, dict)
        return value


def isthmus(*words):
    """Run a command in this process."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = run([str(word) for word in words])
    return Answer(code, out.getvalue(), err.getvalue())


def succeeded(*words):
    """Run a command that has to succeed."""
    answer = isthmus(*words)
    assert answer.code == 0, answer.err
    return answer


def refused(code, *words):
    """Run a command that has to fail in words: what, and no traceback."""
    answer = isthmus(*words)
    assert answer.code == code, answer
    assert answer.err.count("Error: ") == 1
    assert "Traceback" not in answer.err
    assert "internal error" not in answer.err
    assert answer.out == ""
    return answer.err


def environment(**more):
    """Environment variables of a program that is to behave like this process."""
    return os.environ | {"OMP_NUM_THREADS": "1", "ISTHMUS_OFFLINE": "1"} | more


def program(*words, code=None):
    """Start the command line as a program of its own, or other code with its words."""
    start = ["-m", "isthmus"] if code is None else ["-c", code]
    command = [sys.executable, *start, *map(str, words)]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, text=True, stdout=pipe, stderr=pipe, env=environment())


def finished(process, seconds=60):
    """Wait for a program; return its answer."""
    out, err = process.communicate(timeout=seconds)
    return Answer(process.returncode, out, err)


def snapshot(folder):
    """Bytes of every file under a folder, by path."""
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
