"""``bayes-infolaw recommend``: fits, or the published constants, and a target -> a recipe."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bayes_infolaw.cli import constraints as limits
from bayes_infolaw.cli import options as opt
from bayes_infolaw.cli.decision import backing, of_constants, of_fits, require_data
from bayes_infolaw.cli.decision_figures import Drawing, require_drawing
from bayes_infolaw.cli.output import Answer, command, write_answer
from bayes_infolaw.cli.several import Weights
from bayes_infolaw.cli.show_decision import show_decision
from bayes_infolaw.errors import InputError

if TYPE_CHECKING:
    import numpy as np

    from bayes_infolaw.cli.decision import Opened
    from bayes_infolaw.decisions.draws import TargetDraws
    from bayes_infolaw.decisions.recipe_set import RecipeSet

__all__ = ["recommend"]


@command
def recommend(
    params_nonembedding: opt.TargetParams,
    tokens: opt.TargetTokens,
    source_tokens: opt.SourceTokens,
    fits: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[FIT...]",
            help="Fit files written by `fit`: one, or several forms; or give --constants.",
        ),
    ] = None,
    constants: Annotated[
        str | None,
        typer.Option(metavar="published", help="The paper's constants in the place of a fit."),
    ] = None,
    weight: Weights = None,
    shares: opt.Shares = None,
    buckets: opt.Buckets = None,
    flops_per_token: opt.FlopsPerToken = None,
    overtraining: opt.Overtraining = None,
    label: opt.Label = None,
    objective: Annotated[
        str,
        typer.Option(
            metavar="mean|ei|quantile|cvar|thompson",
            help="Choose the recipe of least expected loss, of largest expected improvement on the "
            "incumbent, of least quantile or mean of the worst draws (--level), or a draw's own.",
        ),
    ] = "mean",
    level: Annotated[
        float | None,
        typer.Option(
            help="With --objective quantile, its probability; with cvar, that of all but the worst "
            "draws, whose mean it is. Default 0.9."
        ),
    ] = None,
    incumbent: Annotated[
        str | None,
        typer.Option(
            metavar="NAME=SHARE,...|FILE", help="Today's recipe to compare with (or .csv, .json)."
        ),
    ] = None,
    incumbent_loss: Annotated[
        float | None,
        typer.Option(help="A fixed loss to improve on, in the place of a recipe at the target."),
    ] = None,
    q: Annotated[
        int, typer.Option(help="Also a batch of so many recipes to train side by side.")
    ] = 1,
    epsilon: Annotated[
        float, typer.Option(help="Recipes that lose at most this part of the loss are equivalent.")
    ] = 0.001,
    equivalent_probability: Annotated[
        float,
        typer.Option(help="Probability with which equivalent recipes lose no more than that."),
    ] = 0.9,
    ordered: limits.Ordered = False,
    ordered_repetition: limits.OrderedRepetition = False,
    floor: limits.Floor = None,
    cap: limits.Cap = None,
    fix: limits.Fix = None,
    max_repetition: limits.MaxRepetition = None,
    max_mean_repetition: limits.MaxMeanRepetition = None,
    kl_max: limits.KlMax = None,
    tv_max: limits.TvMax = None,
    price: limits.Price = None,
    budget: limits.Budget = None,
    unique_price: limits.UniquePrice = None,
    unique_budget: limits.UniqueBudget = None,
    at_least: limits.AtLeast = None,
    max_buckets: limits.MaxBuckets = None,
    seed: opt.Seed = 0,
    prob: opt.Prob = 0.9,
    held_out: Annotated[
        str | None,
        typer.Option(
            metavar="VALIDATE.json",
            help="Output of `validate --json`: the held-out error that backs the answer.",
        ),
    ] = None,
    out: Annotated[
        str | None,
        typer.Option(metavar="FILE.json", help="Write the answer there; usable as --incumbent."),
    ] = None,
    figures: Annotated[
        str | None,
        typer.Option(
            metavar="FOLDER",
            help="Draw optima, profiles, trend and, of three buckets, ternary.png there (extra "
            "plots); made if it does not exist.",
        ),
    ] = None,
    table: opt.FittedTable = None,
    data_dir: opt.DataDir = None,
    allow_unconverged: opt.AllowUnconverged = False,
    as_json: opt.AsJson = False,
) -> Answer:
    """Recommend a recipe at a target, and say what it is expected to gain and how sure that is.

    Every number is an expectation over joint draws: recipe and incumbent under the same one, losses
    noise-free. With --constants there is no posterior, and intervals are null.
    """
    from bayes_infolaw.decisions.question import Question

    opt.require_folder(out)
    require_drawing(figures)
    if (not fits) == (constants is None):
        raise InputError(
            "recommend: give either a fit file (or several forms), or --constants published"
        )
    of_fits_alone = {
        "--weight": weight,
        "--table": table,
        "--data-dir": data_dir,
        "--held-out": held_out,
        "--allow-unconverged": allow_unconverged,
    }
    _require_used(constants, buckets, of_fits_alone)
    opt.require_one_degree("recommend", flops_per_token, overtraining)
    target: dict[str, Any] = {
        "params_nonembedding": params_nonembedding,
        "tokens": tokens,
        "source_tokens": source_tokens,
        "shares": opt.share_values(shares),
        "flops_per_token": flops_per_token,
        "overtraining": overtraining,
    }
    labels = opt.named_values(label or (), "--label")
    if fits:
        opened = of_fits(fits, weight, target, labels, allow_unconverged)
        require_data(opened.fits, table, data_dir)
    else:
        opened = of_constants(constants, target, labels, opt.bucket_order(buckets))
    wanted = limits.ConstraintOptions(
        ordered=ordered,
        ordered_repetition=ordered_repetition,
        floor=floor,
        cap=cap,
        fix=fix,
        max_repetition=max_repetition,
        max_mean_repetition=max_mean_repetition,
        kl_max=kl_max,
        tv_max=tv_max,
        price=price,
        budget=budget,
        unique_price=unique_price,
        unique_budget=unique_budget,
        at_least=at_least,
        max_buckets=max_buckets,
    )
    current = _incumbent(incumbent, opened)
    question = Question(
        objective,
        level=level,
        incumbent=current,
        incumbent_loss=incumbent_loss,
        q=q,
        prob=prob,
        epsilon=epsilon,
        equivalent_prob=equivalent_probability,
        seed=seed,
    )
    allowed = limits.recipe_set(wanted, opened.draws, current)
    payload = opened.answer(allowed, question, wanted.given())
    payload["backing"] = backing(opened.fits, held_out)
    payload["figures"] = None
    if figures is not None:

        def limited(draws: "TargetDraws") -> "RecipeSet":
            return limits.recipe_set(wanted, draws, current)

        now = incumbent_loss if current is None else current
        drawing = Drawing(opened, limited, payload["recipe"], now, prob)
        payload["figures"], notes = drawing.write(Path(figures))
        payload["notes"] = [*payload["notes"], *notes]
    write_answer(payload, out)
    return Answer(payload, lambda console: show_decision(console, payload))


def _require_used(
    constants: str | None, buckets: str | None, of_fits_alone: Mapping[str, Any]
) -> None:
    """Refuse options that fit files, or constants, would leave unused."""
    if constants is None:
        if buckets is not None:
            raise InputError("--buckets: goes with --constants; fits know their own, got both")
        if of_fits_alone["--data-dir"] is not None and of_fits_alone["--table"] is None:
            raise InputError("--data-dir: needs --table, which is missing")
        return
    for option, value in of_fits_alone.items():
        if value:
            raise InputError(f"{option}: goes with fit files, got --constants {constants}")


def _incumbent(text: str | None, opened: "Opened") -> "np.ndarray | None":
    """Today's recipe in bucket order; a bucket without source tokens cannot be in it."""
    from bayes_infolaw.recipes.incumbent import parse_recipe, require_packable

    if text is None:
        return None
    draws = opened.draws
    shares = parse_recipe(text, draws.buckets)
    require_packable(shares, draws.capacity, draws.buckets)
    return shares
