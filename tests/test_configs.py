"""Frozen dataclasses as configuration: to JSON, back, checked, and documented."""

import dataclasses
import inspect
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isthmus.bottlenecks import BOTTLENECKS, Gaussian, Plain, TopK
from isthmus.configs import by_name, field_docs, from_json, to_json, validated
from isthmus.errors import ConfigError
from isthmus.likelihoods import LIKELIHOODS
from isthmus.models import CORRUPTIONS, PRESETS, Masking
from isthmus.networks import MLP, NETWORKS, Conv
from isthmus.training import Training

KINDS = BOTTLENECKS | NETWORKS | CORRUPTIONS | {"Training": Training}
EVERY = sorted(
    {
        *BOTTLENECKS.values(),
        *NETWORKS.values(),
        *LIKELIHOODS.values(),
        *CORRUPTIONS.values(),
        Training,
    },
    key=str,
)


@dataclasses.dataclass(frozen=True)
class Inner:
    size: int = 2
    """How large."""


@dataclasses.dataclass(frozen=True)
class Outer:
    inner: Inner = Inner()
    """What lies inside."""
    names: tuple[str, ...] = ("a", "b")
    """Two lines
    of words."""
    undocumented: float = 0.5


# ---------------------------------------------------------------- to JSON and back


def test_to_json_by_hand():
    assert to_json(Outer(names=("x",))) == {
        "kind": "Outer",
        "inner": {"kind": "Inner", "size": 2},
        "names": ["x"],
        "undocumented": 0.5,
    }


@pytest.mark.parametrize("cls", EVERY, ids=lambda c: c.__name__)
def test_every_default_survives_a_file(cls):
    text = json.dumps(to_json(cls()), allow_nan=False)
    assert from_json(json.loads(text), by_name(cls)) == cls()


@settings(max_examples=50, deadline=None)
@given(
    config=st.one_of(
        st.builds(
            MLP,
            hidden=st.lists(st.integers(1, 999), max_size=4).map(tuple),
            activation=st.sampled_from(["ReLU", "Tanh", "GELU"]),
            tied=st.booleans(),
            dropout=st.floats(0, 0.99),
        ),
        st.builds(
            Conv,
            channels=st.lists(st.integers(1, 99), min_size=1, max_size=4).map(tuple),
            kernel=st.sampled_from([3, 5, 7]),
        ),
        st.builds(
            Gaussian,
            latent=st.integers(1, 99),
            beta=st.floats(0, 1e6),
            capacity=st.none() | st.floats(0, 50),
        ),
        st.builds(Training, lr=st.floats(1e-9, 1.0), epochs=st.integers(1, 10**6)),
        st.builds(Masking, share=st.floats(0, 0.999)),
    )
)
def test_any_configuration_survives_a_file(config):
    assert from_json(json.loads(json.dumps(to_json(config))), KINDS) == config


# ---------------------------------------------------------------- refusals


@pytest.mark.parametrize("value", [{}, {"kind": "Wide"}, {"kind": 3}, {"kind": None}, {"kind": []}])
def test_unknown_kinds_are_refused_with_the_known_ones(value):
    with pytest.raises(ConfigError, match=r"known here: .*Plain.*TopK"):
        from_json(value, BOTTLENECKS)


@pytest.mark.parametrize(
    ("values", "word"),
    [
        ({"latents": 3}, "latents"),
        ({"latent": "many"}, "latent"),
        ({"latent": 2.5}, "latent"),
        ({"latent": None}, "latent"),
        ({"latent": [3]}, "latent"),
        ({"latent": 0}, "latent must be above 0"),
    ],
)
def test_settings_of_the_wrong_name_or_type_are_refused_by_name(values, word):
    with pytest.raises(ConfigError) as caught:
        validated(Plain, values)
    assert word in str(caught.value)


def test_a_combination_that_cannot_work_keeps_its_own_words():
    with pytest.raises(ConfigError, match="k = 9 is larger than the number of latents, 4"):
        validated(TopK, {"latent": 4, "k": 9})


def test_numbers_written_as_text_are_read():
    assert validated(TopK, {"latent": "16", "k": "4"}) == TopK(latent=16, k=4)
    assert validated(MLP, {"hidden": ["8", 4]}) == MLP(hidden=(8, 4))


def test_choices_outside_a_literal_are_refused():
    with pytest.raises(ConfigError, match="schedule"):
        validated(Training, {"schedule": "linear"})


def test_configurations_are_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Plain().latent = 3


# ---------------------------------------------------------------- documentation


def test_the_line_under_each_field_is_read():
    docs = field_docs(Outer)
    assert docs == {"inner": "What lies inside.", "names": "Two lines\nof words."}


@pytest.mark.parametrize("cls", EVERY, ids=lambda c: c.__name__)
def test_every_field_of_every_configuration_is_documented(cls):
    docs = field_docs(cls)
    for field in dataclasses.fields(cls):
        assert docs.get(field.name, "").strip(), f"{cls.__name__}.{field.name}"
    assert inspect.getdoc(cls)


def test_presets_have_names_of_their_own_and_a_summary():
    names = [p.name for p in PRESETS]
    assert len(set(names)) == len(names)
    assert all(p.summary for p in PRESETS)
    assert {"dense", "conv", "sparse-l1", "sparse-kl", "vae", "topk"} <= set(names)
