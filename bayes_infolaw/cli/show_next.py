"""What ``next`` found -> the text for people."""

from typing import TYPE_CHECKING, Any

from bayes_infolaw.cli.output import print_frame, print_notes

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["notes_on", "show"]

SHOWN = ("run", "flop", "regret_reduction", "information_gain", "benefit_per_cost", "ess", "refit")
LISTED = 15  # candidates printed for people; --json has all


def notes_on(found: dict[str, Any]) -> list[str]:
    """What the values of the candidates rest on, where it is thin."""
    low = sum(row["refit"] and not row["refit_outcomes"] for row in found["candidates"])
    if not low:
        return []
    return [
        f"{low} of {len(found['candidates'])} candidates leave too few effective draws to "
        "reweight: their values are rough (--refit fits simulated outcomes)."
    ]


def show(console: "Console", payload: dict[str, Any], rank_by: str) -> None:
    """Print how new runs were taken in, the verdict, the batch and the candidates."""
    import pandas as pd

    for row in payload["updates"]:
        console.print("{form}: {method} ({reason}).".format(**row), soft_wrap=True)
    head = "Stop: " if payload["stop"] else f"Next: {payload['batch'][0]['run']}\n"
    console.print(f"{head}{payload['reason']}", soft_wrap=True)
    per = "worth" if rank_by == "value" else "information"
    counted = f"Candidates by {per} per FLOP ({len(payload['candidates'])} in all)"
    for name, title in (("batch", "Batch (each adds to those before)"), ("candidates", counted)):
        rows = payload[name][:LISTED]
        if name == "candidates" or len(rows) > 1:
            print_frame(console, pd.DataFrame(rows)[list(SHOWN)], title, {"ess": ".0f"})
    console.print(
        f"regret_reduction is in {payload['loss_unit']}, information_gain in nats about what "
        "decides; benefit_per_cost above 1 pays.",
        soft_wrap=True,
    )
    print_notes(console, payload["notes"])
