# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # From a table of runs to a recipe
#
# You have a table of small training runs and a target. This notebook fits the law, asks whether
# the fit can be trusted, reads the predicted loss at the target with its interval, and gets the
# recipe with the least expected loss.
#
# The table is **simulated** from the constants of the InfoLaw paper (arXiv 2605.02364): 27 runs,
# nine models by three recipes, noise of 0.15 % in the loss. So the truth is known and can be shown
# beside every answer.

# %%
# %matplotlib inline
import os

import bayes_infolaw as bi
from bayes_infolaw.figures import diagnostics, forecast
from bayes_infolaw.figures.overview import simulated_from
from bayes_infolaw.posterior.extrapolate import scaled_largest_run
from bayes_infolaw.posterior.prior_posterior import prior_posterior
from bayes_infolaw.validation.validate import score_held_out

SMOKE = bool(os.environ.get("SMOKE"))  # the tests run this notebook with short chains
SAMPLER = {"draws": 400, "warmup": 300} if SMOKE else {}
STUDY = "../runs/paper_design"

# %% [markdown]
# ## The table
#
# One row a run, absolute units. `w_*` are the packed shares (what was trained on), `share_*` those
# of the source corpus; bucket 0 is the best.

# %%
runs = bi.read_runs(STUDY)
runs.frame[
    ["run", "loss", "params_nonembedding", "tokens", "source_tokens", "w_0", "w_1", "w_5"]
].head()

# %%
runs.notes

# %% [markdown]
# ## The fit
#
# NUTS on the model in `models/infolaw.toml`. A fit carries a verdict; where it is bad, predicting
# is refused.

# %%
fit = bi.fit(runs, **SAMPLER)
fit.verdict

# %%
table = prior_posterior(fit)
table.round(4)

# %% [markdown]
# Each row below is one parameter on the scale of its own prior: the grey bar is the prior's 90 %
# interval, blue is what the posterior keeps of it, green is the value that the table was simulated
# from. What the runs say about the loss level, the slope `beta` and the noise is sharp; `theta`
# stays the widest.

# %%
diagnostics.priors(table, simulated_from(fit))

# %% [markdown]
# ## The held-out check
#
# 78 runs that the fit has not seen: two recipes, 25 random recipes, larger models up to 7.7B, and
# runs at another overtraining degree (m = 22). The first line is this fit, the others are the
# baselines on the same split.

# %%
held_out = bi.read_runs(f"{STUDY}/heldout.toml")
check = score_held_out(fit, held_out)
check.table().round(3)

# %% [markdown]
# Lines that leave the lower panel are the runs at m = 22: the fit knows one degree only, and says
# so by an interval as wide as its prior on other degrees. Coverage holds there, sharpness (CRPS)
# pays.

# %%
rows = check.rows
forecast.held_out(
    rows["loss"].to_numpy(),
    rows["loss_mean"].to_numpy(),
    (rows["loss_lo"].to_numpy(), rows["loss_hi"].to_numpy()),
    prob=0.9,
)

# %% [markdown]
# ## The prediction at the target
#
# 7.7B parameters: 425B packed tokens, from a source corpus of 425B or 500B tokens. `loss_lo` to
# `loss_hi` is for a new run, `mean_lo` to `mean_hi` leaves its noise out. `beyond_compute` says
# how far the target lies beyond the data.

# %%
prediction = fit.predict(f"{STUDY}/plan_7b.csv")
columns = ["loss_mean", "loss_lo", "loss_hi", "mean_lo", "mean_hi", "beyond_compute", "inside_hull"]
prediction[columns].to_dataframe().round(4)

# %%
names = [str(run) for run in prediction["run"].values]
forecast.by_recipe(
    names,
    prediction["loss_mean"].values,
    (prediction["loss_lo"].values, prediction["loss_hi"].values),
    (prediction["mean_lo"].values, prediction["mean_hi"].values),
)

# %% [markdown]
# What the spread is made of: at this distance from the data most of it is parameter uncertainty,
# the rest is the noise of a new run. The parameters' part is shared by all recipes, so it says
# little about which one is better.

# %%
forecast.variance_parts(
    names,
    {part: prediction[f"variance_{part}"].values for part in ("parameters", "group", "noise")},
)

# %% [markdown]
# The same along growing compute: the largest fitted run, scaled in size and tokens alike.

# %%
ladder = scaled_largest_run(runs, [1, 3, 10, 30, 100, 300])
half, most = fit.predict(ladder, prob=0.5), fit.predict(ladder, prob=0.9)
forecast.fan(
    ladder.arrays().compute,
    most["loss_mean"].values,
    {p["prob"].values[0]: (p["loss_lo"].values, p["loss_hi"].values) for p in (half, most)},
    measured=(runs.arrays().compute, runs.arrays().loss),
)

# %% [markdown]
# ## The recipe
#
# The recipe of least expected loss at the target, an exact convex program. The incumbent is the
# paper's MQ recipe. `difference` is the incumbent's loss minus the recommended recipe's over
# common draws: its interval is far narrower than either loss's own, because what is uncertain
# about the level cancels.

# %%
incumbent = {"0": 0.4898, "1": 0.2347, "2": 0.1327, "3": 0.0714, "4": 0.0714, "5": 0.0}
target = {"params_nonembedding": 6442450944, "tokens": 425e9, "source_tokens": 425e9}
target["overtraining"] = 3.6  # the fitted degree: another one would carry its prior's spread
found = fit.recommend(incumbent=incumbent, **target)
found.expected_loss, (found.loss_lo, found.loss_hi), found.difference

# %%
source = dict(zip(runs.buckets, runs.arrays().shares[0], strict=True))
forecast.recipe(found.recipe, found.recipe_quantiles, incumbent, source)

# %% [markdown]
# Mean repetition of each bucket in that recipe (0 where it is unused), and the spread of the
# draws' own optima.

# %%
found.repetition, found.recipe_sd
