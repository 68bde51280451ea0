"""Runs of several modalities: raw items in and out, the folder, the page, what goes wrong."""

import json
import re
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from isthmus.data.audio.clip import Audio
from isthmus.data.multimodal import open_multimodal
from isthmus.errors import ConfigError, DataError, MissingDataError, RunError
from isthmus.figures.report import ReportSound, Section, html_report
from isthmus.models.multimodal import Modality
from isthmus.networks import MLP
from isthmus.runs.compare import compare
from isthmus.runs.multimodal import (
    JudgeSettings,
    MultimodalEvaluation,
    MultimodalReport,
    MultimodalRun,
    RetrievedItem,
    train_multimodal,
)
from isthmus.runs.multimodal import judges as judges_module
from isthmus.runs.run import open_run
from isthmus.training.stopping import Stopped
from multimodal_toys import toy

SMALL = MultimodalEvaluation(
    queries=20, samples=2, train_rows=100, joint=20, round_trip=6, rates=(0.0, 0.5)
)
QUICK = {"evaluation": SMALL, "judges": JudgeSettings(steps=5, batch=16, seeds=(0,))}
TINY = {"modalities": {"a": {"network": MLP((8,))}, "b": {"network": MLP((8,))}}}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """The folder of a run of pictures, sounds and words, hardly trained."""
    folder = tmp_path_factory.mktemp("runs") / "trio"
    data = replace(open_multimodal("digits-words"), epoch_rows=300)
    train_multimodal("aligned", data, out=folder, epochs=1, batch_size=50, threads=1, **QUICK)
    return folder


@pytest.fixture(scope="module")
def run(place):
    opened = open_run(place)
    opened.use_data(open_multimodal("digits-words"))
    return opened


def toy_run(**options):
    data = toy((90, 60), text=options.pop("text", False))
    settings = {"epochs": 1, "batch_size": 16, "threads": 1, "measure": False} | TINY | options
    return train_multimodal("aligned", data, **settings)


# --- raw items ------------------------------------------------------------------------------


def test_a_single_modality_is_enough_at_prediction(run):
    codes = run.encode({"text": "seven"})
    assert codes.shared.shape == (1, run.model.shared)
    assert codes.weight["text"].item() == 1
    both = run.encode({"text": ["one", "two"], "image": [run.item("image", 0)] * 2})
    assert both.shared.shape == (2, run.model.shared)


def test_retrieval_gives_the_nearest_items_best_first(run):
    found = run.retrieve("text", "seven", "image", 4)
    assert all(isinstance(hit, RetrievedItem) for hit in found)
    scores = [hit.score for hit in found]
    assert scores == sorted(scores, reverse=True)
    split = run.data["image"].split
    assert all(split[hit.number] == 2 for hit in found)
    # by hand: cosines of all test images
    rows = run.data["image"].rows("test")
    code = run.encode({"text": "seven"}).shared
    others = run.model.encode({"image": run.data["image"].items[torch.from_numpy(rows)]}).shared
    cosine = torch.nn.functional.cosine_similarity(code, others)
    assert found[0].number == rows[int(cosine.argmax())]
    assert found[0].score == pytest.approx(float(cosine.max()), abs=1e-5)
    assert json.dumps(found[0].as_json())
    everywhere = run.retrieve("text", "seven", "image", 2000, split=None)
    assert len(everywhere) == len(run.data["image"])


@pytest.mark.parametrize(("to", "kind"), [("image", np.ndarray), ("audio", Audio), ("text", str)])
def test_translations_are_raw_items_with_their_uncertainty(run, to, kind):
    given = "audio" if to != "audio" else "image"
    found = run.translate(given, run.item(given, 3), to, samples=2)
    assert isinstance(found.item, kind)
    assert len(found.drawn) == 2
    assert sum(found.classes.values()) == pytest.approx(1)
    assert set(found.classes) == set(run.classes)
    assert found.entropy >= 0
    assert found.deviation > 0
    assert json.dumps(found.as_json())


def test_a_translation_is_the_same_twice_and_draws_differ(run):
    item = run.item("image", 3)
    one, two = (run.translate("image", item, "audio", samples=2, seed=1) for _ in range(2))
    assert np.array_equal(one.item.samples, two.item.samples)
    assert not np.array_equal(one.drawn[0].samples, one.drawn[1].samples)


