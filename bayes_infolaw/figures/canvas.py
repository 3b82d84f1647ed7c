"""A blank page in the house style, and writing one to a file."""

from pathlib import Path
from typing import Any

from bayes_infolaw.whole_file import write_whole

try:
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator, NullFormatter
except ImportError as error:
    raise ImportError("figures need matplotlib: pip install 'bayes-infolaw[plots]'") from error

__all__ = [
    "BLACK",
    "BLUE",
    "GREEN",
    "GREY",
    "ORANGE",
    "SERIES",
    "Figure",
    "blank",
    "log_ticks",
    "save",
    "tidy",
]

# Okabe and Ito's palette: told apart by readers with any colour vision.
BLUE, ORANGE, GREEN, BLACK, GREY = "#0072B2", "#D55E00", "#009E73", "#222222", "#9A9A9A"
SERIES = (BLUE, ORANGE, GREEN, "#CC79A7", "#E69F00", "#56B4E9")
DPI = 110


def blank(width: float, height: float) -> Figure:
    """An empty figure, inches; it belongs to no pyplot state."""
    return Figure(figsize=(width, height), dpi=DPI, layout="constrained")


def tidy(axes: Any, title: str = "", x: str = "", y: str = "") -> Any:
    """Title and labels; no frame where there is nothing to read."""
    axes.set_title(title, loc="left", fontsize=10, fontweight="bold")
    axes.set_xlabel(x, fontsize=9)
    axes.set_ylabel(y, fontsize=9)
    axes.tick_params(labelsize=8, length=3)
    axes.spines[["top", "right"]].set_visible(False)
    return axes


def log_ticks(axes: Any) -> None:
    """Logarithmic x axis; labels keep apart where it spans less than a power of ten."""
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 4.0)))
    axes.xaxis.set_minor_formatter(NullFormatter())


def save(figure: Figure, path: str | Path) -> None:
    """Write a PNG; the file appears whole or not at all."""
    write_whole(path, lambda temporary: figure.savefig(temporary, format="png"))
