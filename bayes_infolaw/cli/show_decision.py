"""The answer of ``recommend`` as people read it."""

from typing import TYPE_CHECKING, Any

from bayes_infolaw.cli.output import print_frame, print_notes

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["show_decision"]


def show_decision(console: "Console", payload: dict[str, Any]) -> None:
    """Print the recipe by bucket, what it is expected to gain, and what stands behind it."""
    _show_recipe(console, payload)
    for sentence in (
        _loss(payload),
        _objective(payload),
        _gain(payload),
        _regret(payload),
        _equivalent(payload),
    ):
        if sentence:
            console.print(sentence, soft_wrap=True)
    _show_batch(console, payload)
    _show_forms(console, payload)
    _show_sensitivity(console, payload)
    _show_beyond(console, payload)
    files = (payload["figures"] or {}).items()
    print_notes(console, [f"{name}: {path}" for name, path in files], "Figures")
    print_notes(console, payload["notes"])


def _show_recipe(console: "Console", payload: dict[str, Any]) -> None:
    import pandas as pd

    now, equal = payload["incumbent"], payload["equivalent_set"]["ranges"]
    rows = [
        {
            "bucket": name,
            "share": share,
            "as good, from": equal[name]["lo"],
            "to": equal[name]["hi"],
            **(payload["recipe_quantiles"][name] if payload["recipe_quantiles"] else {}),
            "repetition": payload["repetition"][name],
            **(
                {"incumbent": now["recipe"][name], "its repetition": now["repetition"][name]}
                if now
                else {}
            ),
        }
        for name, share in payload["recipe"].items()
    ]
    kind = "ordered" if payload["ordered"] else "free"
    title = (
        f"Recommended recipe ({kind}, {payload['objective']}); lo, median, hi: draws' own optima"
    )
    frame = pd.DataFrame(rows).dropna(axis="columns", how="all")
    print_frame(console, frame, title, {str(name): ".3f" for name in frame})


def _loss(payload: dict[str, Any]) -> str:
    text = f"Expected loss {payload['expected_loss']:.4f}"
    if payload["prob"] is not None:
        text += f" [{payload['loss_lo']:.4f}, {payload['loss_hi']:.4f}]"
    text += f" {payload['loss_unit']}, noise-free."
    if payload["prob"] is not None:
        text += f" Intervals: {payload['prob']:.0%}, equal-tailed; differences over common draws."
    return text


def _objective(payload: dict[str, Any]) -> str:
    """The value that was chosen by, where other sentences do not tell it, and by which draws."""
    kind, told = payload["objective"], payload["objective_held_out"]
    if kind in ("mean", "ei") or told is None:
        return ""
    value = payload["objective_value"]
    if kind == "thompson":
        return f"A draw's own best recipe: expected loss {told:.5f} over {payload['reported_on']}."
    mass = payload["level"]
    what = (
        f"Quantile {mass} of the loss"
        if kind == "quantile"
        else f"Mean loss beyond quantile {mass}"
    )
    return (
        f"{what}: {value:.5f} by the draws that chose the recipe, {told:.5f} by others (each half "
        "judges the other's choice)."
    )


def _gain(payload: dict[str, Any]) -> str:
    gap = payload["difference"]
    if gap is None:
        return ""
    ends = f" [{gap['lo']:.5f}, {gap['hi']:.5f}]" if gap["lo"] is not None else ""
    now = payload["incumbent"]
    at = f"The incumbent is expected at {now['expected_loss']:.4f}: " if now else "Fixed loss: "
    told = f" (over {payload['reported_on']})" if payload["objective"] == "ei" else ""
    return (
        f"{at}{gap['mean']:+.5f}{ends} against the recipe; expected improvement "
        f"{payload['expected_improvement']:.5f}{told}, P(better) {payload['p_better']:.3f}."
    )


def _regret(payload: dict[str, Any]) -> str:
    if payload["draws"] == 1:
        return ""  # nothing is uncertain, so that nothing is worth knowing: no finding
    told = payload["evpi_held_out"]
    flattered = " (by the draws that chose the recipe: a little too low)"
    if told is not None:
        flattered = f" ({told:.2g} by draws that did not choose the recipe)"
    return (
        f"Expected regret {payload['expected_regret']:.2g}; perfect information about the law is "
        f"worth {payload['evpi']:.2g}{flattered}: on average no study can gain more, "
        f"{_if_one_holds(payload)}"
    )


