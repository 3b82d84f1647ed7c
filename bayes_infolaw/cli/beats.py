"""``bayes-infolaw beats``: fits and a plan -> which of two runs is better, and a ranking."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from bayes_infolaw.cli import options as opt
from bayes_infolaw.cli.output import (
    Answer,
    command,
    frame_rows,
    monte_carlo,
    print_frame,
    print_notes,
)
from bayes_infolaw.cli.several import FitFiles, Weights, about_fits, open_fits, weigh
from bayes_infolaw.errors import InputError

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console

__all__ = ["beats"]

SHOWN = ("run", "loss_mean", "loss_lo", "loss_hi", "p_best", "expected_regret", "behind_mean")
PAIR = ("p_a_better", "gap_mean", "gap_sd", "gap_lo", "gap_hi")


@command
def beats(
    fits: FitFiles,
    plan: Annotated[
        str,
        typer.Option(metavar="PLAN", help="Planned runs: the run table's columns without loss."),
    ],
    a: Annotated[
        str | None, typer.Option("--a", metavar="RUN", help="A run of the plan, by name.")
    ] = None,
    b: Annotated[
        str | None, typer.Option("--b", metavar="RUN", help="The run that it is compared with.")
    ] = None,
    weight: Weights = None,
    prob: opt.Prob = 0.9,
    data_dir: opt.DataDir = None,
    allow_unconverged: opt.AllowUnconverged = False,
    as_json: opt.AsJson = False,
) -> Answer:
    """Say how likely run A of a plan beats run B and by how much, and rank the whole plan.

    The gap is the loss of B minus the loss of A, noise-free, both under the same draw. Without --a
    and --b the plan is ranked only.
    """
    from bayes_infolaw.decisions.pairs import compare, plan_draws, rank

    opt.require_prob(prob)
    if (a is None) != (b is None):
        raise InputError(f"beats: give both --a and --b, or neither, got --a {a} and --b {b}")
    if a is not None and a == b:
        raise InputError(f"--b: must be another run than --a, got {b!r}")
    opened = open_fits(fits, allow_unconverged)
    planned = opt.read_planned(next(iter(opened.values())), plan, data_dir)
    weights = weigh(opened, weight)
    draws = plan_draws(opened, planned, weights.weights)
    pair: dict[str, Any] = dict.fromkeys((*PAIR, "p_se", "gap_se", "forms"))
    if a is not None and b is not None:
        pair = compare(draws, a, b, prob).to_dict()
    ranking = rank(draws, prob)
    about = about_fits(fits, opened, weights)
    payload = about | {
        "plan": plan,
        "a": a,
        "b": b,
        **{name: pair[name] for name in (*PAIR, "forms")},
        "standard_errors": {"p_a_better": pair["p_se"], "gap_mean": pair["gap_se"]},
        "prob": prob,
        "draws": len(draws.weight),
        "ranking": frame_rows(ranking),
        "notes": [*about["notes"], *draws.notes],
    }
    return Answer(payload, lambda console: _show(console, ranking, payload))


def _show(console: "Console", ranking: "pd.DataFrame", payload: dict[str, Any]) -> None:
    if payload["a"] is not None:
        _show_pair(console, payload)
    frame = ranking[list(SHOWN)].copy()
    ends = zip(ranking["rank_lo"], ranking["rank_hi"], strict=True)
    frame["rank"] = [f"{low}-{high}" if low < high else str(low) for low, high in ends]
    losses = dict.fromkeys(("loss_mean", "loss_lo", "loss_hi"), ".4f")
    gaps = dict.fromkeys(("expected_regret", "behind_mean"), ".5f")
    title = f"Noise-free loss, {payload['loss_unit']}; {payload['prob']:.0%} equal-tailed intervals"
    print_frame(console, frame, title, losses | gaps | {"p_best": ".3f"})
    print_notes(console, payload["notes"])


def _show_pair(console: "Console", payload: dict[str, Any]) -> None:
    text = (
        "{a} beats {b} with probability {p_a_better:.3f}: gap {gap_mean:+.5f} "
        "[{gap_lo:+.5f}, {gap_hi:+.5f}] {loss_unit} (loss of {b} minus loss of {a}, common "
        "draws{error})."
    )
    told = monte_carlo(payload["standard_errors"]["gap_mean"], ".2g")
    console.print(text.format(**payload, error=told), soft_wrap=True)
    if len(payload["forms"]) > 1:
        for row in payload["forms"]:
            line = (
                "  {form} (weight {weight:.3g}): probability {p_a_better:.3f}, gap {gap_mean:+.5f}"
            )
            console.print(line.format(**row), soft_wrap=True)