def test_a_reference_changes_the_style(run):
    plain = run.translate("text", "two", "audio").item.samples
    styled = run.translate("text", "two", "audio", style=run.item("audio", 8)).item.samples
    assert not np.array_equal(plain, styled)


def test_what_is_missing_is_filled_in(run):
    row = run.complete({"text": "three"})
    assert row["text"] == "three"
    assert row["image"].shape == (8, 8)
    assert isinstance(row["audio"], Audio)
    whole = {"text": "three", "image": row["image"], "audio": row["audio"]}
    assert run.complete(whole) == whole


def test_rows_are_imagined_together(run):
    rows = run.imagine(3, seed=2)
    assert [sorted(row) for row in rows] == [["audio", "image", "text"]] * 3
    again = run.imagine(3, seed=2)
    assert all(np.array_equal(a["image"], b["image"]) for a, b in zip(rows, again, strict=True))


def test_several_modalities_are_translated_together(run):
    raw = {"image": run.item("image", 3), "text": "three"}
    assert isinstance(run.translate(raw, to="audio").item, Audio)
    scores = run.belongs(
        {"text": ["two", "two"]}, {"image": [run.item("image", i) for i in (2, 3)]}
    )
    assert len(scores) == 2


@pytest.mark.parametrize(
    ("call", "error", "said"),
    [
        (lambda r: r.encode({"smell": "x"}), ConfigError, "no modality 'smell'"),
        (lambda r: r.encode({}), ConfigError, "no modality is given"),
        (lambda r: r.encode({"text": "sév"}), DataError, "outside the alphabet"),
        (lambda r: r.encode({"image": np.zeros((9, 9))}), DataError, "another size"),
        (lambda r: r.encode({"audio": "seven.wav"}), MissingDataError, "no such sound file"),
        (
            lambda r: r.encode({"text": ["a", "b"], "image": [np.zeros((8, 8))]}),
            DataError,
            "number",
        ),
        (lambda r: r.retrieve("text", "two", "smell"), ConfigError, "add-modality"),
        (lambda r: r.retrieve("text", "two", "image", 0), ConfigError, "at least one"),
        (lambda r: r.retrieve("text", ["a", "b"], "image"), DataError, "at a time"),
        (lambda r: r.translate("text", "two", "text"), ConfigError, "given and wanted"),
        (lambda r: r.translate("text", "two", "smell"), ConfigError, "no modality 'smell'"),
        (lambda r: r.translate("text", ["a", "b"], "image"), DataError, "at a time"),
        (lambda r: r.belongs({"text": "a"}, {"text": "a"}), ConfigError, "both sides"),
    ],
)
def test_what_makes_no_sense_is_refused_clearly(run, call, error, said):
    with pytest.raises(error, match=said):
        call(run)


# --- the folder -------------------------------------------------------------------------------


def test_the_folder_holds_the_whole_run(place):
    names = {path.name for path in place.iterdir()}
    assert names >= {
        "config.json", "model.safetensors", "mixture.safetensors", "adapters.safetensors",
        "judges", "history.csv", "metrics.json", "figures", "README.md", "environment.json",
        "page.html", "checkpoints",
    }  # fmt: skip
    drawn = {path.stem for path in (place / "figures").glob("*.png")}
    assert drawn == {path.stem for path in (place / "figures").glob("*.csv")}
    assert drawn == {
        "translations", "retrieval_examples", "joint_map", "robustness", "contributions",
        "modality_losses", "losses",
    }  # fmt: skip
    metrics = json.loads((place / "metrics.json").read_text())
    assert {"map", "p@1", "chance", "oracle"} <= set(metrics["retrieval"]["image->audio"])
    assert len(metrics["retrieval"]) == 6
    assert len(metrics["coherence"]) == 9
    assert metrics["judges"]["audio"]["round_trip"] >= 0
    assert metrics["joint"]["mixture"]["rows"] == 20
    assert "mixture" in metrics["mismatch"]["image~audio"]
    card = (place / "README.md").read_text()
    assert "| image->audio |" in card
    assert "oracle" in card


