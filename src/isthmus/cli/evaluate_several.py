"""`isthmus evaluate` for a run of several modalities."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from isthmus.cli.multimodal_options import measuring_options
from isthmus.cli.screen import Screen
from isthmus.errors import ConfigError

if TYPE_CHECKING:
    from isthmus.runs.multimodal import MultimodalRun

__all__ = ["evaluate_several"]


def evaluate_several(
    run: MultimodalRun, data: str | None, given: dict[str, Any], screen: Screen, k: int | None
) -> None:
    """Measure a run by the whole protocol, on its own data or on others."""
    from isthmus.cli.multimodal_data import seen_by
    from isthmus.cli.multimodal_numbers import show_report
    from isthmus.cli.multimodal_values import measuring

    known = {option.name for option in measuring_options()}
    odd = sorted(set(given) - known) or (["k"] if k is not None else [])
    if odd:
        raise ConfigError(
            f"--{odd[0].replace('_', '-')} means nothing for a run of several modalities",
            where=run.name,
            fix="leave it out",
        )
    options, judges = measuring(given)
    run.judge_settings = judges
    if data is None:
        report = run.evaluate(options=options, tell=screen.say)
    else:
        report = run.evaluate(seen_by(run, data), options, tell=screen.say)
    if screen.as_json:
        screen.json({"run": str(run.folder), "metrics": report.as_json()})
        return
    screen.line(f"{run.preset} on {data or run.origin.name}", style="bold")
    show_report(screen, report)
