"""`isthmus models`: the presets and their settings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import typer

from isthmus.cli.options import Debug, Json, Quiet, help_text
from isthmus.cli.screen import Screen

app = typer.Typer(add_completion=False, rich_markup_mode="rich")


@app.command(
    help=help_text(
        "isthmus models",
        "isthmus models topk",
        "List the presets, of autoencoders (for images, tables and vectors), of sparse "
        "dictionaries (for vectors) and of models of several modalities (for pairs); or show one "
        "with every setting that it has, what the setting means and the preset's own value. A "
        "name of two families is shown twice.",
    )
)
def models(
    name: Annotated[
        str | None,
        typer.Argument(metavar="PRESET", help="The preset to show.", show_default=False),
    ] = None,
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """List or show presets."""
    from isthmus.models import PRESETS
    from isthmus.models.dictionary.presets import DICTIONARY_PRESETS
    from isthmus.models.multimodal.presets import MULTIMODAL_PRESETS
    from isthmus.models.preset_names import unknown_preset

    screen = Screen(as_json=as_json, quiet=quiet)
    unknown = None if name is None else unknown_preset(name)
    if unknown is not None:
        raise unknown
    shown = [found for found in PRESETS if name in (None, found.name)]
    dictionaries = [found for found in DICTIONARY_PRESETS if name in (None, found.name)]
    several = [found for found in MULTIMODAL_PRESETS if name in (None, found.name)]
    if as_json:
        screen.json(
            {
                "models": [_as_json(found) for found in shown],
                "dictionaries": [_dictionary_json(found) for found in dictionaries],
                "multimodal": [_several_json(found) for found in several],
            }
        )
    elif name is None:
        _list(shown, "autoencoders, for images, tables and vectors", screen)
        _list(dictionaries, "sparse dictionaries, for vectors", screen)
        _list(several, "several modalities in one space, for pairs", screen)
        screen.words(
            [
                ("data", "topk and batch-topk are dictionaries where DATA are vectors, unless"),
                ("", "--network or another setting of an autoencoder's parts is given"),
                ("next", "isthmus models PRESET; isthmus train DATA --model PRESET"),
            ]
        )
    else:
        for found in shown:
            _show(found, screen)
        for dictionary in dictionaries:
            _show_dictionary(dictionary, screen)
        for joined in several:
            _show_several(joined, screen)


def _list(presets: Sequence[Any], title: str, screen: Screen) -> None:
    parts = [(p.name, p.summary, ", ".join(_own_settings(p))) for p in presets]
    screen.line(title, style="bold")
    screen.table(("preset", "what it is", "settings of the model"), parts, left=3)
    screen.line()


def _parts(preset: Any) -> list[tuple[str, Any]]:
    names = ("network", "bottleneck", "likelihood", "corruption", "objective")
    return [(n, getattr(preset, n)) for n in names if getattr(preset, n, None) is not None]


def _own_settings(preset: Any) -> list[str]:
    import dataclasses

    return [
        f"--{field.name.replace('_', '-')}"
        for _, part in _parts(preset)
        for field in dataclasses.fields(part)
    ]


def _as_json(preset: Any) -> dict[str, Any]:
    from isthmus.configs import to_json

    parts = {name: to_json(part) for name, part in _parts(preset)}
    head = {"name": preset.name, "summary": preset.summary}
    return head | parts | {"training": dict(preset.training)}


def _dictionary_json(preset: Any) -> dict[str, Any]:
    from isthmus.configs import to_json

    return {
        "name": preset.name,
        "summary": preset.summary,
        "bottleneck": to_json(preset.bottleneck),
        "normalise": preset.normalise,
        "training": dict(preset.training),
    }


def _several_json(preset: Any) -> dict[str, Any]:
    from isthmus.configs import to_json

    return {
        "name": preset.name,
        "summary": preset.summary,
        "objective": to_json(preset.objective),
        "modality": _modality_fields(preset),
        "training": dict(preset.training),
    }


def _modality_fields(preset: Any) -> dict[str, Any]:
    """Return what a preset changes of pictures, sounds and vectors, as JSON values."""
    import dataclasses

    from isthmus.configs import to_json

    fields = preset.modality.items()
    return {k: to_json(v) if dataclasses.is_dataclass(v) else v for k, v in fields}


def _show_several(preset: Any, screen: Screen) -> None:
    from isthmus.models.multimodal import MixtureFit
    from isthmus.training.multimodal import MultimodalTraining

    screen.line(f"{preset.name}, for several modalities: {preset.summary}", style="bold")
    parts = {
        f"objective {type(preset.objective).__name__}": preset.objective,
        "joint mixture": MixtureFit(),
        "training": MultimodalTraining(**preset.training),
    }
    rows = [row for title, part in parts.items() for row in _settings(title, part)]
    screen.table(("part", "setting", "value", "what it is"), rows, left=4)
    words = [("next", f"isthmus train digit-trio --model {preset.name}")]
    fields = _modality_fields(preset)
    if fields:
        kind = fields.get("likelihood", {}).get("kind", "")
        scale = fields.get("likelihood", {}).get("scale", "")
        said = [f"likelihood {kind} of scale {scale}"] if kind else []
        said += [f"{key} {value}" for key, value in fields.items() if key != "likelihood"]
        words.insert(0, ("pictures, sounds, vectors", ", ".join(said)))
    screen.words(words)


def _settings(title: str, part: Any) -> list[tuple[str, str, str, str]]:
    """Return a row a setting: the part, its name, its value, what it is."""
    import dataclasses

    from isthmus.configs import field_docs

    docs, rows = field_docs(part.__class__), []
    for field in dataclasses.fields(part):
        value = getattr(part, field.name)
        if field.name == "binarise":
            continue
        shown = "see --help" if dataclasses.is_dataclass(value) else _written(value)
        words = " ".join(docs.get(field.name, "").replace("``", "").split())
        rows.append((title, f"--{field.name.replace('_', '-')}", shown, words))
        title = ""
    return rows


def _show_dictionary(preset: Any, screen: Screen) -> None:
    import dataclasses

    from isthmus.configs import field_docs
    from isthmus.training.dictionary import DictionaryTraining

    screen.line(f"{preset.name}, a sparse dictionary for vectors: {preset.summary}", style="bold")
    rows = []
    kinds = {"bottleneck": preset.bottleneck, "training": DictionaryTraining(**preset.training)}
    for name, part in kinds.items():
        docs = field_docs(part.__class__)
        title = f"{name} {type(part).__name__}" if name == "bottleneck" else name
        for field in dataclasses.fields(part):
            value = _written(getattr(part, field.name))
            if field.name == "latent":
                value = "from the data"
            words = " ".join(docs.get(field.name, "").replace("``", "").split())
            rows.append((title, f"--{field.name.replace('_', '-')}", value, words))
            title = ""
    rows = [(a, "--drop-bad-rows" if b == "--drop-bad" else b, c, d) for a, b, c, d in rows]
    screen.table(("part", "setting", "value", "what it is"), rows, left=4)
    screen.words([("next", f"isthmus train VECTORS --model {preset.name}")])


def _show(preset: Any, screen: Screen) -> None:
    import dataclasses

    from isthmus.configs import field_docs

    screen.line(f"{preset.name}: {preset.summary}", style="bold")
    rows = []
    for name, part in _parts(preset):
        docs = field_docs(part.__class__)
        title = f"{name} {type(part).__name__}"
        for field in dataclasses.fields(part):
            value = getattr(part, field.name)
            words = " ".join(docs.get(field.name, "").replace("``", "").split())
            rows.append((title, f"--{field.name.replace('_', '-')}", _written(value), words))
            title = ""
    rows += [
        ("training" if i == 0 else "", f"--{key.replace('_', '-')}", _written(value), "")
        for i, (key, value) in enumerate(preset.training.items())
    ]
    screen.table(("part", "setting", "value", "what it is"), rows, left=4)
    screen.words([("next", f"isthmus train DATA --model {preset.name}")])


def _written(value: Any) -> str:
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return "–" if value is None else str(value)
