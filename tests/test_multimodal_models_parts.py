"""Networks of any shape, the likelihood of texts, modalities, presets, files, added modalities."""

import dataclasses
import json
import math

import numpy as np
import pytest
import torch
from torch import nn

from isthmus.data.modalities import ImageAdapter, SentenceAdapter, TextAdapter, VectorAdapter
from isthmus.errors import ConfigError, DataError, RunError
from isthmus.likelihoods import Cosine, Gaussian, Laplace
from isthmus.likelihoods.symbols import Symbols, counted
from isthmus.models.multimodal import (
    MULTIMODAL_PRESETS,
    MVTCAE,
    Aligned,
    Modality,
    MultimodalAutoencoder,
    add_modality,
    modality_of,
    multimodal_preset,
)
from isthmus.models.multimodal.modality import modality_from
from isthmus.networks import MLP
from isthmus.networks.base import Halves, Sizes
from isthmus.networks.char_conv import CharConv
from isthmus.networks.conv_norm import ConvNorm
from isthmus.training.multimodal import MultimodalTraining, fit_multimodal
from multimodal_models import items, modality, small
from multimodal_toys import toy


@pytest.mark.parametrize(
    "shape", [(1, 40, 64), (1, 28, 28), (3, 8, 8), (1, 20, 16), (2, 9, 33), (1, 3, 50), (1, 1, 1)]
)
@pytest.mark.parametrize("pool", ["flatten", "mean"])
def test_convolutions_of_any_shape_come_back_exactly(shape, pool):
    sizes = Sizes(shape, 7, 5, (2 * shape[0], *shape[1:]))
    halves = ConvNorm((4, 6, 8), (6, 4), pool=pool).build(sizes)
    assert halves.encoder(torch.randn(3, *shape)).shape == (3, 7)
    out = halves.decoder(torch.randn(3, 5))
    assert out.shape == (3, *sizes.output)
    assert out.isfinite().all()


def test_a_mean_over_time_shrugs_off_shifts():
    encoder = ConvNorm((4, 8), (4,), pool="mean").build(Sizes((1, 8, 64), 3, 3, (1, 8, 64))).encoder
    encoder.eval()
    x = torch.zeros(1, 1, 8, 64)
    x[..., 16:24] = torch.randn(8, 8)
    moved = x.roll(16, 3)
    assert torch.allclose(encoder(x), encoder(moved), atol=1e-6)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: ConvNorm(()),
        lambda: ConvNorm((0,)),
        lambda: ConvNorm(back=()),
        lambda: ConvNorm(second=-1),
        lambda: ConvNorm(dropout=1.0),
        lambda: ConvNorm(activation="Magic"),
        lambda: ConvNorm().build(Sizes((5,), 2, 2, (5,))),
        lambda: CharConv(kernel=2),
        lambda: CharConv(width=0),
        lambda: CharConv(dropout=-0.1),
        lambda: CharConv().build(Sizes((1, 8, 8), 2, 2, (1, 8, 8))),
        lambda: Symbols(1),
        lambda: Symbols(5).build((2, 3)),
    ],
)
def test_parts_that_cannot_work_are_refused(wrong):
    with pytest.raises(ConfigError):
        wrong()


def test_characters_there_and_back():
    halves = CharConv(width=8).build(Sizes((5,), 4, 3, (5 * 7,)))
    assert halves.encoder(torch.randint(0, 7, (2, 5))).shape == (2, 4)
    assert halves.decoder(torch.randn(2, 3)).shape == (2, 35)


def test_symbols_cost_their_cross_entropy_up_to_the_end():
    readout = Symbols(3).build((4,))
    out = torch.randn(2, 12)
    x = torch.tensor([[2, 1, 0, 0], [1, 1, 2, 2]])
    logits = out.reshape(2, 3, 4).transpose(1, 2)
    each = torch.distributions.Categorical(logits=logits).log_prob(x)
    assert counted(x).tolist() == [[1, 1, 1, 0], [1, 1, 1, 1]]
    assert readout.distortion(out, x).tolist() == pytest.approx(
        [-each[0, :3].sum().item(), -each[1].sum().item()], rel=1e-5
    )
    even = readout.distortion(torch.zeros(1, 12), x[1:])
    assert even.item() == pytest.approx(4 * math.log(3))
    assert readout.mean(out).sum(-1).tolist() == [pytest.approx([1] * 4)] * 2
    assert torch.equal(readout.symbols(out), logits.argmax(-1))
    assert torch.equal(readout.one_hot(x).argmax(-1), x)
    for bad in (torch.tensor([[3, 0, 0, 0]]), torch.tensor([[-1, 0, 0, 0]]), torch.zeros(1, 4)):
        with pytest.raises(DataError, match="whole numbers"):
            readout.check(bad)


