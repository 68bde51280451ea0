"""What a sweep has to know of a kind of model; each family says it in its own room."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self, TypeVar

from isthmus.errors import ConfigError

if TYPE_CHECKING:
    from isthmus.runs.compare import Comparison
    from isthmus.runs.holding import Held
    from isthmus.runs.multimodal.comparing import MultimodalComparison
    from isthmus.runs.rows import Row
    from isthmus.runs.sweep_axes import Axes
    from isthmus.runs.sweep_work import Work
    from isthmus.training import Watch

__all__ = ["NamedSource", "Source", "SweepFamily", "cannot_hold", "measured_by"]

E = TypeVar("E")


class Source(Protocol):
    """Where data are; small, and open to every process."""

    def open(self) -> Any:
        """Load the data, or map them."""


class SweepFamily(Protocol):
    """A preset of one kind of model, and how a sweep trains it, reads it and draws it.

    It is sent to the processes of a sweep, so it is small. What is called ``data`` is what this
    kind of model is trained on, loaded.
    """

    @property
    def preset(self) -> Any:
        """The preset that a sweep starts from."""

    @property
    def measure(self) -> str:
        """The column that is told of each run when it ends."""

    @property
    def shown(self) -> tuple[str, ...]:
        """The columns of the table that people read."""

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that every row has, those of failed runs too."""

    def changed(self, settings: Mapping[str, Any]) -> Self:
        """Return this with some settings of the preset changed."""

    def check(self, settings: Mapping[str, Any], data: Any) -> None:
        """Put a run together, so that what can't work is known before anything runs.

        Raises
        ------
        ConfigError
            If a setting is unknown, a value doesn't fit, or no such model can be built.
        """

    def held(
        self, what: str, fixed: Mapping[str, Any], settings: Mapping[str, Any], data: Any
    ) -> Held:
        """Adjust settings so that a quantity stays what the fixed ones give.

        Raises
        ------
        ConfigError
            If this kind of model has no such quantity, or no setting reaches it.
        """

    def fingerprint(self, data: Any) -> str:
        """Return what tells these data from others."""

    def named(self, source: str, options: Mapping[str, Any], data: Any) -> NamedSource:
        """Return how another process opens data that have a name or a path."""

    def stored(self, data: Any, folder: Path) -> Source:
        """Lay data that are in memory out in a folder.

        Raises
        ------
        ConfigError
            If this kind of data can't be.
        """

    def prepare(self, place: Path, data: Any) -> None:
        """Make what the runs of a sweep share, once, in the sweep's folder."""

    def train(self, work: Work, data: Any, *, resume: bool, watch: Watch) -> None:
        """Train, measure and write one run, or go on with it."""

    def row(self, folder: Path) -> Row:
        """Read the row of a run from its folder."""

    def axes(self, rows: Sequence[Row], varied: Sequence[str], hold: str | None) -> Axes:
        """Choose what the trade-off figure shows."""

    def comparison(
        self, folders: Sequence[Path], splits: tuple[str, ...]
    ) -> Comparison | MultimodalComparison:
        """Compare the runs in some folders, seeds together."""


class NamedSource(Source, Protocol):
    """Data that every process loads for itself."""

    @property
    def source(self) -> str:
        """A named set, or a path in full."""

    @property
    def options(self) -> Mapping[str, Any]:
        """How they are loaded."""


def cannot_hold(what: str, models: str) -> ConfigError:
    """Return the error for a quantity that a kind of model does not have."""
    return ConfigError(f"a sweep of {models} can't hold {what}", fix="leave --hold out")


def measured_by(evaluation: object, kind: type[E]) -> E | None:
    """Return how to measure, if it is for this kind of model.

    Raises
    ------
    ConfigError
        If it is for another.
    """
    if evaluation is None or isinstance(evaluation, kind):
        return evaluation
    raise ConfigError(
        f"this kind of model is measured by {kind.__name__} settings",
        why=f"got {type(evaluation).__name__}",
    )
