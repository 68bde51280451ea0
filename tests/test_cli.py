"""The program as a whole: help, wrong use, errors in words, and what it imports."""

import json
import re
import subprocess
import sys

import pytest

from cli_tools import environment, finished, isthmus, program, refused, succeeded
from isthmus._version import __version__
from isthmus.cli.failures import report
from isthmus.cli.program import COMMANDS
from isthmus.cli.screen import finite, number, percent
from isthmus.errors import ConfigError, DataError, MissingDataError, RunError

SUBCOMMANDS = [[name] for name in COMMANDS] + [["data", n] for n in ("list", "fetch", "describe")]


def test_help_names_every_command_and_what_it_does():
    out = succeeded("--help").out
    assert all(re.search(rf"^\W*{name} +\S", out, re.MULTILINE) for name in COMMANDS)
    assert "isthmus demo" in out
    assert succeeded().out.strip() == out.strip()


@pytest.mark.parametrize("words", SUBCOMMANDS, ids=" ".join)
def test_help_of_a_command_leads_with_two_examples(words):
    out = succeeded(*words, "--help").out
    lines = [line.strip(" │") for line in out.splitlines()]
    lines = [line for line in lines if line]
    first = lines.index("Examples:")
    assert lines[0].startswith("Usage:")
    assert first <= 2  # a long usage takes two lines
    examples = lines[first + 1 : first + 3]
    assert all(re.match(r"(\w+=\S+ )?isthmus ", line) for line in examples)
    assert examples[0] != examples[1]
    assert not lines[first + 3].startswith("isthmus ")
    if words != ["data"]:
        assert "--json" in out


def test_the_examples_of_train_name_settings_that_there_are():
    out = succeeded("train", "--help").out
    for flag in ("--latent", "--l0", "--hidden", "--channels", "--beta", "--likelihood", "--k"):
        assert re.search(rf"^│ {flag} ", out, re.MULTILINE), flag


def test_every_setting_of_every_part_is_an_option():
    import dataclasses

    from isthmus.bottlenecks import BOTTLENECKS
    from isthmus.cli.options import model_options
    from isthmus.likelihoods import LIKELIHOODS
    from isthmus.models.corruption import CORRUPTIONS
    from isthmus.networks import NETWORKS
    from isthmus.training import Training

    parts = [Training]
    for registry in (NETWORKS, BOTTLENECKS, LIKELIHOODS, CORRUPTIONS):
        parts += registry.values()
    names = {field.name for part in parts for field in dataclasses.fields(part)}
    options = [option.name for option in model_options()]
    assert set(options) == names | {"network", "likelihood", "corruption"}
    assert len(options) == len(set(options))
    assert all(option.help for option in model_options())


def test_the_version():
    assert succeeded("--version").out == f"isthmus {__version__}\n"


def test_python_dash_m_is_the_same_program_and_help_imports_nothing_heavy():
    code = (
        "import sys; from isthmus.cli.program import run; code = run(['--help']);"
        "heavy = {'torch', 'numpy', 'sklearn', 'matplotlib', 'scipy'} & set(sys.modules);"
        "sys.exit(code or (f'imported {heavy}' if heavy else 0))"
    )
    asked = [[sys.executable, "-c", code], [sys.executable, "-m", "isthmus", "--help"]]
    answers = [
        subprocess.run(words, capture_output=True, text=True, env=environment()) for words in asked
    ]
    assert [a.returncode for a in answers] == [0, 0], answers[0].stderr
    assert "Commands" in answers[1].stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["trian", "digits"], "Did you mean 'train'"),
        (["train", "digits", "--latnt", "3"], "--latent"),
        (["train", "digits", "--latent"], "requires an argument"),
        (["train", "digits", "again"], "unexpected"),
        (["compare"], "Missing argument"),
        (["encode", "run", "digits"], "Missing option"),
        (["reconstruct", "run", "digits", "--out", "x", "--n", "some"], "valid integer"),
        (["data", "fetsh"], "fetch"),
    ],
)
def test_wrong_use_is_told_with_a_hint_and_exits_with_2(words, said):
    err = refused(2, *words)
    assert said in err
    assert "--help" in err


