"""A recommendation without further ado, as the demo prints it."""

from typing import TYPE_CHECKING

from bayes_infolaw.cli.output import print_frame

if TYPE_CHECKING:
    from rich.console import Console

    from bayes_infolaw.recipes.recommend import Recommendation

__all__ = ["show_recipe"]


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
