"""Concepts for other programs."""

import dataclasses
import json

import numpy as np
import pytest

from concept_toys import codes_of, corpus
from isthmus.concepts import Passages, describe, export_atlas, export_features
from isthmus.errors import ConfigError, DataError, RunError

parquet = pytest.importorskip("pyarrow.parquet")


@pytest.fixture(scope="module")
def made():
    texts, topics = corpus(400)
    codes = codes_of(topics, latents=10)
    table = describe(codes, Passages.of(texts), decoder=np.eye(10) + 0.5)
    table = table.replaced([dataclasses.replace(table[0], hidden=True)])
    return table, codes, texts


def test_atlas_gets_the_labels_of_each_row_the_strongest_first(made, tmp_path):
    table, codes, texts = made
    path = tmp_path / "atlas.parquet"
    assert export_atlas(path, table, codes, texts) == 400
    found = parquet.read_table(path).to_pydict()
    assert list(found) == ["id", "text", "features", "activations"]
    assert found["text"] == texts
    assert found["id"][:2] == ["0", "1"]
    dense = codes.toarray()
    for row, (features, values) in enumerate(
        zip(found["features"], found["activations"], strict=True)
    ):
        shown = [j for j in np.argsort(-dense[row], kind="stable") if dense[row, j] > 0]
        shown = [j for j in shown if table[j].name is not None and j != 0]
        assert features == [table[j].name for j in shown]
        assert values == pytest.approx([dense[row, j] for j in shown])


def test_atlas_may_show_the_unnamed_and_fewer(made, tmp_path):
    table, codes, texts = made
    path = tmp_path / "atlas.parquet"
    export_atlas(path, table, codes, texts, ids=[f"t{i}" for i in range(400)], unnamed=True, most=1)
    found = parquet.read_table(path).to_pydict()
    assert found["id"][3] == "t3"
    assert max(map(len, found["features"])) == 1
    export_atlas(path, table, codes, texts, unnamed=True)
    every = {label for some in parquet.read_table(path)["features"].to_pylist() for label in some}
    assert every == {concept.label for concept in table if not concept.hidden}
    assert {"#8", "#9"} <= every


def test_features_have_the_known_names_and_plain_values(made, tmp_path):
    table, _, texts = made
    path = tmp_path / "features.jsonl"
    alive = [c for c in table if not c.dead and not c.hidden]
    assert export_features(path, table, texts, model="minilm", layer="toy") == len(alive)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["index"] for line in lines] == [str(c.id) for c in alive]
    line, concept = lines[0], alive[0]
    assert (line["modelId"], line["layer"]) == ("minilm", "toy")
    assert line["frac_nonzero"] == concept.statistics.rate
    assert len(line["freq_hist_data_bar_values"]) == len(line["freq_hist_data_bar_heights"]) == 20
    assert sum(line["freq_hist_data_bar_heights"]) == concept.statistics.passages
    assert line["pos_str"] == [word.text for word in concept.words]
    assert line["explanations"][0]["description"] == concept.name
    assert line["activations"][0]["tokens"] == [texts[concept.top[0].row]]
    assert line["activations"][0]["maxValue"] == concept.top[0].activation
    assert line["topkCosSimIndices"] == [near.id for near in concept.near] != []


def test_features_without_texts_name_no_passage(made, tmp_path):
    export_features(tmp_path / "f.jsonl", made[0])
    line = json.loads((tmp_path / "f.jsonl").read_text().splitlines()[0])
    assert line["activations"] == []


def test_what_does_not_fit_is_refused(made, tmp_path):
    table, codes, texts = made
    path = tmp_path / "atlas.parquet"
    with pytest.raises(DataError, match="every row"):
        export_atlas(path, table, codes, texts[1:])
    with pytest.raises(DataError, match="every row"):
        export_atlas(path, table, codes, texts, ids=["a"])
    with pytest.raises(DataError, match="latents"):
        export_atlas(path, table, codes[:, :3], texts)
    with pytest.raises(ConfigError, match="at least one concept"):
        export_atlas(path, table, codes, texts, most=0)
    assert not path.exists()
    with pytest.raises(RunError, match="could not be written"):
        export_features(tmp_path / "nowhere" / "f.jsonl", table)
