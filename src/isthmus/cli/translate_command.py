"""`isthmus translate`: an item of one modality, said in another."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from isthmus.cli.options import Debug, Json, Quiet, help_text
from isthmus.cli.raw_items import (
    ENDINGS,
    TEXTS,
    And,
    From,
    Resize,
    To,
    items_of,
    multimodal_run,
)
from isthmus.cli.screen import Screen, number
from isthmus.errors import ConfigError

if TYPE_CHECKING:
    from isthmus.runs.multimodal import MultimodalRun, Translated

app = typer.Typer(add_completion=False, rich_markup_mode="rich")

_FEW, _LEAST = 3, 0.001


@app.command(
    help=help_text(
        "isthmus translate runs/trio --from image 7.png --to audio --out 7.wav",
        "isthmus translate runs/trio --from text seven --to audio --style you.wav --out 7.wav",
        "Say an item of one modality in another: draw the picture that a word names (PNG), speak "
        "the digit in a picture (WAV), name what is heard (text, on standard output unless --out "
        "is given). How sure the joint mixture is of it is said. With --style the voice or the "
        "hand of a reference is kept; with --sample N different ones are written beside it.",
    )
)
def translate(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run of several modalities.")],
    to: To,
    from_: From = None,
    and_: And = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            metavar="FILE",
            help="The file to write, or replace: .png, .wav, .txt, .npy, by the modality.",
            show_default=False,
        ),
    ] = None,
    style: Annotated[
        str | None,
        typer.Option(
            "--style",
            metavar="ITEM",
            help="An item of the modality wanted, whose style (voice, hand) is kept.",
            show_default=False,
        ),
    ] = None,
    sample: Annotated[
        int,
        typer.Option(
            "--sample",
            metavar="INT",
            help="Draws beside the likeliest translation: FILE-1, FILE-2, ...",
        ),
    ] = 0,
    seed: Annotated[int, typer.Option("--seed", metavar="INT", help="Seed of the draws.")] = 0,
    resize: Resize = False,
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Say an item in another modality."""
    screen = Screen(as_json=as_json, quiet=quiet)
    if sample < 0 or seed < 0:
        raise ConfigError("--sample and --seed can't be negative")
    opened = multimodal_run(run, resize=resize)
    _check(opened, to, out)
    raw = items_of(opened, (from_, and_), screen)
    reference = None if style is None else items_of(opened, [(to, style)], screen)[to]
    _refuse_style(opened, to, style)
    found = opened.translate(raw, to=to, style=reference, samples=sample, seed=seed)
    files = [] if out is None else _written(opened, to, found, out)
    texts = opened.adapter(to).kind in TEXTS
    if as_json:
        given = dict(filter(None, (from_, and_)))
        drawn = {"drawn": [str(item) for item in found.drawn]} if texts and sample else {}
        screen.json(
            {"run": str(run), "from": given, "to": to, "style": style}
            | {"files": [str(path) for path in files]}
            | found.as_json()
            | ({"text": str(found.item)} if texts else {})
            | drawn
        )
        return
    if texts and out is None:
        for item in (found.item, *found.drawn):
            screen.line(str(item))
    _tell(found, files, screen)


def _check(run: MultimodalRun, to: str, out: Path | None) -> None:
    """Refuse a file that the modality can't be written into, before anything is read."""
    kind = run.adapter(to).kind
    ending = ENDINGS[kind][0]
    if out is None:
        if kind in TEXTS:
            return
        raise ConfigError(f"{to!r} needs a file to be written into", fix=f"add --out NAME{ending}")
    if out.suffix.lower() != ending:
        raise ConfigError(
            f"{to!r} is not written as {out.suffix or 'a file without an ending'!r}",
            where=str(out),
            fix=f"end its name in {ending}",
        )


def _refuse_style(run: MultimodalRun, to: str, style: str | None) -> None:
    """Refuse a reference where the model keeps no style."""
    if style is not None and not run.model.sizes(to).latent - run.model.shared:
        raise ConfigError(
            f"this model keeps no style of {to!r}: it has no private code",
            where=run.name,
            fix="leave --style out, or train aligned or mmvae-plus with --private 16",
        )


def _written(run: MultimodalRun, to: str, found: Translated, out: Path) -> list[Path]:
    """Write the translation, and its draws beside it."""
    adapter = run.adapter(to)
    files = [out, *(out.with_stem(f"{out.stem}-{i}") for i in range(1, len(found.drawn) + 1))]
    for item, path in zip((found.item, *found.drawn), files, strict=True):
        adapter.write(item, path)
    return files


def _tell(found: Translated, files: list[Path], screen: Screen) -> None:
    """Say what was written, and how sure it is; beside a text on standard error."""
    facts: list[tuple[str, str]] = [("wrote", str(path)) for path in files]
    if found.classes:
        best = [pair for pair in list(found.classes.items())[:_FEW] if pair[1] >= _LEAST]
        facts.append(("class", ", ".join(f"{name} {share:.1%}" for name, share in best)))
    if found.entropy is not None and found.deviation is not None:
        facts.append(
            (
                "unsure",
                f"{number(found.entropy)} nats between classes or components; the shared code "
                f"within {number(found.deviation)} (standard deviation)",
            )
        )
    if found.note:
        facts.append(("note", found.note))
    (screen.words if files else screen.facts)(facts)
