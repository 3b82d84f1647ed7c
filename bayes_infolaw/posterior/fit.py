"""A fit and all that can be asked of it."""

from pathlib import Path
from typing import Any

import pandas as pd
import xarray as xr

from bayes_infolaw.laws.target import LawAtTarget
from bayes_infolaw.posterior.files import read_fields, save_fit, to_datatree
from bayes_infolaw.posterior.predict import predict
from bayes_infolaw.posterior.state import FittedModel
from bayes_infolaw.posterior.target import law_at_target
from bayes_infolaw.recipes.recommend import Recommendation, recommend
from bayes_infolaw.tables.runs import RunTable

__all__ = ["Fit", "load_fit"]


class Fit(FittedModel):
    """Posterior of one model on one table; attributes as in `posterior.state.FittedModel`."""

    def predict(
        self,
        plan: RunTable | pd.DataFrame | str | Path,
        prob: float = 0.9,
        *,
        allow_unconverged: bool = False,
    ) -> xr.Dataset:
        """Posterior predictive losses of planned runs; see `posterior.predict.predict`."""
        return predict(self, plan, prob, allow_unconverged=allow_unconverged)

    def target(self, **target: Any) -> LawAtTarget:
        """The law's draws at one target; see `posterior.target.law_at_target`."""
        return law_at_target(self, **target)

    def recommend(
        self,
        *,
        ordered: bool = False,
        incumbent: Any = None,
        prob: float = 0.9,
        allow_unconverged: bool = False,
        **target: Any,
    ) -> Recommendation:
        """The recipe that minimises expected loss at a target; see `recipes.recommend`.

        ``target``: params_nonembedding, tokens, source_tokens, and optionally shares,
        flops_per_token or overtraining, groups, corpus.
        """
        law = self.target(**target)  # one bucket is refused whatever the verdict
        self.require_usable(allow_unconverged)
        return recommend(law, ordered=ordered, incumbent=incumbent, prob=prob)

    def to_arviz(self, *, log_likelihood: bool = False, log_prior: bool = False) -> xr.DataTree:
        """The fit as an ArviZ 1.x DataTree; see `posterior.files.to_datatree`."""
        return to_datatree(self, log_likelihood=log_likelihood, log_prior=log_prior)

    def save(self, path: Any) -> None:
        """Write the fit to a netCDF file (to a temporary file first, then renamed)."""
        save_fit(self, path)


def load_fit(path: str | Path) -> Fit:
    """Read a fit written by `Fit.save`.

    Raises
    ------
    InputError
        No such file, not a fit file, or its rows do not match their hash.
    """
    return Fit(**read_fields(path))
