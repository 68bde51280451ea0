"""`isthmus reconstruct`: data encoded and decoded again, to look at and to measure."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from isthmus.cli.options import (
    ChosenK,
    Debug,
    Json,
    Quiet,
    Refine,
    data_options,
    help_text,
    load_options,
    taking,
)
from isthmus.cli.screen import Screen, number
from isthmus.errors import ConfigError, RunError

if TYPE_CHECKING:
    import numpy as np

    from isthmus.runs import Run
    from isthmus.runs.dictionary import DictionaryRun

app = typer.Typer(add_completion=False, rich_markup_mode="rich")

_SIDE = 112


@app.command(
    help=help_text(
        "isthmus reconstruct runs/mnist-conv mnist --n 20 --out pictures",
        "isthmus reconstruct runs/table-dense table.csv --n 0 --out again",
        "Encode and decode samples. Images become PNG files, original and reconstruction side by "
        "side; anything else becomes originals.npy and reconstructions.npy, in the units of the "
        "data. errors.csv holds each sample's mean squared error, in the units that the model "
        "sees, as in the metrics. From DATA with a test split the test split is taken.",
    )
)
@taking(*data_options())
def reconstruct(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a run.")],
    data: Annotated[str, typer.Argument(metavar="DATA", help="A named set, a file or a folder.")],
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="FOLDER", help="A new or empty folder.")
    ],
    n: Annotated[
        int, typer.Option("--n", "-n", metavar="INT", help="How many samples; 0 for all.")
    ] = 16,
    split: Annotated[
        str, typer.Option("--split", metavar="NAME", help="train, validation, test or all.")
    ] = "test",
    separate: Annotated[
        bool,
        typer.Option(
            "--separate",
            metavar=" ",
            help="Write original and reconstruction as files of their own, pixel for pixel.",
        ),
    ] = False,
    k: ChosenK = None,
    refine: Refine = False,
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
    **given: Any,
) -> None:
    """Write reconstructions."""
    from isthmus.cli.samples import loaded_for, parts_of
    from isthmus.runs import Run, open_run
    from isthmus.runs.run import of_one_modality

    if n < 0:
        raise ConfigError("--n can't be negative", fix="give how many samples; 0 for all")
    screen = Screen(as_json=as_json, quiet=quiet)
    opened = of_one_modality(open_run(run))
    if not isinstance(opened, Run):
        if separate:
            raise ConfigError("--separate is for images", fix="leave it out")
        _dictionary(opened, data, out, given, screen, n=n, split=split, k=k, refine=refine)
        return
    if k is not None or refine:
        raise ConfigError("--k and --refine are for sparse dictionaries", fix="leave them out")
    dataset = loaded_for(opened, data, load_options(given))
    _claim(out)
    parts = parts_of(dataset, None if split == "all" else split)
    raw, labels = _taken(parts, n)
    again = opened.model.reconstruct(raw)
    errors = _errors(opened, raw, again)
    if dataset.kind == "image":
        files = _pictures(out, raw, again, dataset.range, separate=separate)
    else:
        files = _arrays(out, raw, again)
    table = _table(out, errors, labels)
    _tell(screen, run, out, errors, [*files, table])


def _tell(screen: Screen, run: Path, out: Path, errors: np.ndarray, files: list[Path]) -> None:
    """Say what was written, and how large the error is; the last file holds each sample's."""
    mse = float(errors.mean())
    if screen.as_json:
        names = [str(path) for path in files]
        screen.json(
            {
                "run": str(run),
                "folder": str(out),
                "samples": len(errors),
                "mse": mse,
                "files": names,
            }
        )
        return
    screen.words(
        [
            ("wrote", f"{len(files) - 1} files and errors.csv to {out}"),
            ("mse", f"{number(mse)} over {len(errors):,} samples, worst {number(errors.max())}"),
        ]
    )


def _dictionary(
    run: DictionaryRun,
    data: str,
    out: Path,
    given: dict[str, Any],
    screen: Screen,
    *,
    n: int,
    split: str,
    k: int | None,
    refine: bool,
) -> None:
    """Write vectors, their reconstructions and their errors."""
    import numpy as np

    from isthmus.cli.vectors import refinement, sources_for
    from isthmus.runs.dictionary.coders import Own, Refined
    from isthmus.runs.dictionary.vectors import first_rows

    options = load_options(given)
    asked = None if split == "all" else split
    sources = sources_for(run, data, options, asked, lenient=split == "test")
    drop = bool(options.get("drop_bad_rows")) or run.training.drop_bad
    raw = first_rows(sources, n, drop_bad=drop)
    if refine:
        refined = Refined(run.model, refinement(run, k))
        again = refined.reconstruct(raw, refined.encode(raw))
    else:
        again = Own(run.model, k).coded(raw).output_BD
    _claim(out)
    errors = np.square(raw.astype(np.float64) - again).mean(1)
    files = _arrays(out, raw, again)
    _tell(screen, run.folder or Path(), out, errors, [*files, _table(out, errors, None)])