def test_a_run_opens_as_it_was(place, run):
    assert isinstance(run, MultimodalRun)
    opened = open_run(place)
    assert opened.preset == "aligned"
    assert opened.training.threads == 1
    assert opened.classes[7] == "seven"
    assert isinstance(opened.report, MultimodalReport)
    assert opened.metrics == json.loads((place / "metrics.json").read_text())
    image = run.item("image", 5)
    one, two = (r.translate("image", image, "audio").item.samples for r in (opened, run))
    assert np.array_equal(one, two)
    assert "image" in repr(opened)


def test_judges_are_read_from_the_folder(run, monkeypatch):
    monkeypatch.setattr(judges_module, "train_judge", None)
    run.judge_settings = QUICK["judges"]
    assert set(run.judges().of) == {"image", "audio", "text"}


def test_measuring_again_gives_the_same_numbers(run):
    run.judge_settings = QUICK["judges"]
    again = run.evaluate(options=SMALL).as_json()
    assert list(again) == list(run.metrics)
    for direction, found in run.metrics["retrieval"].items():
        # trained weights lie in memory in another order than those that were read
        assert again["retrieval"][direction]["map"] == pytest.approx(found["map"], abs=1e-4)
    assert again["judges"]["image"]["real"] == run.metrics["judges"]["image"]["real"]


def test_data_in_memory_are_asked_for(place):
    with pytest.raises(RunError, match="in memory"):
        open_run(place).retrieve("text", "two", "image")


def test_data_are_found_again_by_name_and_checked(tmp_path):
    options = {"sounds": False}
    train_multimodal(
        "aligned", "digits-words", out=tmp_path / "run", load_options=options, epochs=1,
        batch_size=500, measure=False, figures=False, threads=1,
    )  # fmt: skip
    opened = open_run(tmp_path / "run")
    assert opened.data.names == ("image", "text")
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    config["data"]["fingerprint"] = "0" * 64
    (tmp_path / "run" / "config.json").write_text(json.dumps(config))
    with pytest.raises(RunError, match="have changed"):
        _ = open_run(tmp_path / "run").data


@pytest.mark.parametrize(
    ("file", "said"),
    [
        ("adapters.safetensors", "adapters are damaged"),
        ("mixture.safetensors", "mixture is damaged"),
        ("model.safetensors", "damaged"),
        ("metrics.json", "metrics|JSON"),
        ("config.json", "JSON|damaged"),
        ("history.csv", "history is damaged"),
    ],
)
def test_a_damaged_file_is_named_and_nothing_is_harmed(place, tmp_path, file, said):
    copy = tmp_path / "copy"
    shutil.copytree(place, copy, ignore=shutil.ignore_patterns("figures", "judges", "checkpoints"))
    content = (copy / file).read_bytes()
    (copy / file).write_bytes(b"[1" if file.endswith("json") else content[: len(content) // 3])
    with pytest.raises(RunError, match=said):
        open_run(copy)
    if file == "adapters.safetensors":
        (copy / file).unlink()
        with pytest.raises(RunError, match="adapters are missing"):
            open_run(copy)


@pytest.mark.parametrize("part", ["training", "data", "mixture", "adapters"])
def test_a_configuration_that_does_not_fit_is_refused(place, tmp_path, part):
    copy = tmp_path / "copy"
    shutil.copytree(place, copy, ignore=shutil.ignore_patterns("figures", "judges", "checkpoints"))
    config = json.loads((copy / "config.json").read_text())
    config[part] = {"image": 3} if part == "adapters" else {"kind": "x", "odd": 1}
    (copy / "config.json").write_text(json.dumps(config))
    with pytest.raises(RunError, match="damaged"):
        open_run(copy)


def test_a_folder_that_holds_something_is_left_alone(place):
    before = (place / "config.json").read_bytes()
    with pytest.raises(RunError, match="already holds a run"):
        toy_run(out=place)
    assert (place / "config.json").read_bytes() == before


def test_a_run_in_memory_can_be_saved_later(tmp_path):
    made = toy_run()
    made.save(tmp_path / "later", figures=False)
    opened = open_run(tmp_path / "later")
    rows = np.random.default_rng(0).normal(size=(3, 4))
    one, two = (r.encode({"a": list(rows)}).shared for r in (made, opened))
    assert torch.equal(one, two)
    assert opened.report is None
    assert "Not measured" in (tmp_path / "later" / "README.md").read_text()


def test_runs_of_several_modalities_are_not_compared_as_others(place):
    with pytest.raises(ConfigError, match="several modalities"):
        compare([place])


# --- interruption --------------------------------------------------------------------------------


def test_an_interrupted_training_goes_on_to_the_same_weights(tmp_path):
    whole = toy_run(out=tmp_path / "whole", epochs=3, figures=False)

    def stop(progress):
        if progress.row is not None and progress.epoch == 1:
            import signal

            signal.raise_signal(signal.SIGINT)

    with pytest.raises(Stopped):
        toy_run(out=tmp_path / "cut", epochs=3, figures=False, progress=stop)
    with pytest.raises(RunError, match="has not ended"):
        open_run(tmp_path / "cut")
    with pytest.raises(RunError, match="another training"):
        toy_run(out=tmp_path / "cut", epochs=4, figures=False, resume=True)
    resumed = toy_run(out=tmp_path / "cut", epochs=3, figures=False, resume=True)
    ours, theirs = resumed.model.state_dict(), whole.model.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    with pytest.raises(RunError, match="no run to resume"):
        toy_run(out=tmp_path / "none", resume=True)


# --- settings ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"colour": 3}, ConfigError, "no setting 'colour'"),
        ({"epochs": "many"}, ConfigError, "epochs"),
        ({"modalities": {"c": {}}}, ConfigError, "no modality called 'c'"),
        ({"modalities": {"a": {"size": 3}}}, ConfigError, "no such field"),
        ({"load_options": {"text": "word"}}, ConfigError, "no options of loading"),
    ],
)
def test_settings_are_checked(options, error, said):
    with pytest.raises(error, match=said):
        toy_run(**options)


