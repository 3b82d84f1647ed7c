"""``bayes-infolaw worth``: what a new bucket of a given quality and size is worth at a target."""

from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer

from bayes_infolaw.cli import constraints as limits
from bayes_infolaw.cli import options as opt
from bayes_infolaw.cli.output import Answer, command, write_answer
from bayes_infolaw.cli.several import FitFiles, Weights, about_fits, open_fits, weigh
from bayes_infolaw.cli.show_worth import show_worth
from bayes_infolaw.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from bayes_infolaw.decisions.draws import TargetDraws
    from bayes_infolaw.decisions.recipe_set import RecipeSet
    from bayes_infolaw.decisions.worth import WorthQuestion
    from bayes_infolaw.posterior.fit import Fit

__all__ = ["worth"]

TARGET = {
    "params_nonembedding": "--params-nonembedding",
    "tokens": "--target-tokens",
    "source_tokens": "--source-tokens",
}


@command
def worth(
    fits: FitFiles,
    position: Annotated[
        float,
        typer.Option(
            help="Place of the new bucket in the quality order: 0 is the best fitted bucket, 0.5 "
            "half-way to the next, -0.5 half a step better than the best."
        ),
    ],
    tokens: Annotated[float, typer.Option(help="Tokens of the new bucket.")],
    price: Annotated[
        float,
        typer.Option(metavar="FLOP", help="Price of the whole bucket, in FLOP of the target."),
    ] = 0.0,
    name: Annotated[str, typer.Option(help="Name of the new bucket.")] = "new",
    params_nonembedding: Annotated[
        float | None,
        typer.Option(
            help="Parameters of the target model, embeddings apart; with --target-tokens and "
            "--source-tokens. Default: the largest fitted run."
        ),
    ] = None,
    target_tokens: Annotated[
        float | None, typer.Option(help="Tokens K that the target will be trained on.")
    ] = None,
    source_tokens: Annotated[
        float | None, typer.Option(help="Tokens S of its source corpus, the new bucket apart.")
    ] = None,
    shares: opt.Shares = None,
    flops_per_token: opt.FlopsPerToken = None,
    overtraining: Annotated[
        float | None, typer.Option(help="The target's degree m itself; else it follows from M.")
    ] = None,
    label: opt.Label = None,
    ordered: limits.Ordered = False,
    ordered_repetition: limits.OrderedRepetition = False,
    floor: limits.Floor = None,
    cap: limits.Cap = None,
    fix: limits.Fix = None,
    max_repetition: limits.MaxRepetition = None,
    max_mean_repetition: limits.MaxMeanRepetition = None,
    incumbent: limits.Reference = None,
    tv_max: limits.TvMax = None,
    at_least: limits.AtLeast = None,
    max_buckets: limits.MaxBuckets = None,
    value_per_nat: Annotated[
        float | None,
        typer.Option(
            metavar="FLOP",
            help="What a unit of loss at the target is worth; default: the compute that would buy "
            "the same loss without the bucket.",
        ),
    ] = None,
    weight: Weights = None,
    prob: opt.Prob = 0.9,
    out: opt.AnswerFile = None,
    allow_unconverged: opt.AllowUnconverged = False,
    as_json: opt.AsJson = False,
) -> Answer:
    """Say what a new bucket is worth: how far it lowers the loss, and its break-even price.

    Its density follows from its place in the quality order, draw by draw, without a new fit.
    Recipes with and without it are those of least expected loss, compared under common draws; the
    equivalent compute grows model and tokens together at the target's overtraining degree.
    """
    from bayes_infolaw.decisions.new_bucket import NewBucket
    from bayes_infolaw.decisions.worth import bucket_worth

    opt.require_prob(prob)
    opt.require_folder(out)
    given = {
        "params_nonembedding": params_nonembedding,
        "tokens": target_tokens,
        "source_tokens": source_tokens,
    }
    opened = open_fits(fits, allow_unconverged)
    weights = weigh(opened, weight)
    target, notes = _target(opened, given, flops_per_token, overtraining)
    wanted = limits.ConstraintOptions(
        ordered=ordered,
        ordered_repetition=ordered_repetition,
        floor=floor,
        cap=cap,
        fix=fix,
        max_repetition=max_repetition,
        max_mean_repetition=max_mean_repetition,
        tv_max=tv_max,
        at_least=at_least,
        max_buckets=max_buckets,
    )
    today = limits.reference_shares(incumbent, wanted, next(iter(opened.values())).table.buckets)
    question = _question(opened, target, shares, label)
    question = replace(question, weights=weights.weights, price=price, value_per_nat=value_per_nat)
    if wanted.given():
        question = replace(question, allowed=_allowed(wanted, name, today))
    found = bucket_worth(question, NewBucket(name, position, tokens), prob)
    about = about_fits(fits, opened, weights)
    payload = about | {
        "name": name,
        "position": position,
        "tokens": tokens,
        **found.to_dict(),
        "target": target | {"shares": question.corpus.shares, "labels": question.corpus.labels},
        "constraints": wanted.given(),
        "notes": [*about["notes"], *notes, *_beyond_order(opened, position)],
    }
    write_answer(payload, out)
    return Answer(payload, lambda console: show_worth(console, payload))


