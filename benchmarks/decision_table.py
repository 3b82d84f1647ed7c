"""Rows of scores -> the markdown tables."""

import numpy as np
import pandas as pd

SIGNIFICANT = 2
_MEASURED = """# On measured ladders

Smaller sizes fitted; measured loss of the recipe ranked first among those measured
at the size, above the least measured there, in percent of it. Noise of a run: 0.3 to 0.4 %.
`all`: every smaller run; the cut at 30 epochs is that of `benchmarks/ladder.py`, made after the
ladder was seen (beyond it the loss rises while training goes on, in no form of the law).
"""
PREFACE = """# Ways of choosing a recipe, from the same runs

Written by `benchmarks/decision_baselines.py`. Regret: true loss of the recommended recipe at the
target less the least there is (exact, from the true law), in percent of that loss. Columns by kind
of truth are medians over the repetitions; `mean, all` is over all kinds, with its standard error.
Spearman: median correlation of predicted and true losses of 200 random recipes (ranking at one
small scale: of the recipes measured there). `in 90 %`: share of new runs' losses inside 90 %
intervals; `gaps in 90 %`: share of noise-free differences to another recipe. The 200 intervals of a
repetition share its level, so that 100 repetitions tell coverage to some 4 percentage points.

Kinds: `published` constants; `prior` of `infolaw`; `constant` normaliser; `irreducible` loss of 1.5
nats; `density` steps that are not equal. Noise sd 0.0015. Designs: `paper`, 27 runs (9 sizes, HQ,
MQ, LQ, S = K; 8.7e21 FLOP); `spread`, 48 runs of random recipes (4 sizes, S = K and K/4; 1.4e22
FLOP). The 200 extra runs of 252M (1.1e22 FLOP) are in neither. Forms: `infolaw`, `_constant`,
`_irreducible`, `_monotone`, one of which holds each truth; InfoLaw alone is the first. Every truth
here counts information as the law does, saturating with repetition; the ladders need not.

"""


def simulated_tables(rows: pd.DataFrame) -> str:
    """One table a design and target: regret by kind of truth, then what holds over all kinds."""
    parts = []
    for (design, target), part in rows.groupby(["design", "target"], sort=False):
        parts.append(f"## Simulated: design `{design}`, target 7.7B at 425B tokens, {target}\n")
        parts.append(_simulated(part))
    return "\n".join(parts) + "\n"


def _simulated(rows: pd.DataFrame) -> str:
    kinds = list(rows["kind"].unique())
    head = ["method", *kinds, "mean, all", "90 % of cases below", "Spearman", "in 90 %"]
    lines = [_line([*head, "gaps in 90 %"]), "|---" * (len(head) + 1) + "|"]
    for method, part in rows.groupby("method", sort=False):
        by_kind = part.groupby("kind")["regret_percent"].median()
        regrets = [_number(by_kind.get(kind, np.nan)) for kind in kinds]
        every = part["regret_percent"].dropna()
        lines.append(_line([method, *regrets, *_overall(part, every)]))
    return "\n".join(lines) + "\n"


def _overall(part: pd.DataFrame, regrets: pd.Series) -> list[str]:
    """Mean regret with its standard error, 90th percentile, median rank correlation, coverage."""
    if not len(regrets):
        return [", ".join(sorted(set(part["note"]) - {""})), "", "", "", ""]
    error = regrets.std(ddof=1) / np.sqrt(len(regrets))
    covered = [part[name].mean() for name in ("coverage", "gap_coverage")]
    return [
        f"{_number(regrets.mean())} ± {_number(error)}",
        _number(regrets.quantile(0.9)),
        "" if part["spearman"].isna().all() else f"{part['spearman'].median():.3f}",
        *("" if np.isnan(share) else f"{100 * share:.0f}" for share in covered),
    ]


def ladder_table(rows: pd.DataFrame) -> str:
    """One table a ladder and variant: measured regret at each size, in percent of the loss."""
    parts = [_MEASURED]
    for (study, variant), part in rows.groupby(["study", "variant"], sort=False):
        sizes = list(part["size"].unique())
        parts.append(f"## Measured: `{study}`, {variant}\n")
        head = ["method", *(f"{size / 1e3:.0f}k" for size in sizes), "Spearman", "in 90 %"]
        lines = [_line(head), "|---" * len(head) + "|"]
        for method, own in part.groupby("method", sort=False):
            by_size = own.set_index("size")["regret_percent"]
            regrets = [_number(by_size.get(size, np.nan)) for size in sizes]
            lines.append(_line([method, *regrets, *_ladder_overall(own)]))
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


def _ladder_overall(own: pd.DataFrame) -> list[str]:
    ranks, covered = own["spearman"].mean(), own["coverage"].mean()
    if own["regret"].isna().all():
        return [", ".join(sorted(set(own["note"]) - {""})), ""]
    shown = "" if np.isnan(covered) else f"{100 * covered:.0f}"
    return ["" if np.isnan(ranks) else f"{ranks:.2f}", shown]


def _number(value: float) -> str:
    if not np.isfinite(value):
        return ""
    return "0" if value == 0 else f"{float(f'{value:.{SIGNIFICANT}g}'):g}"


def _line(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"