def test_data_must_be_data():
    with pytest.raises(ConfigError, match="no data of several"):
        train_multimodal("aligned", np.zeros(3))
    with pytest.raises(MissingDataError, match="no set of several"):
        train_multimodal("aligned", "nowhere")
    model = toy_run().model
    with pytest.raises(ConfigError, match="has a modality 'b'"):
        train_multimodal(model, toy((90, 60)).only(["a"]))
    with pytest.raises(ConfigError, match="its own modalities"):
        train_multimodal(model, toy((90, 60)), **TINY)


def test_objectives_modalities_and_training_take_their_settings():
    made = toy_run(shared=5, private=3, weight=2.0, lr=1e-3)
    assert made.model.shared == 5
    assert made.training.lr == 1e-3
    assert {m.private for m in made.model.modalities.values()} == {3}
    assert {m.weight for m in made.model.modalities.values()} == {2.0}


@pytest.mark.parametrize("preset", ["mvtcae", "mmvae-plus", "poe"])
def test_every_model_is_measured_in_the_same_way(preset):
    data = toy((90, 60))
    made = train_multimodal(preset, data, epochs=1, batch_size=16, threads=1, **TINY, **QUICK)
    assert set(made.metrics["joint"]) == {"mixture", "prior"}
    assert set(made.metrics["retrieval"]) == {"a->b", "b->a"}


# --- one more modality ---------------------------------------------------------------------------


def test_a_modality_is_added_and_the_others_stay_as_they_are(tmp_path):
    both = toy_run(out=tmp_path / "two", figures=False)
    data = toy((90, 60), text=True)
    wider = both.add_modality(
        "word", data, out=tmp_path / "three", epochs=1, measure=False, figures=False
    )
    assert wider.model.names == ("a", "b", "word")
    rows = list(np.random.default_rng(0).normal(size=(4, 4)))
    one, two = (r.encode({"a": rows}).shared for r in (both, wider))
    assert torch.equal(one, two)
    opened = open_run(tmp_path / "three")
    assert opened.encode({"word": "red"}).shared.shape == one[:1].shape
    assert isinstance(opened.translate("word", "red", "a").item, np.ndarray)


