"""Candidate runs -> the worth of each to the decision, a batch of them, and whether to stop."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from bayes_infolaw.decisions.draws import TargetDraws, pool
from bayes_infolaw.decisions.next_run.choices import Choices, recipe_choices
from bayes_infolaw.decisions.next_run.outcomes import run_outcomes
from bayes_infolaw.decisions.next_run.value import OutcomeStudy, OutcomeValue
from bayes_infolaw.decisions.next_run.worth import flop_per_nat, target_compute
from bayes_infolaw.errors import InputError
from bayes_infolaw.posterior.state import FittedModel
from bayes_infolaw.posterior.target import law_at_target
from bayes_infolaw.tables.runs import RunTable

__all__ = [
    "ESS_MIN",
    "CandidateValue",
    "NextRun",
    "Prepared",
    "SearchSettings",
    "decided",
    "next_run",
    "prepare",
]

Array = np.ndarray
Progress = Callable[[int, int], None]
ESS_MIN = 100.0
"""Median effective sample size below which reweighted draws are not trusted: refit instead."""


@dataclass(frozen=True)
class SearchSettings:
    """How to search; `outcomes` is a power of two, `recipes` the clusters of optima."""

    ordered: bool = False
    outcomes: int = 128
    recipes: int = 96
    q: int = 1
    rank_by: str = "value"
    value_per_nat: float | None = None  # FLOP per nat; None: from the law's slope at the target
    seed: int = 0

    def __post_init__(self) -> None:
        if self.q < 1:
            raise InputError(f"q: must be a whole number >= 1, got {self.q!r}")
        if self.rank_by not in ("value", "information"):
            raise InputError(f"rank_by: must be value or information, got {self.rank_by!r}")
        worth = self.value_per_nat
        if worth is not None and not (np.isfinite(worth) and worth > 0):
            raise InputError(f"value_per_nat: must be FLOP per nat > 0, got {worth!r}")


@dataclass(frozen=True)
class CandidateValue:
    """What one candidate (a run, or runs bought together) would bring."""

    run: str
    runs: tuple[str, ...]
    flop: float
    regret_reduction: float  # loss unit
    regret_reduction_low: float
    standard_error: float
    information_gain: float  # nats, about what decides
    form_information_gain: float  # nats, about which form holds
    ess: float
    refit: bool  # the draws are too few to reweight: see `refit`
    value_per_flop: float  # regret_reduction / flop
    information_per_flop: float
    benefit_per_cost: float  # regret_reduction x value of a nat, over flop
    refit_outcomes: int | None = None  # the regret reduction is from fits to so many outcomes


@dataclass(frozen=True)
class NextRun:
    """The answer: stop or go on, the candidates by rank, and the batch."""

    stop: bool
    reason: str
    candidates: tuple[CandidateValue, ...]
    batch: tuple[CandidateValue, ...]  # what each adds to those before it
    recipe: dict[str, float]  # today's choice
    expected_loss: float
    evpi: float  # loss unit: what any runs could still gain
    evpi_kept: float  # share of it within the finite set of recipes
    value_per_nat: float  # FLOP per nat
    target_flop: float
    n_recipes: int
    draws: int

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Prepared:
    """A decision ready to be asked about runs."""

    draws: TargetDraws
    choices: Choices
    study: OutcomeStudy
    names: tuple[str, ...]  # C candidates
    rows: tuple[tuple[int, ...], ...]  # positions in the plan of each candidate's runs
    flop: Array  # (C,)


def next_run(
    fits: Mapping[str, FittedModel],
    plan: RunTable,
    target: Mapping[str, Any],
    weights: Mapping[str, float] | None = None,
    settings: SearchSettings | None = None,
    progress: Progress | None = None,
) -> NextRun:
    """Say which run to pay for next, if any.

    Parameters
    ----------
    fits : mapping of form name to FittedModel
    plan : RunTable
        Candidate runs. Runs with the same value in a column ``set`` are bought together.
    target : mapping
        Arguments of `posterior.target.law_at_target`.
    weights : mapping, optional
        Of the forms; equal by default.
    settings : SearchSettings, optional
    progress : callable, optional
        Called with (candidates done, candidates in all) of the first round.

    Returns
    -------
    NextRun
        Candidates by falling worth per FLOP. A candidate's regret reduction is the expected drop,
        at the target, of the expected loss of the best recipe given its outcome.

    Raises
    ------
    InputError
        A run outside a law's domain, or a bad setting.
    """
    chosen = settings or SearchSettings()
    ready = prepare(fits, plan, target, weights, chosen)
    worth = _worth(fits, ready, target, weights, chosen)
    values = _values(ready, (), range(len(ready.names)), progress)
    recipe = dict(zip(ready.draws.buckets, ready.choices.recipes[0].tolist(), strict=True))
    found = NextRun(
        stop=True,
        reason="",
        candidates=(),
        batch=tuple(_batch(ready, values, worth, chosen)),
        recipe=recipe,
        expected_loss=ready.choices.expected_loss,
        evpi=ready.choices.evpi_free,
        evpi_kept=ready.choices.evpi_kept,
        value_per_nat=worth,
        target_flop=target_compute(target),
        n_recipes=len(ready.choices.recipes),
        draws=len(ready.draws),
    )
    return decided(found, _described(ready, values, worth), chosen.rank_by)


def decided(found: NextRun, candidates: Sequence[CandidateValue], rank_by: str) -> NextRun:
    """The answer with these candidates: ranked, and whether to stop.

    A batch of one is the first of them.
    """
    ranked = _ranked(list(candidates), rank_by)
    batch = found.batch if len(found.batch) > 1 else tuple(ranked[:1])
    stop, reason = _verdict(found, ranked, batch)
    return replace(found, stop=stop, reason=reason, candidates=tuple(ranked), batch=batch)


def prepare(
    fits: Mapping[str, FittedModel],
    plan: RunTable,
    target: Mapping[str, Any],
    weights: Mapping[str, float] | None,
    settings: SearchSettings,
) -> Prepared:
    """Draws at the target, recipes to decide between, and outcomes of the candidates."""
    laws = {name: law_at_target(fit, **target) for name, fit in fits.items()}
    draws = pool(laws, weights)
    choices = recipe_choices(
        laws, draws, ordered=settings.ordered, count=settings.recipes, seed=settings.seed
    )
    outcomes = run_outcomes(fits, laws, draws, plan)
    names, rows = _candidates(plan)
    most = max(len(r) for r in rows)
    study = OutcomeStudy.make(
        choices,
        outcomes,
        draws,
        n_outcomes=settings.outcomes,
        most_runs=sum(sorted(map(len, rows))[-settings.q :]) if settings.q > 1 else most,
        seed=settings.seed,
    )
    compute = plan.arrays().compute
    flop = np.array([compute[list(r)].sum() for r in rows])
    return Prepared(draws, choices, study, names, rows, flop)


def _candidates(plan: RunTable) -> tuple[tuple[str, ...], tuple[tuple[int, ...], ...]]:
    """Names and row positions; rows of one ``set`` are one candidate, an empty one stands alone."""
    runs = plan.frame["run"].astype(str)
    if "set" not in plan.frame:
        return tuple(runs), tuple((i,) for i in range(len(plan)))
    groups: dict[str, list[int]] = {}
    for i, (run, name) in enumerate(zip(runs, plan.frame["set"], strict=True)):
        alone = name is None or name != name or str(name) == ""  # NaN is not itself
        groups.setdefault(run if alone else str(name), []).append(i)
    return tuple(groups), tuple(tuple(rows) for rows in groups.values())


def _worth(
    fits: Mapping[str, FittedModel],
    ready: Prepared,
    target: Mapping[str, Any],
    weights: Mapping[str, float] | None,
    settings: SearchSettings,
) -> float:
    if settings.value_per_nat is not None:
        return settings.value_per_nat
    shares = weights or dict.fromkeys(fits, 1.0)
    total = sum(shares.values())
    scaled = {name: value / total for name, value in shares.items()}
    return flop_per_nat(fits, scaled, target, ready.choices.recipes[0])


def _values(
    ready: Prepared,
    given: Sequence[int],
    candidates: Sequence[int],
    progress: Progress | None = None,
) -> dict[int, OutcomeValue]:
    """Value of each candidate (positions) together with the given ones."""
    before = [row for c in given for row in ready.rows[c]]
    ready.study.keep(before) if before else ready.study.cache.clear()
    values = {}
    for done, c in enumerate(candidates, start=1):
        values[c] = ready.study.value([*before, *ready.rows[c]])
        if progress:
            progress(done, len(candidates))
    return values


def _described(
    ready: Prepared, values: Mapping[int, OutcomeValue], worth: float
) -> list[CandidateValue]:
    return [_candidate(ready, c, value, worth) for c, value in values.items()]


def _candidate(ready: Prepared, c: int, value: OutcomeValue, worth: float) -> CandidateValue:
    flop = float(ready.flop[c])
    return CandidateValue(
        run=ready.names[c],
        runs=tuple(ready.study.outcomes.runs[row] for row in ready.rows[c]),
        flop=flop,
        **asdict(value),
        refit=value.ess < ESS_MIN,
        value_per_flop=value.regret_reduction / flop,
        information_per_flop=value.information_gain / flop,
        benefit_per_cost=value.regret_reduction * worth / flop,
    )


def _key(rank_by: str) -> Callable[[CandidateValue], tuple[float, float]]:
    if rank_by == "value":
        return lambda c: (-c.value_per_flop, -c.information_per_flop)
    return lambda c: (-c.information_per_flop, -c.value_per_flop)


def _ranked(candidates: list[CandidateValue], rank_by: str) -> list[CandidateValue]:
    return sorted(candidates, key=_key(rank_by))


def _batch(
    ready: Prepared, alone: Mapping[int, OutcomeValue], worth: float, settings: SearchSettings
) -> list[CandidateValue]:
    """Greedy: each next candidate by what it adds, per FLOP, to those already in the batch."""
    taken: list[int] = []
    chosen: list[CandidateValue] = []
    base, values = OutcomeValue(0.0, 0.0, 0.0, 0.0, 0.0, float("inf")), dict(alone)
    position = {name: c for c, name in enumerate(ready.names)}
    for _ in range(min(settings.q, len(ready.names))):
        added = {c: _added(value, base) for c, value in values.items()}
        best = _ranked(_described(ready, added, worth), settings.rank_by)[0]
        taken.append(position[best.run])
        chosen.append(best)
        if len(chosen) == min(settings.q, len(ready.names)):
            break
        base = values[taken[-1]]
        left = [c for c in range(len(ready.names)) if c not in taken]
        values = _values(ready, taken, left)
    return chosen


def _added(value: OutcomeValue, base: OutcomeValue) -> OutcomeValue:
    """What a larger set gains over a smaller one; its effective sample size stays its own."""
    return replace(
        value,
        regret_reduction=max(value.regret_reduction - base.regret_reduction, 0.0),
        regret_reduction_low=value.regret_reduction_low - base.regret_reduction_low,
        information_gain=max(value.information_gain - base.information_gain, 0.0),
        form_information_gain=max(value.form_information_gain - base.form_information_gain, 0.0),
    )


def _verdict(
    found: NextRun, ranked: Sequence[CandidateValue], batch: Sequence[CandidateValue]
) -> tuple[bool, str]:
    """Stop when neither a candidate nor the batch gains what it costs, in FLOP at the target."""
    worth = found.value_per_nat
    best = max(ranked, key=lambda c: c.benefit_per_cost)
    options = [(f"the best candidate {best.run}", best.regret_reduction, best.flop)]
    if len(batch) > 1:
        gain = sum(c.regret_reduction for c in batch)
        options.append((f"the batch of {len(batch)}", gain, sum(c.flop for c in batch)))
    name, gain, cost = max(options, key=lambda option: option[1] / option[2])
    said = (
        f"{name} lowers the expected loss by {gain:.3g}, worth {gain * worth:.3g} FLOP at "
        f"{worth:.3g} FLOP per nat, and costs {cost:.3g}"
    )
    if gain * worth >= cost:
        return False, said
    return True, f"{said}; perfect information would be worth {found.evpi * worth:.3g} FLOP"
