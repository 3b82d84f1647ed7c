"""``bayes-infolaw next``: fits, a target and candidate runs -> the next run to pay for, or stop."""

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bayes_infolaw.cli import constraints as limits
from bayes_infolaw.cli import options as opt
from bayes_infolaw.cli.candidates import PlanFiles, Request, allowed_recipes, candidate_runs
from bayes_infolaw.cli.measured import Updating, saved, taken_in, updated_files
from bayes_infolaw.cli.output import Answer, command, progress, write_answer
from bayes_infolaw.cli.several import FitFiles, Weights, about_fits, open_fits
from bayes_infolaw.cli.show_next import notes_on, show
from bayes_infolaw.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bayes_infolaw.posterior.fit import Fit
    from bayes_infolaw.tables import RunTable

__all__ = ["next_run"]


@command
def next_run(
    fits: FitFiles,
    params_nonembedding: opt.TargetParams,
    tokens: opt.TargetTokens,
    source_tokens: opt.SourceTokens,
    candidates: Annotated[
        str | None,
        typer.Option(
            metavar="PLAN",
            help="Candidate runs: the run table's columns without loss; runs with the same value "
            "in a column `set` are bought together.",
        ),
    ] = None,
    budget: Annotated[
        float | None,
        typer.Option(
            metavar="FLOP",
            help="Most that one candidate may cost (a batch of --q costs up to q times that); "
            "without --candidates, runs within it are proposed from the fit's own sizes and "
            "recipes.",
        ),
    ] = None,
    max_run_repetition: Annotated[
        float | None,
        typer.Option(
            metavar="X",
            help="Most that a proposed run may repeat a bucket; default: the most that a fitted "
            "run does, or the target's own recipe where that is more.",
        ),
    ] = None,
    measured: Annotated[
        str | None,
        typer.Option(
            metavar="TABLE|STUDY",
            help="Measured runs that the fits do not have: taken in first, by reweighting or a "
            "refit, and the forms weighed by the density they gave them, from equal weights on "
            "unless --weight says otherwise.",
        ),
    ] = None,
    updated: Annotated[
        str | None,
        typer.Option(
            metavar="FOLDER", help="Write the fits with the --measured runs there, for `recommend`."
        ),
    ] = None,
    shares: opt.Shares = None,
    flops_per_token: opt.FlopsPerToken = None,
    overtraining: opt.Overtraining = None,
    label: opt.Label = None,
    ordered: limits.Ordered = False,
    ordered_repetition: limits.OrderedRepetition = False,
    floor: limits.Floor = None,
    cap: limits.Cap = None,
    fix: limits.Fix = None,
    max_repetition: limits.MaxRepetition = None,
    max_mean_repetition: limits.MaxMeanRepetition = None,
    at_least: limits.AtLeast = None,
    max_buckets: limits.MaxBuckets = None,
    q: Annotated[int, typer.Option("--q", help="Runs (or sets) of the batch.")] = 1,
    rank_by: Annotated[
        str, typer.Option(help="value (regret reduction per FLOP) or information (nats per FLOP).")
    ] = "value",
    value_per_nat: Annotated[
        float | None,
        typer.Option(
            metavar="FLOP",
            help="What a nat (unit of loss) at the target is worth; default: the target FLOP that "
            "would buy it, by the law's slope there.",
        ),
    ] = None,
    refit: Annotated[
        int,
        typer.Option(
            metavar="RUNS",
            help="Value the best RUNS candidates whose ESS is too low again, by fits to simulated "
            "outcomes (up to a minute each).",
        ),
    ] = 0,
    outcomes: Annotated[
        int, typer.Option(help="Simulated outcomes of each candidate, a power of two.")
    ] = 128,
    weight: Weights = None,
    seed: opt.Seed = 0,
    out: opt.AnswerFile = None,
    plan_out: Annotated[
        str | None,
        typer.Option(
            metavar="FILE.csv",
            help="Write all candidates there as a plan, which --candidates reads again.",
        ),
    ] = None,
    batch_out: Annotated[
        str | None,
        typer.Option(
            metavar="FILE.csv",
            help="Write the runs of the batch there as a plan, to train (`sweep` reads it).",
        ),
    ] = None,
    data_dir: opt.DataDir = None,
    allow_unconverged: opt.AllowUnconverged = False,
    as_json: opt.AsJson = False,
) -> Answer:
    """Say which run to pay for next, or to stop.

    regret_reduction is how much lower the target's expected loss is, on average over the run's
    simulated outcomes, once the recipe is chosen knowing the outcome; information_gain is in nats
    about what decides. stop is true where the best candidate's reduction is worth less than it
    costs.
    """
    from bayes_infolaw.decisions.next_run.answer import SearchSettings

    opt.require_folder(out)
    plans = PlanFiles(plan_out, batch_out)
    plans.require({"--candidates": candidates, "--measured": measured, "--out": out})
    if candidates is None and budget is None:
        raise InputError("next: give --candidates, or --budget to have some proposed")
    opt.require_one_degree("next", flops_per_token, overtraining)
    _require_repetition(max_run_repetition, candidates)
    files = updated_files(fits, measured, updated)
    wanted = limits.ConstraintOptions(
        ordered=ordered,
        ordered_repetition=ordered_repetition,
        floor=floor,
        cap=cap,
        fix=fix,
        max_repetition=max_repetition,
        max_mean_repetition=max_mean_repetition,
        at_least=at_least,
        max_buckets=max_buckets,
    )
    if refit < 0:
        raise InputError(f"--refit: must be a whole number >= 0, got {refit}")
    settings = SearchSettings(
        ordered=ordered,
        outcomes=outcomes,
        q=q,
        rank_by=rank_by,
        value_per_nat=value_per_nat,
        seed=seed,
    )
    opened = open_fits(fits, allow_unconverged)
    target: dict[str, Any] = {
        "params_nonembedding": params_nonembedding,
        "tokens": tokens,
        "source_tokens": source_tokens,
        "shares": opt.share_values(shares),
        "flops_per_token": flops_per_token,
        "overtraining": overtraining,
        "labels": opt.named_values(label or (), "--label"),
    }
    request = Request(candidates, budget, target, data_dir, max_run_repetition)
    settings = replace(settings, allowed=allowed_recipes(wanted, opened, target))
    if measured:
        candidate_runs(opened, request, settings)  # what is wrong with them, before any refit
    opened, weights, updates, news = taken_in(opened, Updating(measured, weight, data_dir, seed))
    for fitted in opened.values():
        fitted.require_usable(allow_unconverged)
    plan = candidate_runs(opened, request, settings, weights.weights)
    found = _search(opened, plan, target, weights.weights, settings, refit)
    about = about_fits(fits, opened, weights)
    notes = [*about["notes"], *news, *notes_on(found), *plan.notes]
    payload = {**found, **about, "updates": updates, "target": target, "notes": notes}
    payload["constraints"] = wanted.given()
    if files:
        payload["notes"] += saved(opened, weights.weights, files)
    payload["notes"] += plans.write(plan, found)
    write_answer(payload, out)
    return Answer(payload, lambda console: show(console, payload, rank_by))


def _require_repetition(most: float | None, candidates: str | None) -> None:
    if most is None:
        return
    if candidates is not None:
        raise InputError("--max-run-repetition: is for runs that --budget proposes, not a plan's")
    if not (math.isfinite(most) and most >= 1):
        raise InputError(f"--max-run-repetition: must be a number >= 1, got {most!r}")


def _search(
    fits: "Mapping[str, Fit]",
    plan: "RunTable",
    target: dict[str, Any],
    weights: "Mapping[str, float]",
    settings: Any,
    refit: int,
) -> dict[str, Any]:
    from bayes_infolaw.decisions.next_run.refit import with_refits
    from bayes_infolaw.decisions.next_run.search import next_run as search

    with progress("candidates") as say:
        found = search(fits, plan, target, weights, settings, say)
    if refit:
        with progress("refits") as say:
            found = with_refits(fits, plan, (target, weights, settings), found, refit, say)
    return found.to_dict()
