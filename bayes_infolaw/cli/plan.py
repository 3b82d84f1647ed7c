"""``bayes-infolaw plan``: compute, or a loss to reach -> size, tokens and recipe together."""

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bayes_infolaw.cli import constraints as limits
from bayes_infolaw.cli import options as opt
from bayes_infolaw.cli.output import Answer, command, frame_rows, write_answer
from bayes_infolaw.cli.several import FitFiles, Weights, about_fits, open_fits, weigh
from bayes_infolaw.cli.show_plan import show_plan
from bayes_infolaw.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from bayes_infolaw.decisions.budget import BudgetAnswer
    from bayes_infolaw.decisions.candidates import BudgetQuestion, Corpus
    from bayes_infolaw.posterior.fit import Fit

__all__ = ["plan"]

SURE = 0.9  # candidates this likely to be as good as the best are listed as equivalent


@command
def plan(
    fits: FitFiles,
    compute: Annotated[
        float | None, typer.Option(metavar="FLOP", help="Compute C = M K to spend (1e22).")
    ] = None,
    target_loss: Annotated[
        float | None, typer.Option(metavar="LOSS", help="Or a noise-free loss to reach.")
    ] = None,
    probability: Annotated[
        float, typer.Option(help="Probability with which --target-loss must be reached.")
    ] = 0.9,
    source_tokens: Annotated[
        float | None,
        typer.Option(
            help="Tokens S of the source corpus; default: the corpus of the largest fitted run."
        ),
    ] = None,
    shares: opt.Shares = None,
    label: opt.Label = None,
    sizes: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Models to choose from (.csv, .parquet): params_nonembedding and, for M, "
            "flops_per_token or layers, hidden, seq_len; default: any size.",
        ),
    ] = None,
    extrapolate: Annotated[
        bool,
        typer.Option("--extrapolate", help="Search beyond the fitted overtraining degrees m too."),
    ] = False,
    ordered: limits.Ordered = False,
    ordered_repetition: limits.OrderedRepetition = False,
    floor: limits.Floor = None,
    cap: limits.Cap = None,
    fix: limits.Fix = None,
    max_repetition: limits.MaxRepetition = None,
    max_mean_repetition: limits.MaxMeanRepetition = None,
    incumbent: limits.Reference = None,
    kl_max: limits.KlMax = None,
    tv_max: limits.TvMax = None,
    price: limits.Price = None,
    budget: limits.Budget = None,
    at_least: limits.AtLeast = None,
    max_buckets: limits.MaxBuckets = None,
    weight: Weights = None,
    prob: opt.Prob = 0.9,
    out: opt.AnswerFile = None,
    allow_unconverged: opt.AllowUnconverged = False,
    as_json: opt.AsJson = False,
) -> Answer:
    """Choose size, tokens and recipe together: for a compute, or for a loss to reach.

    With --compute the plan of least expected loss; with --target-loss the cheapest plan that
    reaches it with --probability. Sizes stay where the fitted runs have overtraining degrees m:
    with fewer than 3 of them, or less than a factor 4, this is refused.
    """
    opt.require_prob(prob)
    opt.require_folder(out)
    if (compute is None) == (target_loss is None):
        raise InputError("plan: give either --compute or --target-loss")
    opened = open_fits(fits, allow_unconverged)
    weights = weigh(opened, weight)
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
        at_least=at_least,
        max_buckets=max_buckets,
    )
    today = limits.reference_shares(incumbent, wanted, next(iter(opened.values())).table.buckets)
    corpus, notes = _corpus(opened, source_tokens, shares, label)
    question = _question(opened, corpus, weights.weights, wanted, today)
    question = replace(question, extrapolate=extrapolate)
    question = _with_sizes(question, sizes)
    asked: dict[str, Any] = {"target_loss": target_loss, "probability": None, "p_reached": None}
    if target_loss is None:
        from bayes_infolaw.decisions.budget import best_plan

        answer = best_plan(question, float(compute or 0.0))
    else:
        answer, more = _cheapest(question, target_loss, probability)
        asked |= more
    about = about_fits(fits, opened, weights)
    frame, found = _described(question, answer, prob)
    errors = {"p_reached": asked.pop("p_reached_se", None), **found.pop("standard_errors")}
    payload = about | asked | found | {"constraints": wanted.given(), "standard_errors": errors}
    payload["notes"] = [*about["notes"], *notes, *found["notes"]]
    write_answer(payload, out)
    return Answer(payload, lambda console: show_plan(console, frame, payload))


def _corpus(
    fits: "dict[str, Fit]",
    source_tokens: float | None,
    shares: list[str] | None,
    label: list[str] | None,
) -> "tuple[Corpus, list[str]]":
    from bayes_infolaw.decisions.candidates import Corpus
    from bayes_infolaw.decisions.labels import require_labels
    from bayes_infolaw.decisions.sizes import largest_run

    values = opt.share_values(shares)
    labels = opt.named_values(label or (), "--label")
    require_labels(fits, labels)
    if source_tokens is not None:
        return Corpus(source_tokens, values, labels), []
    run = largest_run(fits)
    note = f"corpus: that of the fitted run of the largest compute, S = {run.source_tokens:.4g}."
    return Corpus(run.source_tokens, values or run.shares, labels or run.labels), [note]