def _if_one_holds(payload: dict[str, Any]) -> str:
    """What the value of perfect information takes for granted, and its bound without that."""
    free = payload["any_weights"]
    if free is None:
        return "if the law holds."
    worst = max(free["regret"].values())
    return (
        "if one of the forms holds with these weights. They are uncertain themselves: with equal "
        f"ones it is {free['evpi_equal']:.2g}, with any at most {free['evpi_bound']:.2g}; the "
        f"recipe any_weights in the JSON risks at most {worst:.2g} under each form."
    )


def _equivalent(payload: dict[str, Any]) -> str:
    same = payload["equivalent_set"]
    return (
        f"As good (loss at most {100 * same['epsilon']:.3g} % higher, with probability "
        f"{same['prob']:g}): {same['fraction']['value']:.1%} of random allowed recipes, "
        f"{len(same['examples'])} examples in the JSON."
    )


def _show_batch(console: "Console", payload: dict[str, Any]) -> None:
    import pandas as pd

    if payload["batch"] is None:
        return
    batch = payload["batch"]
    frame = pd.DataFrame(batch["recipes"]).assign(**{"EI so far": batch["by_size"]})
    title = "A batch to train side by side: its best improves on the incumbent by"
    title += f" {batch['expected_improvement']['value']:.5f}"
    print_frame(console, frame, title, {str(name): ".3f" for name in payload["recipe"]})


def _show_forms(console: "Console", payload: dict[str, Any]) -> None:
    import pandas as pd

    across = payload["across_forms"]
    if across is None:
        return
    rows = [
        {
            "recipe": name,
            **{form: estimate["value"] for form, estimate in row.items()},
            "over forms": across["across"][name],
        }
        for name, row in across["regret"].items()
    ]
    weights = ", ".join(f"{name} {weight:.2f}" for name, weight in across["weights"].items())
    title = f"Regret under each form ({payload['loss_unit']}; weights: {weights})"
    print_frame(console, pd.DataFrame(rows), title, dict.fromkeys(rows[0], ".2g"))


def _show_sensitivity(console: "Console", payload: dict[str, Any]) -> None:
    import pandas as pd

    told = payload["sensitivity"]
    if told is None or not told["parameters"]:
        return
    rows = [
        {
            "parameter": row["name"],
            **row["share_slope"],
            "explained": row["explained"],
            "worth knowing": row["worth"],
        }
        for row in told["parameters"][:5]
    ]
    title = "What moves the choice: shares per sd of a parameter"
    spec = dict.fromkeys(rows[0], "+.3f") | {"explained": ".0%", "worth knowing": ".1g"}
    print_frame(console, pd.DataFrame(rows), title, spec)


def _show_beyond(console: "Console", payload: dict[str, Any]) -> None:
    beyond, backing = payload["beyond"], payload["backing"]
    if beyond:
        text = "Compute {compute:.3g} and repetition {repetition:.3g} times the largest fitted, "
        text += "m a factor {degree:.3g} outside; {hull} the convex hull of the fitted runs."
        hull = "inside" if beyond["inside_hull"] else "outside"
        console.print(text.format(**beyond, hull=hull), soft_wrap=True)
    scores = backing["leave_one_out"] if backing else {}
    if scores:
        errors = ", ".join(f"{name} {row['error_percent']:.2g} %" for name, row in scores.items())
        told = ", ".join(f"{row['elpd_per_run']:.3f}" for row in scores.values())
        console.print(
            f"Left out one at a time, fitted runs are missed by {errors} on average (elpd per run "
            f"{told}): that is between the data; `validate` and --held-out tell of beyond.",
            soft_wrap=True,
        )
    if backing and backing["held_out"]:
        found = backing["held_out"]
        console.print(
            f"Held out ({found['hold_out']}, {found['runs']} runs): mean error "
            f"{found['errors_percent']['mean']:.2f} %.",
            soft_wrap=True,
        )
