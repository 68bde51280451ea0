"""Options that only models of several modalities have, from the dataclasses that declare them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from isthmus.cli.options import Option
from isthmus.cli.settings import DeclaredField, Setting, declared, grouped

__all__ = ["helped", "measuring_options", "model_settings", "several_data", "several_training"]

_PANEL = "Several modalities"
_MEASURED = "Several modalities: measuring"

_OBJECTIVES: Mapping[str, str] = MappingProxyType(
    {
        "aligned": "Aligned",
        "mvtcae": "MVTCAE",
        "mmvae_plus": "MMVAEPlus",
        "poe": "PoE",
        "moe": "MoE",
        "mopoe": "MoPoE",
    }
)
"""The objectives by their files in models/multimodal."""
_CHANGERS = frozenset({"sound", "image"})
_CHANGES = "NAME=VALUE,.."


def model_settings() -> tuple[Setting, ...]:
    """Return the settings of every objective, of modalities, of the training and the mixture."""
    fields: list[DeclaredField] = []
    for file, name in _OBJECTIVES.items():
        fields += declared(_PANEL, f"models/multimodal/{file}.py", name)
    modality = declared(_PANEL, "models/multimodal/modality.py", "Modality")
    fields += [field for field in modality if field.name in ("private", "weight")]
    usual = {field.name for field in declared("", "training/config.py", "Training")}
    training = declared(_PANEL, "training/multimodal/config.py", "MultimodalTraining")
    fields += [field for field in training if field.name not in usual]
    fields += declared(_PANEL, "models/multimodal/mixture_fitting.py", "MixtureFit")
    return grouped(tuple(fields))


def several_training() -> tuple[Option, ...]:
    """Return the options of models of several modalities and their training."""
    found = []
    for setting in model_settings():
        option = Option.of(setting)
        if setting.name in _CHANGERS:
            text = f"{setting.help} Such as {_EXAMPLES[setting.name]}."
            option = replace(option, metavar=_CHANGES, help=text)
        found.append(option)
    return tuple(found)


_EXAMPLES = {"sound": "shift=0.2,gain=3", "image": "rotation=5,elastic=0"}


def several_data() -> tuple[Option, ...]:
    """Return the options of opening data of several modalities."""
    return tuple(
        Option.of(setting)
        for setting in grouped(declared(_PANEL, "cli/multimodal_data.py", "SeveralOptions"))
    )


def measuring_options() -> tuple[Option, ...]:
    """Return the options of measuring a model of several modalities."""
    fields = declared(_MEASURED, "runs/multimodal/subject.py", "MultimodalEvaluation")
    settings = [s for s in grouped(fields) if s.name != "seed"]
    judges = grouped(declared(_MEASURED, "runs/multimodal/judge_training.py", "JudgeSettings"))
    steps = next(setting for setting in judges if setting.name == "steps")
    found = [Option.of(s) for s in (*settings, replace(steps, name="judge_steps"))]
    return tuple(replace(o, help=_plainly(o.help)) if o.is_on else o for o in found)


def _plainly(text: str) -> str:
    """Return the help of what can only be switched off without its "whether"."""
    rest = text.removeprefix("Whether ")
    return rest[:1].upper() + rest[1:]


def helped(options: tuple[Option, ...], *more: Option) -> tuple[Option, ...]:
    """Join options; one whose name is taken adds to the help of that which has it.

    Examples
    --------
    >>> one = Option("beta", "--beta", "Weight of the KL.", "Bottleneck", "FLOAT")
    >>> two = Option("beta", "--beta", "Price of a nat.", "Several modalities", "FLOAT")
    >>> helped((one,), two)[0].help
    'Weight of the KL. Several modalities: Price of a nat.'
    """
    found = {option.name: option for option in options}
    for option in more:
        taken = found.get(option.name)
        if taken is None:
            found[option.name] = option
        elif option.help not in taken.help:
            text = f"{taken.help} Several modalities: {option.help}"
            found[option.name] = replace(taken, help=text)
    return tuple(found.values())
