"""What the search for the next run answers: candidates by rank, a batch, and whether to stop."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from bayes_infolaw.decisions.recipe_set import RecipeSet
from bayes_infolaw.errors import InputError

__all__ = ["ESS_MIN", "CandidateValue", "NextRun", "SearchSettings", "decided", "ranked"]

ESS_MIN = 100.0
"""Median effective sample size below which reweighted draws are not trusted: refit instead."""


@dataclass(frozen=True)
class SearchSettings:
    """How to search; `outcomes` is a power of two, `recipes` the clusters of optima."""

    ordered: bool = False  # over all recipes; `allowed` has an ordering of its own
    allowed: RecipeSet | None = None  # at the target; None: all recipes, or all ordered ones
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
        if self.ordered and self.allowed is not None and self.allowed.ordering != "shares":
            kind = self.allowed.ordering
            raise InputError(f"ordered: allowed must have ordering 'shares' as well, got {kind!r}")
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
    repetition: float  # of the bucket that its runs repeat most
    beyond: dict[str, float]  # factors beyond the fitted compute, repetition, degree; 1 at the edge
    rows: tuple[dict[str, Any], ...]  # columns of its runs
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
    value_per_nat: float  # FLOP per nat (loss unit)
    value_per_nat_given: bool  # else from the law's slope at the target
    target_flop: float
    loss_unit: str
    n_recipes: int
    draws: int

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return asdict(self)


def decided(found: NextRun, candidates: Sequence[CandidateValue], rank_by: str) -> NextRun:
    """The answer with these candidates: ranked, and whether to stop.

    A batch of one is the first of them.
    """
    by_rank = tuple(ranked(candidates, rank_by))
    batch = found.batch if len(found.batch) > 1 else by_rank[:1]
    stop, reason = _verdict(found, by_rank, batch, rank_by)
    return replace(found, stop=stop, reason=reason, candidates=by_rank, batch=batch)


def _key(rank_by: str) -> Callable[[CandidateValue], tuple[float, float]]:
    if rank_by == "value":
        return lambda c: (-c.value_per_flop, -c.information_per_flop)
    return lambda c: (-c.information_per_flop, -c.value_per_flop)


def ranked(candidates: Sequence[CandidateValue], rank_by: str) -> list[CandidateValue]:
    """Candidates by falling worth, or information, per FLOP; ties by the other."""
    return sorted(candidates, key=_key(rank_by))


class _Offer(NamedTuple):
    """What could be bought: its name, the regret it takes off (loss unit) and its FLOP."""

    name: str
    gain: float
    flop: float


def _verdict(
    found: NextRun, by_rank: Sequence[CandidateValue], batch: Sequence[CandidateValue], rank_by: str
) -> tuple[bool, str]:
    """Stop when neither a candidate nor the batch gains what it costs, in FLOP at the target."""
    offers = [_Offer(c.run, c.regret_reduction, c.flop) for c in by_rank]
    if len(batch) > 1:
        gain, flop = (sum(getattr(c, name) for c in batch) for name in ("regret_reduction", "flop"))
        offers.append(_Offer(f"the batch of {len(batch)}", gain, flop))
    best = max(offers, key=lambda offer: offer.gain / offer.flop)
    if best.gain * found.value_per_nat >= best.flop:
        return False, " ".join([*_first(by_rank, best, rank_by), _pays(found, best), _price(found)])
    if best.gain <= 0:
        return (
            True,
            "no candidate's outcome would change the recipe, so that none is worth its cost.",
        )
    perfect = (
        f"Perfect information would lower it by {found.evpi:.3g} {found.loss_unit}, "
        f"worth {found.evpi * found.value_per_nat:.3g} FLOP."
    )
    said = ["nothing on offer is worth its cost. The best for its price:", _pays(found, best)]
    return True, " ".join([*said, perfect, _price(found)])


def _first(by_rank: Sequence[CandidateValue], best: _Offer, rank_by: str) -> list[str]:
    """What joins the first candidate to another, or the batch, whose worth is told."""
    first = by_rank[0]
    if best.name not in {c.run for c in by_rank}:
        return ["As a whole,"]
    if rank_by != "information" or first.run == best.name:
        return []
    told = f"{first.information_gain:.3g} nats about what decides for {first.flop:.3g} FLOP"
    return [f"{first.run} tells most for its price, {told}. Going on pays:"]


def _pays(found: NextRun, offer: _Offer) -> str:
    worth = offer.gain * found.value_per_nat
    return (
        f"{offer.name} costs {offer.flop:.3g} FLOP and, by a better choice of recipe, lowers the "
        f"target's expected loss by {offer.gain:.3g} {found.loss_unit} on average, worth "
        f"{worth:.3g} FLOP."
    )


def _price(found: NextRun) -> str:
    """What a nat is worth, and where that number is from."""
    unit = found.loss_unit.replace("nats", "nat").replace("bits", "bit")
    head = f"One {unit} is taken to be worth {found.value_per_nat:.3g} FLOP"
    if found.value_per_nat_given:
        return f"{head}, as given."
    less = 0.01 * found.target_flop / found.value_per_nat
    return (
        f"{head}, the price of buying it with a larger target: by the law's slope there, 1 % more "
        f"than its {found.target_flop:.3g} FLOP lowers the expected loss by {less:.2g} "
        f"{found.loss_unit}."
    )