def _allowed(
    wanted: limits.ConstraintOptions, name: str, today: "np.ndarray | None"
) -> "Callable[[TargetDraws], RecipeSet]":
    """The recipes allowed with and without the new bucket, of which today's has nothing.

    Raises
    ------
    InputError
        A floor of the new bucket, which need not be bought.
    """
    for option, values in (("--floor", wanted.floor), ("--fix", wanted.fix)):
        if name in opt.named_values(values or (), option):
            raise InputError(f"{option}: the new bucket need not be bought, got {name!r}")

    def allowed(draws: "TargetDraws") -> "RecipeSet":
        if name not in draws.buckets:
            return limits.recipe_set(limits.without_bucket(wanted, name), draws, today)
        place = draws.buckets.index(name)
        wider = None if today is None else np.insert(today, place, 0.0)
        return limits.recipe_set(wanted, draws, wider)

    return allowed


def _target(
    fits: "Mapping[str, Fit]",
    given: dict[str, float | None],
    flops_per_token: float | None,
    overtraining: float | None,
) -> tuple[dict[str, Any], list[str]]:
    """The target's size, tokens, source and M, and how they were come by."""
    from bayes_infolaw.decisions.sizes import largest_run, size_rule

    missing = [TARGET[field] for field, value in given.items() if value is None]
    if 0 < len(missing) < len(given):
        needed = "the target needs all of --params-nonembedding, --target-tokens, --source-tokens"
        raise InputError(f"worth: {needed}, or none; missing {', '.join(missing)}")
    degree = {"overtraining": overtraining}
    if missing:
        if flops_per_token is not None or overtraining is not None:
            raise InputError(
                "worth: --flops-per-token and --overtraining need --params-nonembedding"
            )
        run = asdict(largest_run(fits))
        fields = ("params_nonembedding", "tokens", "source_tokens", "flops_per_token")
        note = "target: the fitted run of the largest compute, with its corpus."
        return {name: run[name] for name in (*fields, "overtraining", "shares", "labels")}, [note]
    rule = size_rule(next(iter(fits.values())).table)
    target: dict[str, Any] = {**given, "shares": None, "labels": {}}
    if flops_per_token is not None:
        return target | {"flops_per_token": flops_per_token} | degree, []
    flops = float(rule.flops_per_token(given["params_nonembedding"]))
    return target | {"flops_per_token": flops} | degree, [f"M of the target: {rule.source}."]


def _question(
    fits: "dict[str, Fit]",
    target: "Mapping[str, Any]",
    shares: list[str] | None,
    label: list[str] | None,
) -> "WorthQuestion":
    from bayes_infolaw.decisions.candidates import Corpus
    from bayes_infolaw.decisions.labels import require_labels
    from bayes_infolaw.decisions.worth import WorthQuestion

    values = opt.share_values(shares)
    labels = opt.named_values(label or (), "--label")
    require_labels(fits, labels)
    corpus = Corpus(target["source_tokens"], values or target["shares"], labels or target["labels"])
    return WorthQuestion(
        fits,
        corpus,
        params=target["params_nonembedding"],
        flops_per_token=target["flops_per_token"],
        tokens=target["tokens"],
        overtraining=target["overtraining"],
    )


def _beyond_order(fits: "Mapping[str, Fit]", position: float) -> list[str]:
    last = next(iter(fits.values())).table.n_buckets - 1
    if 0 <= position <= last:
        return []
    return ["the position lies outside the fitted order: its density goes on with the last step."]