ERRORS = [
    (ConfigError("a", fix="d"), 2, ("a", "", "", "d")),
    (DataError("a", where="b", why="c", fix="d"), 1, ("a", "b", "c", "d")),
    (RunError("a"), 1, ("a", "", "", "")),
    (MissingDataError("a", where="b"), 1, ("a", "b", "", "")),
    (PermissionError(13, "Permission denied", "/x"), 1, ("Permission denied", "/x", "", "")),
    (KeyboardInterrupt(), 130, None),
    (MemoryError(), 1, None),
    (ZeroDivisionError("by zero"), 1, None),
]


@pytest.mark.parametrize(("error", "code", "parts"), ERRORS, ids=lambda e: type(e).__name__)
def test_every_error_becomes_words_an_object_and_a_code(error, code, parts, capsys):
    assert report(error, as_json=True, debug=False) == code
    out, err = capsys.readouterr()
    said = json.loads(out)["error"]
    assert list(said) == ["what", "where", "why", "fix"]
    if parts is not None:
        assert tuple(said.values()) == parts
    assert said["what"] in err
    assert "Traceback" not in err
    assert report(error, as_json=False, debug=False) == code
    assert capsys.readouterr().out == ""


def test_an_error_that_should_not_happen_says_how_to_tell_of_it(capsys):
    assert report(ZeroDivisionError("by zero"), as_json=False, debug=False) == 1
    err = capsys.readouterr().err
    assert "ZeroDivisionError: by zero" in err
    assert "--debug" in err


def test_debug_shows_the_traceback_and_the_words(tmp_path):
    answer = isthmus("encode", tmp_path, "digits", "--out", tmp_path / "c.npy", "--debug")
    assert answer.code == 1
    assert "Traceback (most recent call last)" in answer.err
    assert "config.json" in answer.err.rsplit("Error: ", 1)[1]


def test_json_carries_an_error_too(tmp_path):
    answer = isthmus("evaluate", tmp_path, "--json")
    assert answer.code == 1
    assert answer.json["error"]["where"] == str(tmp_path)
    assert answer.json["error"]["what"] in answer.err


def test_json_after_two_dashes_is_no_option():
    answer = isthmus("evaluate", "--", "--json")
    assert answer.code == 1
    assert answer.out == ""


def test_whoever_stops_reading_gets_no_traceback():
    process = program("models", "--json")
    process.stdout.close()
    process.stdout = None
    answer = finished(process)
    assert answer.code == 1
    assert answer.err == ""


def test_numbers_for_reading():
    assert [number(v) for v in (None, float("nan"), 0, 12, 0.00012346, 1234.5)] == [
        "–", "–", "0", "12", "0.0001235", "1,234",
    ]  # fmt: skip
    assert [percent(v) for v in (None, 0.97561, 0)] == ["–", "97.56 %", "0 %"]


def test_json_numbers_are_finite_or_null():
    import numpy as np

    value = {"a": np.float32(1.5), "b": np.array([1, 2]), "c": (float("inf"), True), "d": None}
    assert finite(value) == {"a": 1.5, "b": [1, 2], "c": [None, True], "d": None}
    assert finite(np.array(np.nan)) is None


# ---------------------------------------------------------------- models


def test_models_lists_presets_and_shows_one():
    from isthmus.models import PRESETS

    out = succeeded("models").out
    assert all(preset.name in out for preset in PRESETS)
    found = succeeded("models", "--json").json["models"]
    assert [m["name"] for m in found] == [preset.name for preset in PRESETS]
    shown = succeeded("models", "sparse-kl").out
    assert "--target" in shown
    assert "Mean activation of each latent" in shown
    only = succeeded("models", "topk", "--json").json["models"]
    assert len(only) == 1
    assert only[0]["bottleneck"]["k"] == 8


def test_an_unknown_preset_comes_with_a_suggestion():
    assert "did you mean 'sparse-kl'?" in refused(2, "models", "sparse-k")
    assert "did you mean 'dense'?" in refused(2, "train", "digits", "--model", "dnse")
