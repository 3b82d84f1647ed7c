"""A row's size: a preset by name, counts of its own, or the preset nearest to a number."""

import math
from dataclasses import dataclass
from typing import Any

from bayes_infolaw.errors import InputError
from bayes_infolaw.harness.shapes import PRESETS, Shape, find_shape
from bayes_infolaw.harness.sweep.cells import Row, placed

__all__ = ["SHAPE_COLUMNS", "Size", "size_of"]

COUNTS = ("layers", "hidden", "heads", "mlp")
SHAPE_COLUMNS = ("size", *COUNTS, "params_nonembedding", "tied", "seq_len")
NEAR = 0.02
"""A preset this near to the wanted parameters is taken without a word."""
DEFAULT_SEQ_LEN = 256


@dataclass(frozen=True)
class Size:
    """A shape and what people call it."""

    name: str
    shape: Shape


def size_of(row: Row, vocab_size: int) -> tuple[Size, list[str]]:
    """The model of a row, with the corpus's vocabulary, and notes.

    ``size`` wins over counts of its own, these over ``params_nonembedding`` (12 L h^2).

    Raises
    ------
    InputError
        No size, an unknown one, or a count that breaks its rule.
    """
    changes: dict[str, Any] = {"vocab_size": vocab_size}
    if "seq_len" in row:
        changes["seq_len"] = row.whole("seq_len", least=1)
    if "tied" in row:
        changes["tied"] = row.truth("tied")
    try:
        return _size(row, changes)
    except InputError as error:
        raise placed(error, row) from error


def _size(row: Row, changes: dict[str, Any]) -> tuple[Size, list[str]]:
    if "size" in row:
        name = row.text("size")
        size = Size(name, find_shape(name, **changes))
        _check_counts(row, size)
        return size, []
    if "layers" in row or "hidden" in row:
        return Size(*_own_shape(row, changes)), []
    if "params_nonembedding" in row:
        return _nearest(row, changes)
    row.fail("size", "size, layers and hidden, or params_nonembedding is needed", "nothing")


def _check_counts(row: Row, size: Size) -> None:
    for name in COUNTS:
        if name in row and row.whole(name, least=1) != getattr(size.shape, name):
            rule = f"must be that of size {size.name}, {getattr(size.shape, name)}, or left out"
            row.fail(name, rule)


def _own_shape(row: Row, changes: dict[str, Any]) -> tuple[str, Shape]:
    for name in ("layers", "hidden"):
        if name not in row:
            row.fail(name, "is needed beside the other counts", "nothing")
    layers, hidden = row.whole("layers", least=1), row.whole("hidden", least=1)
    for name, preset in PRESETS.items():
        if (preset.layers, preset.hidden) == (layers, hidden) and _agrees(row, preset):
            return name, find_shape(name, **changes)
    heads = row.whole("heads", least=1) if "heads" in row else _heads(row, hidden)
    mlp = row.whole("mlp", least=1) if "mlp" in row else 8 * round(hidden / 3)
    shape = Shape(layers, hidden, heads, mlp, **({"seq_len": DEFAULT_SEQ_LEN} | changes))
    return f"L{layers}h{hidden}", shape


def _agrees(row: Row, preset: Shape) -> bool:
    return all(
        name not in row or row.whole(name, least=1) == getattr(preset, name)
        for name in ("heads", "mlp")
    )


def _heads(row: Row, hidden: int) -> int:
    """Heads of a width near 16 in small models and 64 in large ones, as in the presets."""
    wanted = 16 if hidden < 192 else 32 if hidden < 1024 else 64
    fitting = [n for n in range(1, hidden // 2 + 1) if hidden % n == 0 and hidden // n % 2 == 0]
    if not fitting:
        row.fail("hidden", "must be even")
    return min(fitting, key=lambda heads: abs(math.log(hidden / heads / wanted)))


def _nearest(row: Row, changes: dict[str, Any]) -> tuple[Size, list[str]]:
    wanted = row.positive("params_nonembedding")
    name = min(PRESETS, key=lambda key: abs(math.log(PRESETS[key].nominal / wanted)))
    size = Size(name, find_shape(name, **changes))
    found = size.shape.nominal
    if abs(found / wanted - 1) <= NEAR:
        return size, []
    return size, [f"params_nonembedding {wanted:.6g} is taken as size {name}, {found} parameters."]