def _question(
    fits: "dict[str, Fit]",
    corpus: "Corpus",
    weights: dict[str, float],
    wanted: limits.ConstraintOptions,
    today: "np.ndarray | None",
) -> "BudgetQuestion":
    from bayes_infolaw.decisions.candidates import BudgetQuestion

    question = BudgetQuestion(fits, corpus, weights)
    if not wanted.given():
        return question
    return replace(question, allowed=lambda draws: limits.recipe_set(wanted, draws, today))


def _with_sizes(question: "BudgetQuestion", path: str | None) -> "BudgetQuestion":
    from bayes_infolaw.decisions.sizes import read_sizes

    if path is None:
        return question
    return replace(question, sizes=read_sizes(path, question.rule))


def _cheapest(
    question: "BudgetQuestion", target_loss: float, probability: float
) -> "tuple[BudgetAnswer, dict[str, Any]]":
    from bayes_infolaw.decisions.cheapest import cheapest_plan

    found = cheapest_plan(question, target_loss, probability)
    reached = found.reached
    asked = {"probability": probability, "p_reached": reached.value, "p_reached_se": reached.se}
    if found.cheaper_fails:
        return found.answer, asked
    edge = "the least compute that the law's domain or the search allows"
    return replace(found.answer, edge=edge), asked


def _described(
    question: "BudgetQuestion", answer: "BudgetAnswer", prob: float
) -> "tuple[pd.DataFrame, dict[str, Any]]":
    """Table of the candidates, and the fields of the JSON contract."""
    from bayes_infolaw.decisions.budget import candidate_table
    from bayes_infolaw.decisions.monte_carlo import estimate_mean
    from bayes_infolaw.decisions.weighted import equal_tailed

    best, draws = answer.best, answer.best.draws
    frame = candidate_table(answer, prob)
    low, high = equal_tailed(best.loss, draws.weight, prob)
    equivalent = frame[frame["p_equivalent"] >= SURE]
    beyond, notes = _beyond(question, answer)
    fields = {
        "compute": best.compute,
        "params_nonembedding": best.params,
        "tokens": best.tokens,
        "flops_per_token": best.flops_per_token,
        "flops_from": "the sizes file or its rule" if question.sizes else question.rule.source,
        "overtraining": best.overtraining,
        "fitted_degree": best.fitted_degree,
        "recipe": draws.by_name(best.recipe),
        "repetition": draws.by_name(draws.repetition(best.recipe)),
        "expected_loss": best.expected_loss,
        "standard_errors": {"expected_loss": estimate_mean(draws, best.loss).se},
        "loss_lo": low,
        "loss_hi": high,
        "prob": prob,
        "draws": len(draws),
        "edge": answer.edge,
        "degrees_searched": list(answer.searched),
        "degrees_fitted": [question.degrees.low, question.degrees.high],
        "source_tokens": question.corpus.source_tokens,
        "labels": dict(question.corpus.labels),
        "equivalent": {
            name: [float(equivalent[name].min()), float(equivalent[name].max())]
            for name in ("params_nonembedding", "tokens", "overtraining")
        },
        "candidates": frame_rows(frame),
        "beyond": beyond,
        "notes": notes,
    }
    return frame, fields


def _beyond(question: "BudgetQuestion", answer: "BudgetAnswer") -> tuple[dict[str, Any], list[str]]:
    """How far the plan lies beyond the runs of the first fit, and what its level rests on."""
    import numpy as np

    from bayes_infolaw.decisions.candidates import Rows, plan_rows
    from bayes_infolaw.posterior.beyond import run_beyond

    best, fit = answer.best, next(iter(question.kept.values()))
    params, flops, tokens = np.array([[best.params], [best.flops_per_token], [best.tokens]])
    rows = Rows(params, flops, tokens, best.fitted_degree)
    planned = plan_rows(fit, question.corpus, rows, best.draws.by_name(best.recipe))
    notes = list(planned.notes)
    if question.degrees.fitted:
        notes.append(
            "at a fitted degree m the level is that degree's own; elsewhere it is the trend in "
            "ln m with one new degree's effect, common to all sizes."
        )
    if "overtraining" in fit.table.provenance.get("given", ()):
        notes.append("the fitted runs give m themselves; the plan's follows from M and K.")
    listed = 0 if question.sizes is None else len(question.sizes.params)
    if listed > len(answer.candidates):
        low, high = answer.searched
        notes.append(
            f"{listed - len(answer.candidates)} of {listed} listed sizes are left out: outside m = "
            f"{low:.3g} to {high:.3g}, the law's domain or the constraints."
        )
    if answer.edge:
        notes.append(f"the optimum lies on an edge: {answer.edge}.")
    return run_beyond(planned.arrays(), fit.table.arrays()), notes
