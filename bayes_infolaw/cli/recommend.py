"""``bayes-infolaw recommend``: a fit, or the published constants, and a target -> a recipe."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bayes_infolaw.cli import options as opt
from bayes_infolaw.cli.output import Answer, command, print_frame, print_notes, to_json
from bayes_infolaw.errors import InputError

if TYPE_CHECKING:
    from rich.console import Console

    from bayes_infolaw.laws.target import LawAtTarget
    from bayes_infolaw.posterior.fit import Fit
    from bayes_infolaw.recipes.recommend import Recommendation
    from bayes_infolaw.tables import RunTable

__all__ = ["recommend", "show_recipe"]


@command
def recommend(
    params_nonembedding: Annotated[
        float, typer.Option(help="Parameters of the target model, embeddings apart (7e9).")
    ],
    tokens: Annotated[float, typer.Option(help="Tokens K that it will be trained on (425e9).")],
    source_tokens: Annotated[float, typer.Option(help="Tokens S of the source corpus.")],
    fit: Annotated[
        str | None,
        typer.Argument(metavar="[FIT]", help="Fit file written by `fit`; or give --constants."),
    ] = None,
    constants: Annotated[
        str | None,
        typer.Option(metavar="published", help="The paper's constants in the place of a fit."),
    ] = None,
    shares: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=SHARE",
            help="Source share of a bucket, once each; default: the fitted runs'.",
        ),
    ] = None,
    buckets: opt.Buckets = None,
    flops_per_token: Annotated[
        float | None,
        typer.Option(help="M, training FLOP per token with attention, from which m follows."),
    ] = None,
    overtraining: Annotated[
        float | None, typer.Option(help="The overtraining degree m itself, in the place of M.")
    ] = None,
    ordered: Annotated[
        bool,
        typer.Option(
            "--ordered/--free",
            help="Keep the paper's ordering (no bucket gets more than a better one), or not.",
        ),
    ] = False,
    incumbent: Annotated[
        str | None,
        typer.Option(
            metavar="NAME=SHARE,...|FILE", help="Today's recipe to compare with (or .csv, .json)."
        ),
    ] = None,
    label: Annotated[
        list[str] | None,
        typer.Option(
            metavar="COLUMN=VALUE",
            help="The target's corpus or group, once a column; one left out is a new one.",
        ),
    ] = None,
    prob: opt.Prob = 0.9,
    out: Annotated[
        str | None,
        typer.Option(metavar="FILE.json", help="Write the answer there; usable as --incumbent."),
    ] = None,
    table: opt.FittedTable = None,
    data_dir: opt.DataDir = None,
    allow_unconverged: opt.AllowUnconverged = False,
    as_json: opt.AsJson = False,
) -> Answer:
    """Recommend the recipe of least expected loss at a target, and say how sure that is.

    The interval is of the noise-free loss; with --constants there is no posterior, and the
    interval fields are null. The difference is incumbent minus recipe, over common draws.
    """
    opt.require_folder(out)
    if (fit is None) == (constants is None):
        raise InputError("recommend: give either a fit file or --constants published")
    if flops_per_token is not None and overtraining is not None:
        raise InputError("recommend: give --flops-per-token or --overtraining, not both")
    target: dict[str, Any] = {
        "params_nonembedding": params_nonembedding,
        "tokens": tokens,
        "source_tokens": source_tokens,
        "shares": _shares(shares),
        "flops_per_token": flops_per_token,
        "overtraining": overtraining,
    }
    labels = opt.named_values(label or (), "--label")
    if fit is None:
        fitted, labels = None, _no_labels(labels)
        law, about = _of_constants(constants, target, opt.bucket_order(buckets))
    else:
        fitted = opt.open_fit(fit, table, data_dir)
        fitted.require_usable(allow_unconverged)
        law, about = _of_fit(fitted, fit, target, labels)
    found = _search(law, ordered, incumbent, prob)
    payload = about | {"target": target, "labels": labels, **found.to_dict(), "beyond": None}
    if fitted is not None:
        planned = _planned(fitted, law, target | labels, found.recipe)
        payload["beyond"] = _beyond(fitted, planned)
        payload["notes"] = [*about["notes"], *planned.notes]
    if out:
        _write(payload, Path(out))
    return Answer(payload, lambda console: _show(console, found, payload))


def _shares(pairs: list[str] | None) -> dict[str, float] | None:
    if not pairs:
        return None
    named = opt.named_values(pairs, "--shares")
    return {name: opt.number(text, f"--shares {name}") for name, text in named.items()}


def _of_fit(
    fitted: "Fit", path: str, target: dict[str, Any], labels: dict[str, str]
) -> "tuple[LawAtTarget, dict[str, Any]]":
    known = [*fitted.table.groups, *([fitted.table.corpus] if fitted.table.corpus else [])]
    for column in labels:
        if column not in known:
            listed = ", ".join(known) or "none"
            raise InputError(f"--label: must name a group of the fit ({listed}), got {column!r}")
    law = fitted.target(**target, labels=labels)
    notes = ["the fit is to simulated losses."] if fitted.table.simulated else []
    about = _about(law, fit=path, converged=fitted.verdict.converged)
    return law, about | {"simulated": fitted.table.simulated, "notes": notes}


def _of_constants(
    name: str | None, target: dict[str, Any], order: list[str] | None
) -> "tuple[LawAtTarget, dict[str, Any]]":
    from bayes_infolaw.recipes.published import published_target

    if name != "published":
        raise InputError(f"--constants: must be published, got {name!r}")
    names, values = _ordered_shares(target["shares"], order)
    law = published_target(
        target["params_nonembedding"],
        target["tokens"],
        target["source_tokens"],
        shares=values,
        buckets=names,
        overtraining=_degree(target),
    )
    notes = ["published constants: no posterior, so no intervals."]
    return law, _about(law, constants=name) | {"simulated": False, "notes": notes}


def _about(
    law: "LawAtTarget",
    fit: str | None = None,
    constants: str | None = None,
    converged: bool | None = None,
) -> dict[str, Any]:
    origin = {"fit": fit, "constants": constants, "converged": converged}
    units = {"loss_unit": law.loss_unit, "token_unit": law.token_unit}
    return {**origin, **units, "draws": len(law.rate)}


def _no_labels(labels: dict[str, str]) -> dict[str, str]:
    if labels:
        raise InputError("--label: the published constants know no groups")
    return labels


def _planned(
    fitted: "Fit", law: "LawAtTarget", target: dict[str, Any], recipe: dict[str, float]
) -> "RunTable":
    """The target with a recipe as a plan of one row."""
    import pandas as pd

    from bayes_infolaw.posterior.plan import plan_for

    row = {name: value for name, value in target.items() if value is not None and name != "shares"}
    shares = law.source / law.source.sum()
    row |= {f"share_{name}": share for name, share in zip(law.buckets, shares, strict=True)}
    row |= {f"w_{name}": share for name, share in recipe.items()}
    return plan_for(fitted, pd.DataFrame([{"run": "target", **row}]))


def _beyond(fitted: "Fit", planned: "RunTable") -> dict[str, Any]:
    """How far the target with its recipe lies beyond the fitted runs."""
    from bayes_infolaw.posterior.beyond import distance_beyond

    distance = distance_beyond(planned.arrays(), fitted.table.arrays()).iloc[0].to_dict()
    return {str(name).removeprefix("beyond_"): value for name, value in distance.items()}


def _ordered_shares(
    shares: dict[str, float] | None, order: list[str] | None
) -> tuple[list[str] | None, list[float] | None]:
    """Bucket names best first, and shares in that order; the paper's where there are none."""
    from bayes_infolaw.tables.buckets import resolve_buckets

    if shares is None:
        return order, None
    columns = [f"{prefix}{name}" for prefix in ("w_", "share_") for name in shares]
    names = resolve_buckets(columns, order)
    return list(names), [shares[name] for name in names]


