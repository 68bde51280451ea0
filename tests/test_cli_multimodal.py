"""The commands of several modalities on data that every machine has: what they print and write."""

import functools
import json
import re
import signal

import numpy as np
import pytest
from PIL import Image

import isthmus as im
from cli_multimodal_toys import (
    BARE,
    BRISK,
    DIGITS,
    MEASURED,
    clip,
    picture,
    table,
    trio,
    wav_facts,
)
from cli_tools import finished, isthmus, program, refused, snapshot, succeeded
from isthmus.data.multimodal import digits_words


@pytest.fixture(scope="module", autouse=True)
def sounds_made_once():
    """The made-up sounds take a second, and most commands load them."""
    original = digits_words._tones
    digits_words._tones = functools.cache(original)
    yield
    digits_words._tones = original


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    return trio(tmp_path_factory.getbasetemp())


@pytest.fixture(scope="module")
def run(trained):
    return trained[0]


@pytest.fixture(scope="module")
def opened(run):
    return im.open(run)


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """A run of pictures and words, barely trained."""
    folder = tmp_path_factory.mktemp("multimodal") / "pair"
    only = ("--only", "image,text")
    succeeded("train", "digits-words", "--model", "aligned", *only, *BARE, "--out", folder)
    return folder


# ---------------------------------------------------------------- train


def test_train_prints_one_object_with_what_was_promised(trained):
    folder, answer = trained
    found = answer.json
    assert {"run", "model", "metrics", "seconds", "samples_per_second"} <= set(found)
    assert (found["run"], found["model"]) == (str(folder), "aligned")
    assert found["samples_per_second"] == pytest.approx(3 * 3000 / found["seconds"], rel=0.2)
    retrieval = found["metrics"]["retrieval"]
    assert set(retrieval) == {
        f"{a}->{b}"
        for a in ("image", "audio", "text")
        for b in ("image", "audio", "text")
        if a != b
    }
    for row in retrieval.values():
        assert {"map", "p@1", "chance", "oracle"} <= set(row)
        assert row["map"] > 1.5 * row["chance"]
    assert {"coherence", "joint", "probes", "leakage", "judges"} <= set(found["metrics"])
    # messages and progress went elsewhere
    assert re.search(r"^epoch 3/3 .*loss", answer.err, re.MULTILINE)
    assert json.loads((folder / "metrics.json").read_text()) == found["metrics"]


def test_the_folder_holds_a_page_with_sounds(run):
    page = (run / "page.html").read_text()
    assert page.count("data:audio/wav;base64,") > 10
    assert {p.name for p in run.iterdir()} >= {"config.json", "model.safetensors", "history.csv"}
    assert len(list((run / "figures").glob("*.png"))) >= 4


def test_a_dry_run_writes_nothing_and_counts_steps(tmp_path):
    words = ("train", "digits-words", "--model", "mvtcae", "--batch-size", "100", "--epochs", "2")
    found = succeeded(*words, "--dry-run", "--out", tmp_path / "run", "--json").json
    assert found["plan"]["steps"] == 60
    assert found["plan"]["modalities"] == ["image", "audio", "text"]
    assert not (tmp_path / "run").exists()
    said = succeeded(*words, "--dry-run", "--out", tmp_path / "run").out
    assert "nothing was trained" in said


def test_settings_reach_objective_modalities_training_mixture_and_data(pair):
    config = json.loads((pair / "config.json").read_text())
    assert [m["name"] for m in config["model"]["modalities"]] == ["image", "text"]
    folder = pair.parent / "settings"
    succeeded(
        *("train", "digits-words", "--model", "aligned", *BARE, "--out", folder),
        *("--only", "text,image", "--text", "templates", "--shared", "6", "--private", "3"),
        *("--temperature", "0.2", "--no-augment", "--minutes", "5", "--per-class", "2"),
        *("--image", "rotation=4,shift=0.01", "--missing", "0.4", "--seed", "7"),
    )
    config = json.loads((folder / "config.json").read_text())
    objective, training = config["model"]["objective"], config["training"]
    assert (objective["shared"], objective["temperature"]) == (6, 0.2)
    assert [m["private"] for m in config["model"]["modalities"]] == [3, 3]
    assert [m["name"] for m in config["model"]["modalities"]] == ["text", "image"]
    assert (training["augment"], training["minutes"], training["seed"]) == (False, 5.0, 7)
    assert (training["image"]["rotation"], training["image"]["shift"]) == (4.0, 0.01)
    assert training["image"]["scale"] == 0.1
    assert config["mixture"]["per_class"] == 2
    assert config["data"]["options"] == {
        "only": ["text", "image"],
        "text": "templates",
        "missing": 0.4,
    }
    # rows whose items were taken away, found again when the run is opened
    hits = succeeded(
        *("retrieve", folder, "--from", "text", "the digit seven", "--to", "image"),
        *("--top", "2", "--json"),
    ).json["hits"]
    assert len(hits) == 2


