"""The answer of ``plan`` as text."""

from typing import TYPE_CHECKING, Any

from bayes_infolaw.cli.output import monte_carlo, print_frame, print_notes

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console

__all__ = ["show_plan"]


def show_plan(console: "Console", frame: "pd.DataFrame", payload: dict[str, Any]) -> None:
    """The plan, what reaches the loss, how far it lies from the runs, and its rivals."""
    text = (
        "{params_nonembedding:.4g} parameters on {tokens:.4g} tokens, {compute:.4g} FLOP, "
        "m = {overtraining:.3g}: expected loss {expected_loss:.4f} [{loss_lo:.4f}, {loss_hi:.4f}] "
        "{loss_unit}, noise-free, {prob:.0%} equal-tailed interval{error}."
    )
    errors = payload["standard_errors"]
    told = monte_carlo(errors["expected_loss"], ".4f")
    console.print(text.format(**payload, error=told), soft_wrap=True)
    if payload["target_loss"] is not None:
        line = "Loss {target_loss:g} is reached with probability {p_reached:.3f}{error}."
        told = monte_carlo(errors["p_reached"], ".3f")
        console.print(line.format(**payload, error=told), soft_wrap=True)
    shares = ", ".join(
        f"{name} {share:.3f} (x{payload['repetition'][name]:.2f})"
        for name, share in payload["recipe"].items()
    )
    console.print(f"Recipe (repetition): {shares}.", soft_wrap=True)
    console.print(f"Sizes: {payload['flops_from']}.", soft_wrap=True)
    console.print(_beyond_sentence(payload["beyond"]), soft_wrap=True)
    shown = ["params_nonembedding", "tokens", "overtraining", "fitted_degree", "loss_mean"]
    names = [*shown, "loss_lo", "loss_hi", "behind_mean", "behind_se", "p_best", "p_equivalent"]
    formats = dict.fromkeys(("loss_mean", "loss_lo", "loss_hi"), ".4f")
    formats |= dict.fromkeys(("behind_mean", "behind_se"), ".5f")
    title = f"Sizes at {payload['compute']:.4g} FLOP; equivalent: loss within 0.1 % of the best"
    print_frame(console, frame[names], title, formats | {"p_best": ".3f", "p_equivalent": ".3f"})
    print_notes(console, payload["notes"])


def _beyond_sentence(beyond: dict[str, Any]) -> str:
    degree = beyond["degree"]
    where = "inside the fitted range" if degree <= 1.0 + 1e-6 else f"a factor {degree:.3g} outside"
    hull = "inside" if beyond["inside_hull"] else "outside"
    return (
        f"Compute {beyond['compute']:.3g} and repetition {beyond['repetition']:.3g} times the "
        f"largest fitted, m {where}; {hull} the convex hull of the fitted runs."
    )