def _claim(folder: Path) -> None:
    """Make the folder, refusing one that holds anything."""
    if folder.is_dir() and any(folder.iterdir()):
        raise RunError(
            "the output folder is not empty; nothing in it was changed",
            where=str(folder),
            fix="give another --out",
        )
    folder.mkdir(parents=True, exist_ok=True)


def _taken(parts: list[Any], n: int) -> tuple[np.ndarray, np.ndarray | None]:
    """Return the first ``n`` raw samples of all parts, and their labels."""
    import numpy as np

    values, labels = [], []
    left = n or sum(len(part) for part in parts)
    for part in parts:
        count = min(left, len(part))
        if not count:
            continue
        values.append(part.batch(slice(0, count)).numpy())
        found = part.label_array()
        labels += [] if found is None else [found[:count]]
        left -= count
    known = np.concatenate(labels) if labels and len(labels) == len(values) else None
    return np.concatenate(values), known


def _errors(run: Run, raw: np.ndarray, again: np.ndarray) -> np.ndarray:
    """Return each sample's mean squared error in the units that the model sees, (N,)."""
    import torch

    scaled = run.model.preprocessing
    with torch.no_grad():
        device = run.model.device
        gap = scaled(torch.from_numpy(raw).to(device)) - scaled(torch.from_numpy(again).to(device))
    errors: np.ndarray = gap.double().square().flatten(1).mean(1).cpu().numpy()
    return errors


def _pictures(
    folder: Path,
    raw: np.ndarray,
    again: np.ndarray,
    value_range: tuple[float, float] | None,
    *,
    separate: bool,
) -> list[Path]:
    import numpy as np
    from PIL import Image

    from isthmus.figures import to_bytes
    from isthmus.files import written_whole

    bounds = value_range or (float(raw.min()), float(raw.max()) or 1.0)
    digits = len(str(max(len(raw) - 1, 1)))
    written: list[Path] = []
    for index, pair in enumerate(zip(raw, again, strict=True)):
        first, second = (_channels_last(to_bytes(image, bounds)) for image in pair)
        name = f"{index:0{digits}d}"
        if separate:
            found = {f"{name}-original.png": first, f"{name}-reconstruction.png": second}
        else:
            times = max(1, _SIDE // max(first.shape[:2]))
            sides = [
                np.kron(image, np.ones((times, times, 1), np.uint8)) for image in (first, second)
            ]
            gap = np.full((sides[0].shape[0], max(2, times // 2), sides[0].shape[2]), 255, np.uint8)
            found = {f"{name}.png": np.concatenate([sides[0], gap, sides[1]], axis=1)}
        for file, pixels in found.items():
            with written_whole(folder / file) as temporary:
                Image.fromarray(pixels.squeeze(-1) if pixels.shape[-1] == 1 else pixels).save(
                    temporary, format="PNG"
                )
            written.append(folder / file)
    return written


def _channels_last(image: np.ndarray) -> np.ndarray:
    """Return (H, W, 1 or 3); other channel counts are shown as their mean."""
    import numpy as np

    if image.shape[0] not in (1, 3):
        image = image.mean(0, keepdims=True).astype(np.uint8)
    return np.moveaxis(image, 0, -1)


def _arrays(folder: Path, raw: np.ndarray, again: np.ndarray) -> list[Path]:
    import numpy as np

    from isthmus.files import written_whole

    written = []
    for name, values in (("originals.npy", raw), ("reconstructions.npy", again)):
        with written_whole(folder / name) as temporary, temporary.open("wb") as file:
            np.save(file, values, allow_pickle=False)
        written.append(folder / name)
    return written


def _table(folder: Path, errors: np.ndarray, labels: np.ndarray | None) -> Path:
    import numpy as np

    from isthmus.figures import Table

    columns: dict[str, Any] = {"sample": np.arange(len(errors)), "mse": errors}
    if labels is not None:
        columns["label"] = labels
    return Table(columns).to_csv(folder / "errors.csv")
