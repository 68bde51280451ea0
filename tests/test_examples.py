"""The programs in examples/ run, say what they should, and leave their figures."""

import re
import sys
from importlib import import_module
from pathlib import Path

import pytest
from PIL import Image

EXAMPLES = Path(__file__).parents[1] / "examples"
EXPECTED = {
    "basic_autoencoder": {
        "losses", "experiments", "reconstructions-128-32", "reconstructions-128-2",
    },
    "sparse_training": {"reconstruction-losses", "codes", "kl-losses"},
    "autoencoder_module": {
        "1-loss", "2-reconstructions", "3-latent-space", "4-sparse-loss", "5-sparsity",
        "6-prior-samples", "6-interpolations", "6-traversals", "6-kl-per-latent", "7-all-models",
    },
}  # fmt: skip

OTHERS = ("common", "concept_search", "shared_space")


@pytest.fixture
def program(monkeypatch):
    """Import a program the way that running it as a script would."""
    monkeypatch.syspath_prepend(str(EXAMPLES))
    for name in (*OTHERS, *EXPECTED):
        monkeypatch.delitem(sys.modules, name, raising=False)
    yield import_module
    for name in (*OTHERS, *EXPECTED):
        sys.modules.pop(name, None)


def test_every_program_is_tested():
    assert {p.stem for p in EXAMPLES.glob("*.py")} == {*OTHERS, *EXPECTED}


def test_texts_become_concepts_hits_and_quotations(program, tmp_path, capsys):
    program("concept_search").main(["--quick", "--out", str(tmp_path / "texts.index")])
    said = capsys.readouterr()
    assert "lexical: hashed n-grams and SVD, no language model" in said.out
    assert len(re.findall(r"because of", said.out)) == 3
    assert "Quoted from your corpus, not generated" in said.out
    assert ">>" in said.out
    assert (tmp_path / "texts.index" / "index.json").is_file()


def test_pictures_sounds_and_words_meet_in_one_space(program, tmp_path, capsys):
    program("shared_space").main(["--quick", "--epochs", "2", "--out", str(tmp_path / "out")])
    said = capsys.readouterr().out
    assert len(re.findall(r"^0\.\d{3}  \d_voice\d_\d+ ", said, re.MULTILINE)) == 3
    assert "the sound of the picture: " in said
    with Image.open(tmp_path / "out" / "seven.png") as image:
        assert image.size == (8, 8)
    assert (tmp_path / "out" / "seven.wav").read_bytes()[:4] == b"RIFF"
    right, wrong = (float(x) for x in re.findall(r"([-+][\d.]+) nats", said))
    assert right > wrong


@pytest.mark.parametrize("name", EXPECTED)
def test_a_program_runs_and_leaves_its_figures(name, program, tmp_path, capsys):
    program(name).main(["--quick", "--epochs", "1", "--out", str(tmp_path / "figures")])
    written = list((tmp_path / "figures").iterdir())
    assert {p.stem for p in written if p.suffix == ".png"} == EXPECTED[name]
    assert {p.stem for p in written if p.suffix == ".csv"} == EXPECTED[name]
    for path in written:
        if path.suffix == ".png":
            with Image.open(path) as image:
                image.verify()
    said = capsys.readouterr()
    assert "figures in" in said.out
    assert said.err == ""
    assert len(said.out.splitlines()) < 30


def test_the_loss_on_random_vectors_falls_in_every_epoch(program, tmp_path, capsys):
    program("basic_autoencoder").main(["--quick", "--epochs", "1", "--out", str(tmp_path)])
    losses = [float(x) for x in re.findall(r"epoch +\d+ +loss ([\d.]+)", capsys.readouterr().out)]
    assert len(losses) == 10
    assert losses == sorted(losses, reverse=True)


def test_the_charge_without_a_target_misses_it_and_the_kl_charge_comes_near(
    program, tmp_path, capsys
):
    program("sparse_training").main(["--quick", "--epochs", "60", "--out", str(tmp_path)])
    rows = re.findall(
        r"^(L1 \S+|KL) +([\d.e+-]+) = ([\d.e+-]+) \+ ([\d.e+-]+) +([\d.]+)$",
        capsys.readouterr().out,
        flags=re.MULTILINE,
    )
    found = {name: [float(value) for value in values] for name, *values in rows}
    assert list(found) == ["L1 0.0001", "L1 0.001", "L1 0.1", "L1 1", "KL"]
    for loss, distortion, penalty, _ in found.values():
        assert loss == pytest.approx(distortion + penalty, rel=0.06, abs=1e-4)
    means = {name: values[3] for name, values in found.items()}
    # a weak charge does nothing, a strong one kills the code and the reconstruction with it
    assert means["L1 0.0001"] > 0.4
    assert means["L1 1"] < 0.005
    assert found["L1 1"][1] > 2 * found["KL"][1]
    assert min(means, key=lambda name: abs(means[name] - 0.05)) == "KL"


def test_without_mnist_the_digits_stand_in_and_it_says_so(program, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("ISTHMUS_OFFLINE", "1")
    monkeypatch.setenv("ISTHMUS_DATA", str(tmp_path / "none"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    common = program("common")
    asked = common.choices("about", ["--out", str(tmp_path)])
    assert asked.data.name == "digits"
    assert asked.epochs == 100
    said = capsys.readouterr()
    assert "mnist is not here" in said.err
    assert "Going on with 'digits'" in said.err
    assert said.out == ""
    with pytest.raises(SystemExit, match="fashion-mnist is not here"):
        common.choices("about", ["--data", "fashion-mnist"])
