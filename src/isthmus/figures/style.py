"""How every figure looks: colours, marks and settings, in one place.

Categories take the colours of Okabe and Ito (2008), which stay apart under the common
colour-vision deficiencies, in an order that puts the strongest contrast against white first;
every category has a mark or a dash pattern of its own too, so that hue is never alone. Ramps
are cividis (values from zero up) and a blue-orange map centred on zero (signed values).
"""

from __future__ import annotations

import contextlib
import functools
import math
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "BLACK",
    "BLUE",
    "COLOURS",
    "DASHES",
    "GREY",
    "MARKS",
    "ORANGE",
    "RAMP",
    "SIGNED",
    "colour",
    "dash",
    "draws",
    "fit_height",
    "log_axis",
    "mark",
    "new_figure",
    "plain",
    "short",
    "style",
]

BLUE, ORANGE, BLACK, GREY = "#0072B2", "#D55E00", "#000000", "#8C8C8C"
COLOURS = (BLUE, ORANGE, "#009E73", "#CC79A7", BLACK, "#E69F00", "#56B4E9")
MARKS = ("o", "s", "^", "D", "v", "P", "X", "<", "*", ">")
DASHES: tuple[Any, ...] = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (8, 2)), (0, (2, 1)))
RAMP, SIGNED = "cividis", "PuOr"

_SETTINGS: dict[str, Any] = {
    "font.family": ["DejaVu Sans"],
    "font.size": 10,
    "axes.titlesize": 10.5,
    "axes.labelsize": 10,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "legend.fontsize": 9,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#444444",
    "axes.grid": False,
    "axes.axisbelow": True,
    "grid.color": "#DDDDDD",
    "grid.linewidth": 0.6,
    "lines.linewidth": 1.8,
    "lines.markersize": 5.5,
    "legend.frameon": False,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "hatch.linewidth": 0.6,
    # Names of runs and labels are text, whatever dollar signs they hold.
    "text.parse_math": False,
}
# Settings are the process's, so two threads must not lay them on and off at once.
_ONE_AT_A_TIME = threading.RLock()

P = ParamSpec("P")
R = TypeVar("R")


@contextlib.contextmanager
def style() -> Iterator[None]:
    """Lay the project's settings over Matplotlib's defaults, and put back what was there."""
    import matplotlib.style

    with _ONE_AT_A_TIME, matplotlib.style.context(_SETTINGS, after_reset=True):
        yield


def draws(function: Callable[P, R]) -> Callable[P, R]:
    """Make a drawing function work inside :func:`style`."""

    @functools.wraps(function)
    def styled(*args: P.args, **kwargs: P.kwargs) -> R:
        with style():
            return function(*args, **kwargs)

    return styled


def new_figure(width: float = 7.0, height: float = 4.0, tiles: bool = False) -> Figure:
    """Give an empty figure (inches, 150 dpi, constrained layout) with an Agg canvas.

    ``tiles`` closes the gaps that panels of fixed aspect would leave between them; such figures
    are best finished by :func:`fit_height`.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(
        figsize=(width, height), dpi=150, layout="compressed" if tiles else "constrained"
    )
    FigureCanvasAgg(figure)
    return figure


def fit_height(figure: Figure) -> None:
    """Make a figure as high as what is drawn on it, its width kept."""
    figure.draw_without_rendering()
    figure.set_figheight(figure.get_tightbbox().height + 0.12)


def colour(index: int) -> str:
    """Give the colour of category ``index``; with :func:`mark` unique up to 70 categories."""
    return COLOURS[index % len(COLOURS)]


def mark(index: int) -> str:
    """Give the mark of category ``index``."""
    return MARKS[index % len(MARKS)]


def dash(index: int) -> Any:
    """Give the dash pattern of category ``index``; it shifts when the colours start again."""
    return DASHES[(index + index // len(DASHES)) % len(DASHES)]


def plain(value: float, _position: object = None) -> str:
    """Write a number as a person would: 3 significant figures, no needless exponent."""
    if not math.isfinite(value):
        return "-"
    if value == 0 or 1e-4 <= abs(value) < 1e6:
        text = f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"
    else:
        text = f"{value:.2g}"
    return text.replace("-", "\N{MINUS SIGN}")


def short(text: object, limit: int = 28) -> str:
    """Make a label of any value: one line, at most ``limit`` characters, cut in the middle."""
    line = "".join(c if c.isprintable() else " " for c in str(text)).strip() or "(unnamed)"
    if len(line) > limit:
        keep = limit - 1
        line = line[: keep - keep // 2] + "\N{HORIZONTAL ELLIPSIS}" + line[len(line) - keep // 2 :]
    # Matplotlib leaves labels that start with an underscore out of a legend.
    return f" {line}" if line.startswith("_") else line


def log_axis(axes: Axes, which: str, values: np.ndarray, decades: float = 1.3) -> bool:
    """Make an axis ("x" or "y") logarithmic where positive values span ``decades`` or more.

    Returns
    -------
    bool
        Whether it was made so.
    """
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    finite = values[np.isfinite(values)]
    if finite.size == 0 or finite.min() <= 0:
        return False
    span = math.log10(finite.max()) - math.log10(finite.min())
    if span < decades:
        return False
    (axes.set_xscale if which == "x" else axes.set_yscale)("log")
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_major_locator(LogLocator(subs=(1, 2, 5) if span < 2.2 else (1,)))
    axis.set_major_formatter(FuncFormatter(plain))
    axis.set_minor_formatter(NullFormatter())
    return True