def test_adapters_get_what_suits_them():
    image = modality_of(ImageAdapter(shape=(1, 28, 28)))
    assert isinstance(image.network, ConvNorm)
    assert image.likelihood == Gaussian("optimal", "sigmoid")
    text = modality_of(TextAdapter("word", 8), private=4)
    assert (text.network, text.likelihood, text.private) == (CharConv(), Symbols(38), 4)
    assert isinstance(modality_of(VectorAdapter("v", 5)).network, MLP)
    assert modality_of(SentenceAdapter.of(["a", "b"], np.eye(2))).likelihood == Cosine()
    assert isinstance(modality_of(ImageAdapter(shape=(1, 5, 5))).network, MLP)


def test_modalities_survive_json():
    from isthmus.configs import to_json

    for one in (
        modality_of(TextAdapter("word", 8)),
        modality_of(ImageAdapter(shape=(1, 28, 28)), weight=2.0),
        Modality("own", (3,), None),
    ):
        assert modality_from(json.loads(json.dumps(to_json(one)))) == one


def test_presets_are_found_and_changed():
    assert [p.name for p in MULTIMODAL_PRESETS] == [
        *("aligned", "mvtcae", "mmvae-plus", "poe", "moe", "mopoe")
    ]
    changed, rest = multimodal_preset("aligned").with_settings({"shared": 8, "epochs": 3})
    assert changed.objective.shared == 8
    assert rest == {"epochs": 3}
    with pytest.raises(ConfigError, match="did you mean 'mvtcae'"):
        multimodal_preset("mvtca")
    with pytest.raises(ConfigError, match="shared can't be"):
        multimodal_preset("mopoe").with_settings({"shared": "wide"})
    for preset in MULTIMODAL_PRESETS:
        MultimodalTraining(**preset.training)


# --- own networks and files ------------------------------------------------------------


def own(encoded, latent):
    return Halves(nn.Linear(3, encoded), nn.Linear(latent, 3))


def test_own_halves_are_used_saved_and_asked_for(tmp_path):
    parts = [Modality("x", (3,), None, private=0), modality("a", (5,))]
    objective = dataclasses.replace(multimodal_preset("aligned").objective, shared=4)
    model = MultimodalAutoencoder(parts, objective, halves={"x": own(4, 4)})
    assert model.sizes("x").encoded == 4
    model.save_pretrained(tmp_path)
    with pytest.raises(ConfigError, match="own encoder and decoder of 'x'"):
        MultimodalAutoencoder.from_pretrained(tmp_path)
    again = MultimodalAutoencoder.from_pretrained(tmp_path, halves={"x": own(4, 4)})
    x = {"x": torch.randn(2, 3)}
    assert torch.equal(again.encode(x).shared, model.encode(x).shared)


@pytest.mark.parametrize(("encoded", "latent"), [(5, 4), (4, 5)])
def test_own_halves_of_other_widths_are_refused(encoded, latent):
    objective = dataclasses.replace(multimodal_preset("aligned").objective, shared=4)
    with pytest.raises((ConfigError, RuntimeError)) as caught:
        MultimodalAutoencoder(
            [Modality("x", (3,), None, private=0)], objective, halves={"x": own(encoded, latent)}
        )
    assert "x" in str(caught.value) or "shapes" in str(caught.value)


def test_halves_of_nobody_are_refused():
    with pytest.raises(ConfigError, match="halves are given for"):
        MultimodalAutoencoder([modality("a", (5,))], halves={"b": own(1, 1)})


def test_damaged_folders_are_refused(tmp_path):
    model = small("mvtcae")
    model.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())

    def written(change):
        head = json.loads(json.dumps(config))
        change(head["model"])
        (tmp_path / "config.json").write_text(json.dumps(head))

    written(lambda m: m.update(kind="Autoencoder"))
    with pytest.raises(ConfigError, match="no multimodal model"):
        MultimodalAutoencoder.from_pretrained(tmp_path)
    written(lambda m: m["objective"].update(kind="Magic"))
    with pytest.raises(ConfigError, match="unknown kind"):
        MultimodalAutoencoder.from_pretrained(tmp_path)
    written(lambda m: m.pop("modalities"))
    with pytest.raises(RunError, match="damaged"):
        MultimodalAutoencoder.from_pretrained(tmp_path)
    written(lambda m: m["modalities"][0]["network"].update(hidden=[10**9]))
    with pytest.raises(RunError, match="don't fit"):
        MultimodalAutoencoder.from_pretrained(tmp_path)
    written(lambda m: None)
    weights = (tmp_path / "model.safetensors").read_bytes()
    (tmp_path / "model.safetensors").write_bytes(weights[:-9])
    with pytest.raises(RunError, match="damaged"):
        MultimodalAutoencoder.from_pretrained(tmp_path)