def _degree(target: Mapping[str, Any]) -> float | None:
    from bayes_infolaw.laws.overtraining import overtraining_degree

    flops = target["flops_per_token"]
    if flops is None or not (flops > 0 and target["tokens"] > 0):
        return target["overtraining"]
    return float(overtraining_degree(flops, target["tokens"]))


def _search(
    law: "LawAtTarget", ordered: bool, incumbent: str | None, prob: float
) -> "Recommendation":
    from bayes_infolaw.recipes.incumbent import parse_recipe
    from bayes_infolaw.recipes.recommend import recommend as search

    current = None if incumbent is None else parse_recipe(incumbent, law.buckets)
    return search(law, ordered=ordered, incumbent=current, prob=prob)


def _write(payload: dict[str, Any], path: Path) -> None:
    from bayes_infolaw.tables.files import write_text

    write_text(to_json(payload) + "\n", path)


def _show(console: "Console", found: "Recommendation", payload: dict[str, Any]) -> None:
    show_recipe(console, found, payload["loss_unit"])
    beyond = payload["beyond"]
    if beyond:
        text = "Compute {compute:.3g} and repetition {repetition:.3g} times the largest fitted, "
        text += "m a factor {degree:.3g} outside; {hull} the convex hull of the fitted runs."
        hull = "inside" if beyond["inside_hull"] else "outside"
        console.print(text.format(**beyond, hull=hull), soft_wrap=True)
    print_notes(console, payload["notes"])


def show_recipe(console: "Console", found: "Recommendation", loss_unit: str) -> None:
    """Print a recipe bucket by bucket, what it is expected to reach, and the incumbent."""
    import pandas as pd

    from bayes_infolaw.posterior.wording import recipe_sentences

    now = found.incumbent
    rows = [
        {
            "bucket": name,
            "share": share,
            "sd": found.recipe_sd[name] if found.recipe_sd else None,
            **(found.recipe_quantiles[name] if found.recipe_quantiles else {}),
            "repetition": found.repetition[name],
            **(
                {"incumbent": now.recipe[name], "its repetition": now.repetition[name]}
                if now
                else {}
            ),
        }
        for name, share in found.recipe.items()
    ]
    kind = "ordered" if found.ordered else "free"
    title = f"Recommended recipe ({kind}); sd, lo, median, hi: the draws' own optima"
    frame = pd.DataFrame(rows).dropna(axis="columns", how="all")
    print_frame(console, frame, title, {str(name): ".3f" for name in frame})
    console.print(recipe_sentences(found, loss_unit), soft_wrap=True)
