"""A row's K and S: as they stand, by overtraining degree, by ratio, or by a target's repetition."""

from bayes_infolaw.harness.shapes import Shape
from bayes_infolaw.harness.sweep.cells import Row
from bayes_infolaw.laws.overtraining import overtraining_degree, tokens_at_degree
from bayes_infolaw.tables.schema import OVERTRAINING_TOLERANCE

__all__ = ["SOURCE_COLUMNS", "TOKEN_COLUMNS", "source_of", "tokens_of"]

TOKEN_COLUMNS = ("tokens", "overtraining")
SOURCE_COLUMNS = ("source_tokens", "source_ratio")
SOURCE_TOLERANCE = 0.01


def tokens_of(row: Row, shape: Shape) -> int:
    """K wanted: ``tokens``, else K at the degree m of ``overtraining``, M that of the shape.

    Raises
    ------
    InputError
        Neither is given, or both and they are more than 15 % apart in m.
    """
    if "tokens" in row:
        tokens = round(row.positive("tokens"))
        _check_degree(row, shape, tokens)
        return tokens
    if "overtraining" not in row:
        row.fail("tokens", "tokens or overtraining is needed", "nothing")
    return round(float(tokens_at_degree(shape.flops_per_token, row.positive("overtraining"))))


def _check_degree(row: Row, shape: Shape, tokens: int) -> None:
    if "overtraining" not in row:
        return
    degree = float(overtraining_degree(shape.flops_per_token, tokens))
    if abs(row.positive("overtraining") / degree - 1) > OVERTRAINING_TOLERANCE:
        rule = f"must be within {OVERTRAINING_TOLERANCE:.0%} of the degree of tokens, {degree:.4g}"
        row.fail("overtraining", f"{rule}, or be left out")


def source_of(row: Row, tokens: int, ratio: float | None = None) -> int:
    """S: ``ratio`` x K where there is one, else ``source_tokens``, else ``source_ratio`` x K.

    Parameters
    ----------
    row : Row
    tokens : int
        K as it will be trained, in whole batches.
    ratio : float, optional
        S / K of a target whose repetition is to be matched.

    Raises
    ------
    InputError
        None is given, or both columns and they are more than 1 % apart.
    """
    if ratio is not None:
        return max(1, round(ratio * tokens))
    if "source_tokens" not in row:
        if "source_ratio" not in row:
            row.fail("source_tokens", "source_tokens or source_ratio (S / K) is needed", "nothing")
        return max(1, round(row.positive("source_ratio") * tokens))
    source = row.positive("source_tokens")
    if "source_ratio" in row:
        implied = source / tokens
        if abs(row.positive("source_ratio") / implied - 1) > SOURCE_TOLERANCE:
            rule = f"must be S / K = {implied:.4g} as source_tokens has it, or be left out"
            row.fail("source_ratio", rule)
    return max(1, round(source))
