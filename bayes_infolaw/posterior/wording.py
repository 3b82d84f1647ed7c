"""A verdict and a recommendation -> the sentences that the terminal and the demo's page say."""

from bayes_infolaw.posterior.verdict import Verdict
from bayes_infolaw.recipes.recommend import Recommendation

__all__ = ["recipe_sentences", "verdict_sentence"]


def verdict_sentence(verdict: Verdict) -> str:
    """Converged or not, and the numbers that say so."""
    numbers = (
        f"R-hat {verdict.rhat_max:.4f}, ESS {verdict.ess_bulk_min:.0f} bulk and "
        f"{verdict.ess_tail_min:.0f} tail, {verdict.divergences} divergences, "
        f"BFMI {verdict.bfmi_min:.2f}"
    )
    if verdict.converged:
        return f"Converged: {numbers}."
    return f"NOT CONVERGED ({'; '.join(verdict.failures())}): {numbers}."


def recipe_sentences(found: Recommendation, loss_unit: str) -> str:
    """What a recipe is expected to reach, and what it gains on the incumbent."""
    loss = f"Expected loss {found.expected_loss:.4f}"
    if found.prob is not None:
        loss += f" [{found.loss_lo:.4f}, {found.loss_hi:.4f}]"
    text = [f"{loss} {loss_unit}, noise-free."]
    if found.incumbent is not None and found.difference is not None:
        gap = found.difference
        ends = f" [{gap.lo:.5f}, {gap.hi:.5f}]" if gap.lo is not None else ""
        now = f"The incumbent is expected at {found.incumbent.expected_loss:.4f}"
        text += [f"{now}: {gap.mean:+.5f}{ends} against the recipe."]
    if found.prob is not None:
        text += [f"Intervals: {found.prob:.0%}, equal-tailed; the difference over common draws."]
    return " ".join(text)