def test_a_modality_needs_a_bridge_to_the_known_ones():
    both, data = toy_run(), toy((90, 60), text=True)
    with pytest.raises(ConfigError, match="no row joins"):
        both.add_modality("word", data.only(["word"]))
    with pytest.raises(ConfigError, match="the data don't"):
        both.add_modality("word", data.only(["a", "word"]))
    with pytest.raises(ConfigError, match="already"):
        both.add_modality(Modality("a", (4,), MLP((8,))), data)
    other = toy((90, 60), seed=9, text=True)
    with pytest.raises(ConfigError, match="transformed in another way"):
        both.add_modality("word", other)


# --- the page ---------------------------------------------------------------------------


def test_the_page_holds_its_sounds_and_loads_nothing(place):
    page = (place / "page.html").read_text(encoding="utf-8")
    assert not re.search(r"(?:https?:)?//[a-z]", re.sub(r"data:[^\"]+", "", page))
    assert "media-src data:" in page
    # ten real ones, and ten from each of the two other modalities
    assert page.count("<audio") == 30
    assert page.count("data:audio/wav;base64,UklGR") == 30  # RIFF
    assert page.count("<img") == 7
    assert 'aria-label="seven, from text"' in page
    assert page.count('<th scope="row">seven</th><td><audio') == 1  # its sounds stand in a row


def test_a_page_without_data_says_so(place, tmp_path):
    page = open_run(place).page(tmp_path / "page.html")
    assert "need the run&#x27;s data" in page
    assert "<audio" not in page
    assert page.count("<img") == 3  # losses, and what was measured
    assert "image-&gt;audio" in page
    assert ">mAP</th>" in page
    assert "Frechet floor" in page
    assert (tmp_path / "page.html").read_text(encoding="utf-8") == page


def test_sounds_of_a_report_are_wav_files_and_their_words_are_escaped():
    sound = ReportSound(b"RIFF\0\0\0\0WAVEfmt ", '<b>"seven"</b>', "real")
    html = html_report("x", [Section("s", sounds=[sound])])
    assert "&lt;b&gt;" in html
    assert "<b>" not in html
    assert "media-src" not in html_report("x", [Section("s")])
    with pytest.raises(DataError, match="isn't a WAV"):
        html_report("x", [Section("s", sounds=[ReportSound(b"OggS", "x", "y")])])


def test_sounds_stand_in_a_table():
    """A sound that is missing leaves its cell empty."""
    wav = b"RIFF\0\0\0\0WAVEfmt "
    places = (("one", "real"), ("two", "real"), ("two", "from text"))
    html = html_report("x", [Section("s", sounds=[ReportSound(wav, *p) for p in places])])
    heads = re.findall(r'<th scope="col">(.*?)</th>', html)
    rows = re.findall(r'<tr><th scope="row">(.*?)</th>(.*?)</tr>', html)
    assert heads == ["real", "from text"]
    assert [what for what, _ in rows] == ["one", "two"]
    assert [re.findall(r"<td>(<audio)?", cells) for _, cells in rows] == [
        ["<audio", ""],
        ["<audio", "<audio"],
    ]


def test_files_stand_for_what_they_hold(run, tmp_path):
    image, sound = run.item("image", 0), run.item("audio", 0)
    run.adapter("image").write(image, tmp_path / "0.png")
    run.adapter("audio").write(sound, tmp_path / "0.wav")
    by_name = run.encode({"image": str(tmp_path / "0.png")}).shared
    assert torch.equal(by_name, run.encode({"image": image}).shared)
    both = {"image": tmp_path / "0.png", "audio": tmp_path / "0.wav"}
    assert run.encode(both).shared.shape == (1, 32)
    heard = run.translate("image", str(tmp_path / "0.png"), to="audio").item
    run.adapter("audio").write(heard, tmp_path / "said.wav")
    assert len(run.retrieve("audio", str(tmp_path / "said.wav"), to="image", top=2)) == 2
    with pytest.raises((DataError, MissingDataError), match=r"none\.png"):
        run.encode({"image": str(tmp_path / "none.png")})


def test_who_contributes_where_modalities_count_alike(run):
    """Of a mean each has a third: the figure leaves them out in turn instead."""
    picture = run.figures.contributions()
    last = np.array(picture.table.columns["share"], dtype=float)[-3:]
    assert last.sum() == pytest.approx(1)
    assert np.ptp(last) > 1e-3  # thirds would say nothing
