"""What a command answers -> text for people or one JSON object, errors and exit codes."""

import functools
import json
import math
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import typer

from bayes_infolaw.errors import InputError, RefusedError

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console

__all__ = [
    "BAD_INPUT",
    "FAILED",
    "REFUSED",
    "STOPPED",
    "UNCONVERGED",
    "Answer",
    "command",
    "frame_rows",
    "monte_carlo",
    "print_frame",
    "print_notes",
    "progress",
    "to_json",
    "write_answer",
]

BAD_INPUT, UNCONVERGED, REFUSED = 2, 3, 4
FAILED, STOPPED = 3, 130  # of training: some runs have no loss; the same command goes on
PIPE_WIDTH = 160


@dataclass(frozen=True)
class Answer:
    """A command's answer: the JSON object, how to show it to people, and the exit code."""

    payload: dict[str, Any]
    show: Callable[["Console"], None]
    code: int = 0


def command(function: Callable[..., Answer]) -> Callable[..., None]:
    """Make a command of a function with a parameter ``as_json`` that returns an `Answer`.

    While it works, anything printed goes to stderr. InputError ends with exit code 2 and
    RefusedError with 4, each as one line on stderr.
    """

    @functools.wraps(function)
    def run(**options: Any) -> None:
        answer = _attempt(function, options)
        if options["as_json"]:
            sys.stdout.write(to_json(answer.payload) + "\n")
        else:
            answer.show(_console())
        if answer.code:
            raise typer.Exit(answer.code)

    return run


def _attempt(function: Callable[..., Answer], options: dict[str, Any]) -> Answer:
    try:
        with redirect_stdout(sys.stderr), warnings.catch_warnings():
            warnings.simplefilter("default", UserWarning)
            warnings.showwarning = _say_warning
            return function(**options)
    except InputError as error:
        _fail(str(error), BAD_INPUT)
    except RefusedError as error:
        _fail(str(error), REFUSED)
    except OSError as error:
        if error.filename is None:
            raise
        _fail(f"{error.filename}: {error.strerror}", BAD_INPUT)
    except ImportError as error:
        if "pip install" not in str(error):
            raise
        _fail(str(error), BAD_INPUT)


def _fail(message: str, code: int) -> NoReturn:
    sys.stderr.write(f"error: {' '.join(message.split())}\n")
    raise typer.Exit(code) from None


def _say_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    sys.stderr.write(f"warning: {' '.join(str(message).split())}\n")


def to_json(payload: Mapping[str, Any]) -> str:
    """One JSON object; numbers that are not finite become null."""
    return json.dumps(_plain(payload), allow_nan=False, indent=2)


def write_answer(payload: Mapping[str, Any], path: str | None) -> None:
    """Write the JSON object to a file; to none where the path is None."""
    if path is None:
        return
    from bayes_infolaw.tables.files import write_text

    write_text(to_json(payload) + "\n", Path(path))


def monte_carlo(error: float | None, spec: str) -> str:
    """A standard error as words that follow a number, by a format spec; nothing for None."""
    return "" if error is None else f", Monte Carlo standard error {error:{spec}}"


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if hasattr(value, "tolist"):  # numpy scalars and arrays
        return _plain(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, bool | int | str) else str(value)


def frame_rows(frame: "pd.DataFrame") -> list[dict[str, Any]]:
    """Rows of a data frame as dicts; a missing value of any kind becomes None."""
    clean = frame.astype(object).where(frame.notna(), None)
    return [{str(k): v for k, v in row.items()} for row in clean.to_dict(orient="records")]


def _console() -> "Console":
    from rich.console import Console

    width = None if sys.stdout.isatty() else PIPE_WIDTH
    return Console(file=sys.stdout, width=width, markup=False, highlight=False, emoji=False)


def print_frame(
    console: "Console",
    frame: "pd.DataFrame",
    title: str = "",
    formats: Mapping[str, str] | None = None,
) -> None:
    """Print a data frame; numbers by `formats` (format specs by column), else four digits."""
    from rich import box
    from rich.table import Table

    if title:
        console.print(title, style="bold", soft_wrap=True)
    table = Table(box=box.SIMPLE_HEAD)
    kinds = [frame[name].dtype.kind in "fiu" for name in frame]
    for name, number in zip(frame.columns, kinds, strict=True):
        table.add_column(str(name), justify="right" if number else "left", overflow="fold")
    specs = formats or {}
    for row in frame.itertuples(index=False):
        cells = zip(frame.columns, row, strict=True)
        table.add_row(*[_cell(value, specs.get(str(name), ".4g")) for name, value in cells])
    console.print(table)


def _cell(value: Any, spec: str) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "-"
    if isinstance(value, bool) or type(value).__name__ == "bool":
        return "yes" if value else "no"
    return format(value, spec) if isinstance(value, float) else str(value)


def print_notes(console: "Console", notes: Iterable[str], head: str = "Notes") -> None:
    """Print sentences as a list, or nothing where there are none."""
    lines = [f"- {note}" for note in notes]
    if lines:
        console.print("\n".join([f"{head}:", *lines]), soft_wrap=True)


@contextmanager
def progress(label: str) -> Iterator[Callable[[int, int], None]]:
    """Show (done, total) on stderr: a bar on a terminal, else a line at every quarter."""
    if not sys.stderr.isatty():
        yield _quarters(label)
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(file=sys.stderr), transient=True) as bar:
        task = bar.add_task(label, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _quarters(label: str) -> Callable[[int, int], None]:
    said = 0

    def say(done: int, total: int) -> None:
        nonlocal said
        quarter = 4 * done // max(total, 1)
        if quarter > said:
            said = quarter
            sys.stderr.write(f"{label}: {25 * quarter} %\n")

    return say
