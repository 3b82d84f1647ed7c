"""The options that say which recipes are allowed, and the recipe set they make."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer

from bayes_infolaw.cli.options import named_values, number
from bayes_infolaw.errors import InputError

if TYPE_CHECKING:
    from bayes_infolaw.decisions.draws import TargetDraws
    from bayes_infolaw.decisions.recipe_set import RecipeSet

__all__ = [
    "AtLeast",
    "Budget",
    "Cap",
    "ConstraintOptions",
    "Fix",
    "Floor",
    "KlMax",
    "MaxBuckets",
    "MaxMeanRepetition",
    "MaxRepetition",
    "Ordered",
    "OrderedRepetition",
    "Price",
    "Reference",
    "TvMax",
    "UniqueBudget",
    "UniquePrice",
    "recipe_set",
    "reference_shares",
    "without_bucket",
]

Names = list[str] | None


def _named(help_text: str, metavar: str = "NAME=X") -> Any:
    return typer.Option(metavar=metavar, help=help_text)


Ordered = Annotated[
    bool,
    typer.Option(
        "--ordered/--free",
        help="Keep the paper's ordering (no bucket gets more than a better one), or not.",
    ),
]
OrderedRepetition = Annotated[
    bool,
    typer.Option(
        "--ordered-repetition", help="No bucket is repeated more often than a better one."
    ),
]
Floor = Annotated[Names, _named("Least share of a bucket, once each.")]
Cap = Annotated[Names, _named("Largest share of a bucket, once each.")]
Fix = Annotated[Names, _named("Share that a bucket must have, once each.")]
MaxRepetition = Annotated[
    Names, _named("Largest repetition of every bucket, or of one.", "X|NAME=X")
]
MaxMeanRepetition = Annotated[
    float | None, typer.Option(help="Largest mean repetition: packed over unique tokens.")
]
Reference = Annotated[
    str | None,
    typer.Option(
        "--incumbent",
        metavar="NAME=SHARE,...|FILE",
        help="Today's recipe (or .csv, .json), from which --kl-max and --tv-max measure.",
    ),
]
KlMax = Annotated[
    float | None, typer.Option(help="Largest KL divergence from the incumbent, nats.")
]
TvMax = Annotated[
    float | None, typer.Option(help="Largest total variation from the incumbent, 0 to 1.")
]
Price = Annotated[Names, _named("Price per packed token of a bucket, with --budget; default 0.")]
Budget = Annotated[float | None, typer.Option(help="Largest mean price of a packed token.")]
UniquePrice = Annotated[
    Names, _named("Price per unique token of a bucket, with --unique-budget; default 0.")
]
UniqueBudget = Annotated[
    float | None, typer.Option(help="Largest price of the unique tokens, per packed token.")
]
AtLeast = Annotated[Names, _named("None of a bucket, or at least this share, once each.")]
MaxBuckets = Annotated[
    int | None, typer.Option(help="Largest number of buckets with a positive share.")
]


@dataclass(frozen=True)
class ConstraintOptions:
    """The options as the command line gives them; what is left out constrains nothing."""

    ordered: bool = False
    ordered_repetition: bool = False
    floor: Names = None
    cap: Names = None
    fix: Names = None
    max_repetition: Names = None
    max_mean_repetition: float | None = None
    kl_max: float | None = None
    tv_max: float | None = None
    price: Names = None
    budget: float | None = None
    unique_price: Names = None
    unique_budget: float | None = None
    at_least: Names = None
    max_buckets: int | None = None

    def given(self) -> dict[str, Any]:
        """Those given, by name: empty for all recipes that the source allows."""
        pairs = asdict(self).items()
        return {name: v for name, v in pairs if v is not None and v is not False and v != []}


def recipe_set(
    options: ConstraintOptions, draws: "TargetDraws", incumbent: np.ndarray | None = None
) -> "RecipeSet":
    """The recipes that the options allow at a target.

    Parameters
    ----------
    incumbent : array of shape (D,), optional
        Today's recipe, from which `--kl-max` and `--tv-max` measure.

    Raises
    ------
    InputError
        An unknown bucket, a value that is no number or out of range, options that need or exclude
        each other.
    InfeasibleError
        No recipe satisfies them; naming those that clash.
    """
    from bayes_infolaw.decisions.recipe_set import RecipeSet

    _require_together(options, incumbent)
    buckets = draws.buckets
    floor, cap = _bounds(options, buckets)
    near = options.kl_max is not None or options.tv_max is not None
    allowed = RecipeSet(
        buckets,
        np.asarray(draws.capacity, dtype=float),
        ordering=_ordering(options),
        floor=floor,
        cap=cap,
        max_repetition=_repetition(options.max_repetition, buckets),
        max_mean_repetition=options.max_mean_repetition,
        reference=incumbent if near else None,
        kl_max=options.kl_max,
        tv_max=options.tv_max,
        price=_values(options.price, "--price", buckets),
        budget=options.budget,
        unique_price=_values(options.unique_price, "--unique-price", buckets),
        unique_budget=options.unique_budget,
        min_if_used=_values(options.at_least, "--at-least", buckets),
        max_buckets=options.max_buckets,
    )
    allowed.require_feasible()
    return allowed


def without_bucket(options: ConstraintOptions, name: str) -> ConstraintOptions:
    """The options but for what they say of one bucket by name."""
    changed: dict[str, Any] = {
        field: [text for text in values if text.rpartition("=")[0].strip() != name]
        for field, values in vars(options).items()
        if isinstance(values, list)
    }
    return replace(options, **changed)


def reference_shares(
    text: str | None, options: ConstraintOptions, buckets: tuple[str, ...]
) -> np.ndarray | None:
    """Today's recipe (D,) where it is nothing but what distances are measured from.

    Raises
    ------
    InputError
        No recipe of these buckets, or one that no distance is measured from.
    """
    from bayes_infolaw.recipes.incumbent import parse_recipe

    if text is None:
        return None
    if options.kl_max is None and options.tv_max is None:
        raise InputError("--incumbent: needs --kl-max or --tv-max here, which are missing")
    return parse_recipe(text, buckets)


def _require_together(options: ConstraintOptions, incumbent: np.ndarray | None) -> None:
    for name in ("kl_max", "tv_max"):
        if getattr(options, name) is not None and incumbent is None:
            raise InputError(f"--{name.replace('_', '-')}: needs --incumbent, which is missing")
    for price, budget in (("price", "budget"), ("unique_price", "unique_budget")):
        has_price, has_budget = bool(getattr(options, price)), getattr(options, budget) is not None
        if has_price != has_budget:
            first, second = (price, budget) if has_price else (budget, price)
            first, second = first.replace("_", "-"), second.replace("_", "-")
            raise InputError(f"--{first}: needs --{second}, which is missing")


def _ordering(options: ConstraintOptions) -> Any:
    if options.ordered and options.ordered_repetition:
        raise InputError("--ordered-repetition: goes without --ordered, got both")
    if options.ordered_repetition:
        return "repetition"
    return "shares" if options.ordered else None


def _bounds(options: ConstraintOptions, buckets: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Floors and caps, fixed shares being both."""
    floor = _numbers(options.floor, "--floor", buckets)
    cap = _numbers(options.cap, "--cap", buckets)
    for name, value in _numbers(options.fix, "--fix", buckets).items():
        for given, option in ((floor, "--floor"), (cap, "--cap")):
            if name in given:
                raise InputError(f"--fix: {name!r} has a {option} as well, got {value:g}")
        floor[name] = cap[name] = value
    return _filled(floor, buckets, 0.0), _filled(cap, buckets, 1.0)


