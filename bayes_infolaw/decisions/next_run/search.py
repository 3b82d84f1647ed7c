"""Candidate runs -> the worth of each to the decision, a batch of them, and whether to stop."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from bayes_infolaw.decisions.draws import TargetDraws, form_weights, pool
from bayes_infolaw.decisions.labels import own_target
from bayes_infolaw.decisions.next_run.answer import (
    ESS_MIN,
    CandidateValue,
    NextRun,
    SearchSettings,
    decided,
    ranked,
)
from bayes_infolaw.decisions.next_run.choices import Choices, recipe_choices
from bayes_infolaw.decisions.next_run.facts import CandidateFacts, candidate_facts
from bayes_infolaw.decisions.next_run.outcomes import run_outcomes
from bayes_infolaw.decisions.next_run.value import OutcomeStudy, OutcomeValue
from bayes_infolaw.decisions.next_run.worth import flop_per_nat, target_compute
from bayes_infolaw.errors import InputError
from bayes_infolaw.posterior.state import FittedModel
from bayes_infolaw.posterior.target import law_at_target
from bayes_infolaw.tables.runs import RunTable

__all__ = ["Prepared", "Progress", "next_run", "prepare", "require_candidates"]

Array = np.ndarray
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Prepared:
    """A decision ready to be asked about runs."""

    draws: TargetDraws
    choices: Choices
    study: OutcomeStudy
    names: tuple[str, ...]  # C candidates
    rows: tuple[tuple[int, ...], ...]  # positions in the plan of each candidate's runs
    flop: Array  # (C,)
    facts: tuple[CandidateFacts, ...]


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
        Called with (valuations done, valuations in all): every candidate in the first round of a
        batch, in each later one those that are left.

    Returns
    -------
    NextRun
        Candidates by falling worth per FLOP. A candidate's regret reduction is the expected drop,
        at the target, of the expected loss of the best recipe given its outcome.

    Raises
    ------
    InputError
        A run outside a law's domain, fewer candidates than the batch has, or a bad setting.
    InfeasibleError
        No recipe is allowed.
    """
    chosen = settings or SearchSettings()
    ready = prepare(fits, plan, target, weights, chosen)
    worth = _worth(fits, ready, target, weights, chosen)
    say = _counted(len(ready.names), chosen.q, progress)
    values = _values(ready, (), range(len(ready.names)), say)
    recipe = ready.draws.by_name(ready.choices.recipes[0])
    found = NextRun(
        stop=True,
        reason="",
        candidates=(),
        batch=tuple(_batch(ready, values, worth, chosen, say)),
        recipe=recipe,
        expected_loss=ready.choices.expected_loss,
        evpi=ready.choices.evpi_free,
        evpi_kept=ready.choices.evpi_kept,
        value_per_nat=worth,
        value_per_nat_given=chosen.value_per_nat is not None,
        target_flop=target_compute(target),
        loss_unit=ready.draws.loss_unit,
        n_recipes=len(ready.choices.recipes),
        draws=len(ready.draws),
    )
    return decided(found, _described(ready, values, worth), chosen.rank_by)


def prepare(
    fits: Mapping[str, FittedModel],
    plan: RunTable,
    target: Mapping[str, Any],
    weights: Mapping[str, float] | None,
    settings: SearchSettings,
) -> Prepared:
    """Draws at the target, recipes to decide between, and outcomes of the candidates."""
    require_candidates(plan, settings.q)
    laws = {name: law_at_target(fit, **own_target(fit, target)) for name, fit in fits.items()}
    draws = pool(laws, weights)
    choices = recipe_choices(
        laws,
        draws,
        ordered=settings.ordered,
        allowed=settings.allowed,
        count=settings.recipes,
        seed=settings.seed,
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
    facts = candidate_facts(fits.values(), plan, rows)
    return Prepared(draws, choices, study, names, rows, flop, facts)


def require_candidates(plan: RunTable, q: int) -> None:
    """Raise InputError unless a plan has as many candidates as a batch of `q` takes."""
    count = len(_candidates(plan)[0])
    if q > count:
        raise InputError(f"q: must be at most the number of candidates ({count}), got {q}")


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
    shares = form_weights(tuple(fits), weights)
    return flop_per_nat(fits, shares, target, ready.choices.recipes[0])


def _counted(count: int, q: int, progress: Progress | None) -> Callable[[], None]:
    """Counts the valuations of a greedy batch of `q`: count, then count - 1, ... of them."""
    done, total = itertools.count(1), sum(range(count - q + 1, count + 1))
    return lambda: progress(next(done), total) if progress else None


def _values(
    ready: Prepared, given: Sequence[int], candidates: Sequence[int], say: Callable[[], None]
) -> dict[int, OutcomeValue]:
    """Value of each candidate (positions) together with the given ones."""
    before = [row for c in given for row in ready.rows[c]]
    ready.study.keep(before) if before else ready.study.cache.clear()
    values = {}
    for c in candidates:
        values[c] = ready.study.value([*before, *ready.rows[c]])
        say()
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
        repetition=ready.facts[c].repetition,
        beyond=ready.facts[c].beyond,
        rows=ready.facts[c].rows,
    )


def _batch(
    ready: Prepared,
    alone: Mapping[int, OutcomeValue],
    worth: float,
    settings: SearchSettings,
    say: Callable[[], None],
) -> list[CandidateValue]:
    """Greedy: each next candidate by what it adds, per FLOP, to those already in the batch."""
    taken: list[int] = []
    chosen: list[CandidateValue] = []
    base, values = OutcomeValue(0.0, 0.0, 0.0, 0.0, 0.0, float("inf")), dict(alone)
    position = {name: c for c, name in enumerate(ready.names)}
    for _ in range(settings.q):
        added = {c: _added(value, base) for c, value in values.items()}
        best = ranked(_described(ready, added, worth), settings.rank_by)[0]
        taken.append(position[best.run])
        chosen.append(best)
        if len(chosen) == settings.q:
            break
        base = values[taken[-1]]
        left = [c for c in range(len(ready.names)) if c not in taken]
        values = _values(ready, taken, left, say)
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
