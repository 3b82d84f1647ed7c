"""What ``next`` found -> the text for people."""

from typing import TYPE_CHECKING, Any

from bayes_infolaw.cli.output import print_frame, print_notes

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["notes_on", "show"]

SHOWN = (
    *("run", "flop", "repetition", "regret_reduction", "information_gain", "benefit_per_cost"),
    *("ess", "refit"),
)
LISTED = 15  # candidates printed for people; --json has all


def notes_on(found: dict[str, Any]) -> list[str]:
    """What the values of the candidates rest on, where it is thin."""
    notes, rows = [], found["candidates"]
    low = sum(row["refit"] and not row["refit_outcomes"] for row in rows)
    if low:
        notes.append(
            f"{low} of {len(rows)} candidates leave too few effective draws to "
            "reweight: their values are rough (--refit fits simulated outcomes)."
        )
    return [*notes, *_repeated(rows)]


def _repeated(rows: list[dict[str, Any]]) -> list[str]:
    """Runs beyond the fitted repetition: what they show may be overfitting, which no form knows."""
    far = [row for row in rows if row["beyond"]["repetition"] > 1.0 + 1e-6]
    if not far:
        return []
    most = max(far, key=lambda row: row["repetition"])
    fitted = most["repetition"] / most["beyond"]["repetition"]
    return [
        f"{len(far)} of {len(rows)} candidates repeat a bucket more often than any fitted run "
        f"({most['run']}: {most['repetition']:.3g} times; fitted: up to {fitted:.3g}). Runs that "
        "overfit follow no form of the law, and can turn the weights of the forms the wrong way."
    ]


def show(console: "Console", payload: dict[str, Any], rank_by: str) -> None:
    """Print how new runs were taken in, the verdict, the batch and the candidates."""
    import pandas as pd

    for row in payload["updates"]:
        words = "{form}: {method} ({reason}); it foresaw the new runs with p = {surprise_p:.2g}."
        console.print(words.format(**row), soft_wrap=True)
    head = "Stop: " if payload["stop"] else f"Next: {payload['batch'][0]['run']}\n"
    console.print(f"{head}{payload['reason']}", soft_wrap=True)
    per = "worth" if rank_by == "value" else "information"
    counted = f"Candidates by {per} per FLOP ({len(payload['candidates'])} in all)"
    for name, title in (("batch", "Batch (each adds to those before)"), ("candidates", counted)):
        rows = payload[name][:LISTED]
        if name == "candidates" or len(rows) > 1:
            shown = pd.DataFrame(rows)[list(SHOWN)]
            print_frame(console, shown, title, {"ess": ".0f", "repetition": ".3g"})
    console.print(
        f"regret_reduction is in {payload['loss_unit']}, information_gain in nats about what "
        "decides; benefit_per_cost above 1 pays.",
        soft_wrap=True,
    )
    print_notes(console, payload["notes"])