def _repetition(values: Names, buckets: tuple[str, ...]) -> np.ndarray | None:
    """``["4", "a=2"]``: 4 for every bucket but a."""
    plain = [text for text in values or () if "=" not in text]
    if len(plain) > 1:
        raise InputError(f"--max-repetition: one for every bucket, got {', '.join(plain)}")
    most = number(plain[0], "--max-repetition") if plain else np.inf
    named = [text for text in values or () if "=" in text]
    if not plain and not named:
        return None
    return _filled(_numbers(named, "--max-repetition", buckets), buckets, most)


def _values(pairs: Names, option: str, buckets: tuple[str, ...]) -> np.ndarray | None:
    numbers = _numbers(pairs, option, buckets)
    return _filled(numbers, buckets, 0.0) if numbers else None


def _numbers(
    pairs: Iterable[str] | None, option: str, buckets: tuple[str, ...]
) -> dict[str, float]:
    named = named_values(pairs or (), option)
    for name in named:
        if name not in buckets:
            raise InputError(f"{option}: the buckets are {', '.join(buckets)}, got {name!r}")
    return {name: number(text, f"{option} {name}") for name, text in named.items()}


def _filled(values: dict[str, float], buckets: tuple[str, ...], default: float) -> np.ndarray:
    return np.array([values.get(name, default) for name in buckets])
