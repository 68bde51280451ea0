"""`isthmus models`: the presets and their settings."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from isthmus.cli.options import Debug, Json, Quiet, help_text
from isthmus.cli.screen import Screen

app = typer.Typer(add_completion=False, rich_markup_mode="rich")


@app.command(
    help=help_text(
        "isthmus models",
        "isthmus models sparse-l1",
        "List the presets; or show one with every setting that it has, what the setting means "
        "and the preset's own value.",
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
    from isthmus.models import PRESETS, preset

    screen = Screen(as_json=as_json, quiet=quiet)
    shown = PRESETS if name is None else (preset(name),)
    if as_json:
        screen.json({"models": [_as_json(found) for found in shown]})
    elif name is None:
        parts = [(p.name, p.summary, ", ".join(_own_settings(p))) for p in shown]
        screen.table(("preset", "what it is", "settings of the model"), parts, left=3)
        screen.words([("next", "isthmus models PRESET; isthmus train DATA --model PRESET")])
    else:
        _show(shown[0], screen)


def _parts(preset: Any) -> list[tuple[str, Any]]:
    names = ("network", "bottleneck", "likelihood", "corruption")
    return [(n, getattr(preset, n)) for n in names if getattr(preset, n) is not None]


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
