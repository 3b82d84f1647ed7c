"""The answer of ``worth`` as text."""

from typing import TYPE_CHECKING, Any

from bayes_infolaw.cli.output import monte_carlo, print_frame, print_notes

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["show_worth"]


def show_worth(console: "Console", payload: dict[str, Any]) -> None:
    """What the bucket brings, its break-even price, and the recipes with and without it."""
    import pandas as pd

    text = (
        "With {name} (density {density[mean]:.3f} [{density[lo]:.3f}, {density[hi]:.3f}] of the "
        "best bucket's, {tokens:.4g} tokens) the expected loss is {loss_with:.4f} instead of "
        "{loss_without:.4f} {loss_unit}: {drop_mean:.5f} [{drop_lo:.5f}, {drop_hi:.5f}] lower, "
        "over common draws{error}."
    )
    told = monte_carlo(payload["standard_errors"]["drop_mean"], ".2g")
    console.print(text.format(**payload, error=told), soft_wrap=True)
    console.print(_worth_sentence(payload), soft_wrap=True)
    rows = [
        {
            "bucket": bucket,
            "share": share,
            "repetition": payload["repetition"][bucket],
            "share without": payload["recipe_without"].get(bucket),
        }
        for bucket, share in payload["recipe"].items()
    ]
    formats = {"share": ".3f", "repetition": ".2f", "share without": ".3f"}
    print_frame(console, pd.DataFrame(rows), "Recipes of least expected loss", formats)
    print_notes(console, payload["notes"])


def _worth_sentence(payload: dict[str, Any]) -> str:
    if payload["value"] is None:
        much = f"more than {payload['largest_factor']:g} times the target's compute"
    else:
        much = f"{payload['value']:.4g} FLOP {_interval(payload, 'value')}"
    verdict = "worth" if payload["worth_it"] else "not worth"
    much += monte_carlo(payload["standard_errors"]["value"], ".2g")
    return (
        f"Break-even price (by {payload['value_from']}): {much}. At {payload['price']:.4g} FLOP it "
        f"is {verdict} it: it pays with probability {payload['p_worth']:.3f}."
    )


def _interval(payload: dict[str, Any], name: str) -> str:
    ends = [payload[f"{name}_lo"], payload[f"{name}_hi"]]
    low, high = ("beyond" if end is None else f"{end:.4g}" for end in ends)
    return f"[{low}, {high}]"