def test_few_pairs_are_kept_and_others_stand_alone(tmp_path):
    words = ("train", "digits-words", "--model", "poe", "--only", "image,text", *BARE)
    answer = succeeded(*words, "--pairs-per-class", "2", "--out", tmp_path / "few")
    assert "2 pairs of each class" in answer.err
    assert "has collapsed" in answer.out  # after 30 steps: the alarm is among the notes
    found = succeeded("retrieve", tmp_path / "few", "--from", "text", "two", "--to", "image")
    assert "image" in found.out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--hidden", "32"], "no setting 'hidden'"),
        (["--resize", "16"], "no option 'resize'"),
        (["--fold", "seen"], "no option 'fold'"),
        (["--preprocess", "unit"], "--preprocess is for a single modality"),
        (["--nll-rows", "5"], "--nll-rows means nothing"),
        (["--missing", "1.5"], "--missing can't be 1.5"),
        (["--missing", "half"], "missing can't be 'half'"),
        (["--only", "image,smell"], "no modality called 'smell'"),
        (["--sound", "shift"], "--sound can't be read at 'shift'"),
        (["--sound", "pitch=3"], "no setting 'pitch'"),
        (["--queries", "1"], "at least 2"),
        (["--private", "few"], "--private can't be 'few'"),
        (["--judge-steps", "0"], "judges need steps"),
        (["--binarise", "static"], "not binarised"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_settings_that_mean_nothing_are_refused_before_a_folder_is_made(words, said, tmp_path):
    code = 2
    start = ("train", "digits-words", "--model", "aligned", *BRISK)
    assert said in refused(code, *start, *words, "--out", tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_what_only_several_modalities_have_is_refused_with_one(tmp_path):
    start = ("train", "digits", "--out", tmp_path / "run")
    for words in (["--missing", "0.5"], ["--shared", "8"], ["--queries", "9"], ["--no-measure"]):
        err = refused(2, *start, *words)
        assert f"{words[0]} is for models of several modalities" in err
    assert "no set of several modalities" in refused(1, *start, "--model", "aligned")
    near = refused(2, *start, "--model", "alined")
    assert "did you mean 'aligned'?" in near


def test_ctrl_c_keeps_a_checkpoint_and_resume_goes_on_from_the_folder_alone(tmp_path):
    run, whole = tmp_path / "run", tmp_path / "whole"
    words = ("--only", "image,text", *BARE, "--epochs", "3", "--missing", "0.2", "--shared", "9")
    start = ("train", "digits-words", "--model", "aligned", *words)
    code = (
        "import sys, time; from isthmus.training.multimodal.loop import torch; "
        "from isthmus.cli.program import run; clip = torch.Tensor.backward\n"
        "def slow(self, *a, **k): time.sleep(0.01); return clip(self, *a, **k)\n"
        "torch.Tensor.backward = slow\n"
        "sys.exit(run(sys.argv[1:]))"
    )
    process = program(*start, "--out", run, code=code)
    for line in process.stderr:
        if line.startswith("epoch 1/"):
            break
    process.send_signal(signal.SIGINT)
    answer = finished(process)
    assert answer.code == 130, answer
    assert f"isthmus train --resume --out {run}" in answer.err
    assert "has not ended" in refused(1, "retrieve", run, "--to", "image")
    other = refused(2, "train", "--resume", "--out", run, "--model", "poe")
    assert "it was aligned" in other
    done = succeeded("train", "--resume", "--out", run, "--no-figures", "--no-measure", "--json")
    assert "epoch 1/3" not in done.err
    quiet = finished(program(*start, "--quiet", "--out", whole))
    assert (quiet.code, quiet.err) == (0, "")
    assert (run / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()


# ---------------------------------------------------------------- retrieve


def test_retrieve_gives_rank_similarity_item_and_class(run, opened, tmp_path):
    file = picture(tmp_path / "7.png", 7)
    out = succeeded("retrieve", run, "--from", "image", file, "--to", "audio", "--top", 3).out
    lines = out.splitlines()
    assert lines[0].split() == ["rank", "similarity", "item", "class"]
    assert [line.split()[0] for line in lines[2:]] == ["1", "2", "3"]
    found = succeeded(
        *("retrieve", run, "--from", "image", file, "--to", "audio", "--top", "3", "--json")
    ).json
    assert found["from"] == {"image": str(file)}
    hits = found["hits"]
    assert [hit["rank"] for hit in hits] == [1, 2, 3]
    wanted = opened.retrieve("image", np.asarray(Image.open(file)), "audio", 3)
    assert [hit["name"] for hit in hits] == [hit.name for hit in wanted]
    assert [hit["score"] for hit in hits] == pytest.approx([hit.score for hit in wanted])
    assert hits[0]["name"] in lines[2]
    assert opened.data["audio"].names[hits[0]["item"]] == hits[0]["name"]


def test_a_word_finds_sounds_of_its_class_in_every_split(run, opened):
    for split, number in (("train", 0), ("validation", 1), ("test", 2)):
        hits = succeeded(
            *("retrieve", run, "--from", "text", "three", "--to", "audio"),
            *("--gallery", split, "--json"),
        ).json["hits"]
        assert {int(opened.data["audio"].split[hit["item"]]) for hit in hits} == {number}
        assert [hit["class"] for hit in hits].count("three") >= 4
    everywhere = succeeded(
        *("retrieve", run, "--from", "text", "three", "--to", "audio", "--gallery", "all"),
        *("--top", "2000", "--json"),
    ).json["hits"]
    assert len(everywhere) == len(opened.data["audio"])


def test_the_gallery_may_be_a_folder_of_files(run, tmp_path):
    for digit in range(4):
        clip(tmp_path / f"sound-{digit}.wav", digit)
    (tmp_path / "notes.md").write_text("not a sound")
    hits = succeeded(
        *("retrieve", run, "--from", "text", "two", "--to", "audio"),
        *("--gallery", tmp_path, "--json"),
    ).json["hits"]
    assert len(hits) == 4
    assert hits[0]["name"] == str(tmp_path / "sound-2.wav")
    (tmp_path / "empty").mkdir()
    err = refused(
        1,
        "retrieve",
        run,
        "--from",
        "text",
        "two",
        "--to",
        "audio",
        "--gallery",
        tmp_path / "empty",
    )
    assert "holds no items of 'audio'" in err
    err = refused(1, "retrieve", run, "--from", "text", "two", "--to", "audio", "--gallery", "tset")
    assert "no such gallery" in err


def test_two_items_are_joined_and_items_of_the_data_go_by_number_or_name(run, opened):
    number = int(opened.data["audio"].rows("test")[0])
    name = opened.data["audio"].names[number]
    by = [
        succeeded("retrieve", run, "--from", "audio", item, "--to", "image", "--json").json["hits"]
        for item in (number, name)
    ]
    assert by[0] == by[1]
    both = succeeded(
        *("retrieve", run, "--from", "audio", name, "--and", "text", "four"),
        *("--to", "image", "--json"),
    ).json
    assert both["from"] == {"audio": name, "text": "four"}
    assert both["hits"] != by[0]
    err = refused(1, "retrieve", run, "--from", "audio", "5000", "--to", "image")
    assert "there is no item 5000 of 'audio'" in err


# ---------------------------------------------------------------- translate


def test_a_word_becomes_a_picture_and_the_picture_the_word(run, tmp_path):
    right = 0
    for word in DIGITS[:5]:
        file = tmp_path / f"{word}.png"
        answer = succeeded("translate", run, "--from", "text", word, "--to", "image", "--out", file)
        assert f"wrote   {file}" in answer.out
        assert re.search(rf"class +{word} \d", answer.out)
        assert "unsure" in answer.out
        with Image.open(file) as image:
            assert (image.format, image.size, image.mode) == ("PNG", (8, 8), "L")
            assert np.ptp(np.asarray(image)) > 60
        back = succeeded("translate", run, "--from", "image", file, "--to", "text")
        right += back.out == word + "\n"
        assert "class" in back.err  # the text alone is on standard output
    assert right >= 4, right


def test_a_picture_is_spoken_and_draws_lie_beside(run, tmp_path):
    file = picture(tmp_path / "7.png", 7)
    out = tmp_path / "7.wav"
    found = succeeded(
        *("translate", run, "--from", "image", file, "--to", "audio", "--out", out),
        *("--sample", "2", "--json"),
    ).json
    assert found["files"] == [str(out), str(tmp_path / "7-1.wav"), str(tmp_path / "7-2.wav")]
    for path in found["files"]:
        assert wav_facts(path) == (1, 2, 8000, 2048)
    assert (tmp_path / "7-1.wav").read_bytes() != (tmp_path / "7-2.wav").read_bytes()
    assert sum(found["classes"].values()) == pytest.approx(1)
    assert found["entropy"] >= 0
    assert found["deviation"] > 0
    again = succeeded(
        *("translate", run, "--from", "image", file, "--to", "audio", "--out", tmp_path / "b.wav")
    )
    assert (tmp_path / "b.wav").read_bytes() == out.read_bytes()
    assert "b.wav" in again.out


def test_a_reference_voice_changes_the_sound(run, tmp_path):
    low, high = (clip(tmp_path / f"{voice}.wav", 4, voice) for voice in (0, 3))
    made = []
    for number, style in enumerate((None, low, high)):
        out = tmp_path / f"out-{number}.wav"
        words = () if style is None else ("--style", style)
        succeeded("translate", run, "--from", "text", "six", "--to", "audio", *words, "--out", out)
        made.append(out.read_bytes())
    assert len(set(made)) == 3
    # words have no style of their own in this model
    file = picture(tmp_path / "2.png", 2)
    err = refused(2, "translate", run, "--from", "image", file, "--to", "text", "--style", "two")
    assert "keeps no style of 'text'" in err


def test_a_text_is_printed_or_written_and_other_files_by_their_ending(run, tmp_path):
    file = clip(tmp_path / "1.wav", 1)
    out = tmp_path / "1.txt"
    found = succeeded(
        *("translate", run, "--from", "audio", file, "--to", "text", "--out", out, "--json")
    ).json
    assert out.read_text() == found["text"] + "\n"
    to_image = ("translate", run, "--from", "audio", file, "--to", "image")
    assert "add --out NAME.png" in refused(2, *to_image)
    assert "end its name in .png" in refused(2, *to_image, "--out", tmp_path / "1.wav2")
    assert "could not be written" in refused(1, *to_image, "--out", tmp_path / "no" / "1.png")
    same = refused(2, "translate", run, "--from", "audio", file, "--to", "audio", "--out", file)
    assert "'audio' is given and wanted" in same


# ---------------------------------------------------------------- encode, evaluate


def test_encode_writes_shared_and_private_codes_of_items_and_rows(run, opened, tmp_path):
    out = tmp_path / "codes.npz"
    shapes = succeeded("encode", run, "digits-words", "--out", out, "--json").json["arrays"]
    with np.load(out, allow_pickle=False) as stored:
        codes = {name: stored[name] for name in stored.files}
    assert {name: list(values.shape) for name, values in codes.items()} == shapes
    data = opened.data
    for name, modality in data.modalities.items():
        wanted = opened.model.encode({name: modality.items})
        np.testing.assert_allclose(codes[f"{name}/shared"], wanted.shared.numpy(), atol=1e-5)
        np.testing.assert_array_equal(codes[f"{name}/label"], modality.labels)
        np.testing.assert_array_equal(codes[f"{name}/split"], modality.split)
        np.testing.assert_array_equal(codes[f"{name}/item"], np.arange(len(modality)))
    private = opened.model.encode({"audio": data["audio"].items}).private["audio"].numpy()
    np.testing.assert_allclose(codes["audio/private"], private, atol=1e-5)
    assert "text/private" not in codes
    tables = np.concatenate([data.pairs["validation"], data.pairs["test"]])
    np.testing.assert_array_equal(codes["row/items"], tables)
    batch = data.batch(tables[:7])
    joint = opened.model.encode(batch.items, batch.mask).shared.numpy()
    np.testing.assert_allclose(codes["row/shared"][:7], joint, atol=1e-5)
    assert codes["row/split"].tolist() == [1] * 300 + [2] * 300


def test_encode_of_one_split_as_safetensors_and_what_it_refuses(run, tmp_path):
    from safetensors.numpy import load_file

    out = tmp_path / "codes.safetensors"
    succeeded("encode", run, "digits-words", "--split", "test", "--out", out)
    codes = load_file(out)
    assert set(codes["image/split"]) == {2}
    assert len(codes["row/shared"]) == 300
    start = ("encode", run, "digits-words", "--out")
    assert "several arrays" in refused(2, *start, tmp_path / "codes.npy")
    assert "no options but --split" in refused(2, *start, out, "--k", "3")
    assert "no split 'tset'" in refused(2, *start, out, "--split", "tset")


def test_a_table_of_files_is_seen_through_the_adapters_of_the_run(run, opened, tmp_path):
    clips = [clip(tmp_path / f"{digit}.wav", digit) for digit in range(3)]
    pairs = table(tmp_path / "own.csv", ["audio", "take"], [[p.name, "a"] for p in clips])
    out = tmp_path / "codes.npz"
    succeeded("encode", run, pairs, "--out", out)
    wanted = opened.encode({"audio": [opened.adapter("audio").read(path) for path in clips]})
    with np.load(out, allow_pickle=False) as codes:
        np.testing.assert_allclose(codes["audio/shared"], wanted.shared.numpy(), atol=1e-5)
        assert "row/shared" not in codes  # one modality: a row is its item
    odd = table(tmp_path / "odd.csv", ["smell"], [["rose"]])
    assert "no column of a modality of the run" in refused(1, "encode", run, odd, "--out", out)


def test_evaluate_measures_the_same_again(trained):
    folder, answer = trained
    before = snapshot(folder)
    found = succeeded("evaluate", folder, *MEASURED, "--json")
    assert found.json["run"] == str(folder)
    again, first = found.json["metrics"], answer.json["metrics"]
    assert again["retrieval"]["image->audio"] == first["retrieval"]["image->audio"]
    assert again["coherence"]["text->image"] == first["coherence"]["text->image"]
    assert "translations" in found.err  # what is measured next is said on standard error
    assert snapshot(folder) == before
    shown = succeeded("evaluate", folder, *MEASURED, "--no-baselines", "--quiet").out
    for words in ("image->audio", "chance", "judge", "without text", "mismatch", "round trip"):
        assert words in shown
    assert "oracle" not in shown
    for words in (["--k", "3"], ["--nll-samples", "3"]):
        assert "means nothing for a run of several" in refused(2, "evaluate", folder, *words)


# ---------------------------------------------------------------- add-modality


def test_a_modality_is_added_and_the_old_run_and_its_codes_stay(pair, tmp_path):
    import torch

    before, wider = snapshot(pair), tmp_path / "wider"
    found = succeeded(
        *("add-modality", pair, "--name", "audio", "--data", "digits-words", *BRISK),
        *("--epochs", "1", "--no-measure", "--out", wider, "--json"),
    ).json
    assert (found["added"], found["run"]) == ("audio", str(wider))
    assert found["modalities"] == ["image", "text", "audio"]
    assert snapshot(pair) == before
    old, new = im.open(pair), im.open(wider)
    items = {"image": old.data["image"].items[:5]}
    assert torch.equal(old.model.encode(items).shared, new.model.encode(items).shared)
    out = tmp_path / "two.wav"
    succeeded("translate", wider, "--from", "text", "two", "--to", "audio", "--out", out)
    assert wav_facts(out)[2] == 8000
    start = ("add-modality", pair, "--data", "digits-words", "--out")
    taken = refused(1, *start, wider, "--name", "audio")
    assert "not empty" in taken
    assert "already" in refused(2, *start, tmp_path / "x", "--name", "image")
    assert "no modality called 'smell'" in refused(2, *start, tmp_path / "x", "--name", "smell")
    assert "can't be resumed" in refused(1, "train", "--resume", "--out", wider)
    assert not (tmp_path / "x").exists()


# ---------------------------------------------------------------- other commands


def test_commands_for_one_modality_refuse_several_in_a_sentence(run, tmp_path):
    out = tmp_path / "out"
    for words in (
        ["reconstruct", run, "digits", "--out", out],
        ["export", run, "--to", "saelens", "--out", out],
    ):
        err = refused(2, *words)
        assert "this is a run of several modalities" in err
        assert "evaluate, retrieve, translate" in err
    assert "no sparse dictionary" in refused(1, "concepts", "list", run)
    assert not out.exists()


def test_commands_for_several_modalities_refuse_one(tmp_path):
    one = tmp_path / "one"
    succeeded("train", "digits", *BRISK, "--epochs", "1", "--hidden", "8", "--out", one)
    for words in (
        ["retrieve", one, "--from", "text", "two", "--to", "image"],
        ["translate", one, "--from", "text", "two", "--to", "image", "--out", "x.png"],
        ["add-modality", one, "--name", "a", "--data", "digits-words", "--out", tmp_path / "x"],
    ):
        assert "this run has a single modality" in refused(2, *words)
    assert "is for runs of several" in refused(2, "evaluate", one, "--queries", "20")
    assert "no run's folder" in refused(1, "retrieve", tmp_path, "--from", "a", "b", "--to", "c")


def test_data_of_several_modalities_are_described(tmp_path):
    found = succeeded("data", "describe", "digits-words", "--json").json
    assert found["kind"] == "modalities"
    assert found["modalities"]["audio"]["shape"] == [1, 20, 16]
    assert found["modalities"]["audio"]["splits"]["test"] == 160
    assert found["pairs"]["test"] == {"rows": 300, "whole": 300, "missing": 0.0}
    assert found["digest"] == im.multimodal("digits-words").digest
    said = succeeded("data", "describe", "digits-words", "--only", "image,text").out
    assert "2 modalities" in said
    assert "audio" not in said.splitlines()[2]
    rows = [["", "one"], ["1.png", "one"], ["2.png", ""], ["1.png", "one"]]
    for digit in (1, 2):
        picture(tmp_path / f"{digit}.png", digit)
    own = table(tmp_path / "own.csv", ["image", "text"], rows)
    said = succeeded("data", "describe", own, "--validation", "0", "--test", "0").out
    assert re.search(r"train +4 rows, 2 whole, 25% of items missing", said)
    assert "is for data of several" in refused(2, "data", "describe", "digits", "--missing", "0.1")


def test_models_lists_and_shows_the_presets_of_several_modalities():
    found = succeeded("models", "--json").json["multimodal"]
    assert [p["name"] for p in found] == [p.name for p in im.MULTIMODAL_PRESETS]
    assert all(re.search(rf"^ *{p['name']} ", succeeded("models").out, re.M) for p in found)
    shown = succeeded("models", "mmvae-plus").out
    assert re.search(r"--schedule +constant", shown)
    assert re.search(r"--beta +2.5", shown)
    assert "likelihood laplace of scale 0.75, private 32" in shown.lower()
    assert succeeded("models", "topk", "--json").json["multimodal"] == []


def test_every_setting_of_several_modalities_is_an_option_with_help():
    import dataclasses

    from isthmus.cli.multimodal_options import several_training
    from isthmus.models.multimodal import MixtureFit
    from isthmus.training.multimodal import MultimodalTraining

    parts = [type(p.objective) for p in im.MULTIMODAL_PRESETS] + [MultimodalTraining, MixtureFit]
    names = {field.name for part in parts for field in dataclasses.fields(part)}
    options = {option.name: option for option in several_training()}
    usual = {field.name for field in dataclasses.fields(im.Training)}
    assert set(options) == (names - usual) | {"private", "weight"}
    assert all(option.help for option in options.values())
    out = succeeded("train", "--help").out
    for flag in ("--shared", "--minutes", "--fold", "--missing", "--pairs-per-class", "--queries"):
        assert re.search(rf"^│ {flag} ", out, re.MULTILINE), flag


# ---------------------------------------------------------------- Python


def test_python_has_the_same_names_and_train_finds_the_family():
    data = im.multimodal("digits-words", sounds=False)
    settings = {"epochs": 1, "batch_size": 500, "threads": 1, "measure": False}
    for run in (
        im.train("aligned", data, **settings),
        im.train("poe", "digits-words", load_options={"sounds": False}, **settings),
        im.train_multimodal("aligned", data, **settings),
    ):
        assert isinstance(run, im.MultimodalRun)
        assert isinstance(run.mixture, im.JointMixture)
        assert run.model.names == ("image", "text")
    parts = [im.Modality("image", (1, 8, 8), im.MLP((8,)))]
    alone = im.train(im.MultimodalAutoencoder(parts), data, **settings)
    assert (alone.model.names, alone.mixture) == (("image",), None)
    with pytest.raises(im.IsthmusError, match="no preset 'dense'"):
        im.train("dense", data, **settings)


def test_wrong_use_exits_with_2(run):
    for words in (
        ["retrieve", run, "--from", "image"],
        ["retrieve", run, "--from", "text", "two"],
        ["translate", run, "--from", "text", "two", "--to", "image", "--sample", "-1"],
        ["retrieve", run, "--from", "text", "two", "--to", "image", "--top", "0"],
        ["retrieve", run, "--from", "text", "one", "--and", "text", "two", "--to", "image"],
    ):
        refused(2, *words)
    assert isthmus("retrieve", run, "--to", "image", "--json").json["error"]["what"] == (
        "no item is given"
    )