@pytest.mark.parametrize("name", ["keys", "values", "train", "a b", "zwölf"])
def test_modalities_may_be_called_anything(name, tmp_path):
    model = small("aligned", [modality(name, (5,)), modality("b", (3,))])
    assert model.encode({name: torch.zeros(1, 5)}).shared.shape == (1, 4)
    model.save_pretrained(tmp_path)
    assert MultimodalAutoencoder.from_pretrained(tmp_path).names == (name, "b")


# --- an added modality -----------------------------------------------------------------


@pytest.mark.parametrize("name", ["aligned", "mvtcae", "mmvae-plus"])
def test_an_added_modality_leaves_the_space_as_it_was(name, tmp_path):
    data = toy(text=True)
    config = MultimodalTraining(epochs=3, batch_size=16, lr=1e-2, device="cpu", threads=1)
    old = [modality_of(data[m].adapter, network=MLP((8,))) for m in "ab"]
    model = small(name, old)
    fit_multimodal(model, data, config)
    given = {m: data[m].items[:6] for m in "ab"}
    before = model.encode(given)
    wider = add_modality(model, modality_of(data["word"].adapter))
    start = {k: v.clone() for k, v in wider.state_dict().items()}
    fit_multimodal(wider, data, config)
    after = wider.encode(given)
    assert torch.equal(before.shared, after.shared)
    assert torch.equal(model.decode(before.shared)["a"], wider.decode(before.shared)["a"])
    moved = {k for k, v in wider.state_dict().items() if not torch.equal(v, start[k])}
    assert moved
    assert all("word" in k for k in moved)
    assert wider.translate({"a": given["a"]}, "word").shape == (6, 5)
    wider.save_pretrained(tmp_path)
    again = MultimodalAutoencoder.from_pretrained(tmp_path)
    assert again.frozen == {"a", "b"}
    learning = [n for n, p in again.named_parameters() if p.requires_grad]
    assert learning
    assert all("of word" in n.split(".") for n in learning)
    with pytest.raises(ConfigError, match="already"):
        add_modality(wider, modality_of(data["word"].adapter))


def test_an_added_modality_finds_its_place():
    """The new word's codes must land on those of its class."""
    data = toy((240, 120), text=True)
    apart = {}
    for name, part in data.modalities.items():
        far = torch.randn(part.items.shape, generator=torch.Generator().manual_seed(0))
        far[:, :3] += 6 * torch.eye(3)[torch.from_numpy(part.labels)] if name != "word" else 0
        apart[name] = part if name == "word" else dataclasses.replace(part, items=far)
    data = dataclasses.replace(data, modalities=apart)
    config = MultimodalTraining(epochs=12, batch_size=16, lr=1e-2, device="cpu", threads=1)
    model = small("aligned", [modality_of(data[m].adapter, network=MLP((16,))) for m in "ab"])
    fit_multimodal(model, data, config)
    wider = add_modality(model, modality_of(data["word"].adapter))
    fit_multimodal(wider, data, config)
    words = wider.encode({"word": data["word"].items[:3]})
    rows = torch.from_numpy(data["a"].rows("train"))
    codes = wider.encode({"a": data["a"].items[rows]})
    labels = data["a"].labels[rows.numpy()]
    sums = words.similarity(codes).numpy()
    means = np.stack([sums[:, labels == c].mean(1) for c in range(3)], 1)
    assert means.argmax(1).tolist() == data["word"].labels[:3].tolist()


def test_a_second_look_at_frozen_items_changes_nothing():
    wider = add_modality(small("aligned"), modality("d", (2,)))
    wider.train()
    assert not wider.channel("a").training
    assert wider.channel("d").training
    assert wider.encode(items(2)).shared.shape == (2, 4)


def test_presets_change_what_is_continuous_and_keep_its_squashing():
    preset = multimodal_preset("mmvae-plus")
    image = Modality("image", (1, 8, 8), MLP((8,)), Gaussian("optimal", "sigmoid"))
    fields = preset.fields_for(image)
    assert fields == {"likelihood": Laplace(0.75, "sigmoid"), "private": 32}
    word = Modality("text", (5,), MLP((8,)), Symbols(27), private=0)
    assert preset.fields_for(word) == {}
    assert multimodal_preset("aligned").fields_for(image) == {}


def test_training_takes_variational_losses_by_dimensions():
    image = Modality("image", (1, 8, 8), MLP((8,)))
    word = Modality("text", (5,), MLP((8,)), Symbols(27))
    assert MVTCAE().build((image, word)).dimensions == 64
    assert Aligned().build((image, word)).dimensions == 1
