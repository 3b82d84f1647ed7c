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
# # The first ladder: quality and repetition, measured
#
# `runs/cpu_ladder` holds transformers of 31 thousand to 442 thousand parameters that our harness
# trained on real text in six quality buckets. Nothing here is simulated. The questions: do quality
# and repetition show, how large are they beside the noise, and does the law predict runs that the
# fit has not seen?

# %%
# %matplotlib inline
import os

import pandas as pd

import bayes_infolaw as bi
from bayes_infolaw.figures import diagnostics, forecast, ladder
from bayes_infolaw.posterior.prior_posterior import prior_posterior
from bayes_infolaw.validation.gaps import held_out_gaps

SMOKE = bool(os.environ.get("SMOKE"))  # the tests run this notebook with short chains
SAMPLER = {"draws": 400, "warmup": 300} if SMOKE else {}
STUDY = "../runs/cpu_ladder"

# %%
runs = bi.read_runs(STUDY)
frame = runs.frame
frame[["run", "loss", "tokens", "source_tokens", "repetition_0", "repetition_5"]].describe()

# %%
frame.groupby(["role", "size"], sort=False)["run"].count().unstack(fill_value=0)

# %% [markdown]
# ## Quality
#
# One size, each bucket alone, the source so large that almost nothing is repeated: the held-out
# loss is what the bucket is worth. The law has `f_d = exp(-theta d)`, so it should rise.

# %%
alone = frame[frame["role"] == "bucket"]
alone = alone.assign(
    bucket=alone["recipe"],
    repetition=alone.filter(regex="^repetition_").max(axis=1),
)
ladder.buckets_alone(alone)

# %% [markdown]
# ## Repetition
#
# S = K, so the top bucket (5 % of the source) is repeated 18 times by HQ, 11 times by MQ and 5
# times by LQ. `MLQ` was held out from the design: no fit below has seen it.

# %%
grid = frame.query("role in ['grid', 'heldout_recipe', 'heldout_size'] and overtraining < 0.5")
ladder.by_size(grid)

# %% [markdown]
# The source shrunk or grown at the same recipe: what repetition alone does.

# %%
source = frame.query("role == 'source' or (role == 'grid' and recipe in ['HQ', 'LQ'])")
source = source.assign(ratio=(source["source_tokens"] / source["tokens"]).round(2))
source.pivot_table(index=["recipe", "ratio"], columns="size", values="loss").round(3)

# %% [markdown]
# ## Noise
#
# Two recipes at one size, each with three subsamples of the source and three seeds (initialisation
# and order). Lines join runs that share both: the difference between recipes is steadier than the
# level, which is why runs are paired.

# %%
pairs = frame.query("size == '83k' and recipe in ['HQ', 'LQ'] and overtraining < 0.5")
pairs = pairs.query("role in ['grid', 'replicate']")
pairs = pairs.assign(seeds=pairs["subsample"] + "-" + pairs["seed"].astype(str))
ladder.replicates(pairs)

# %%
wide = pairs.pivot(index="seeds", columns="recipe", values="loss")
wide.assign(contrast=wide["HQ"] - wide["LQ"]).agg(["mean", "std"]).round(4)

# %% [markdown]
# ## The fit
#
# All runs, the source's subsample as a group of its own.

# %%
fit = bi.fit(runs, **SAMPLER)
fit.verdict

# %%
table = prior_posterior(fit)
table.round(4)

# %%
diagnostics.priors(table)

# %% [markdown]
# It converges, and yet look at `sigma`: 0.05 of log loss is ten times what replicates differ by.
# Six runs repeat one bucket 44 or 54 times, overfit (their loss rises while training goes on), and
# no form of the law can follow them. Without them sigma is 0.02: still several times the noise, so
# the rest is the law's own error.

# %%
most = runs.frame.filter(regex="^repetition_").max(axis=1)
usual = runs.subset((most <= 30).to_numpy())
prior_posterior(bi.fit(usual, **SAMPLER)).loc[["theta", "beta", "sigma"]].round(4)

# %% [markdown]
# ## Held out
#
# The largest size and the recipe MLQ: the fit sees none of the rows that it is scored on. The other
# lines are baselines on the same split; `power law` and Chinchilla's form know nothing of recipes.

# %%
HELD_OUT = "role in ['heldout_size', 'heldout_recipe']"
check = bi.validate(runs, HELD_OUT, **SAMPLER)
check.table().round(3)

# %%
rows = check.rows
forecast.held_out(
    rows["loss"].to_numpy(),
    rows["loss_mean"].to_numpy(),
    (rows["loss_lo"].to_numpy(), rows["loss_hi"].to_numpy()),
    prob=0.9,
)

# %% [markdown]
# ## The decision
#
# Which recipe at the largest size? What was measured, and what fits that never saw that size say:
# the loss above MLQ's (noise-free, under the same draw), and how often each recipe is the best of
# the four. Two forms of the noise, with and without the six overfitted runs, do not agree, and one
# is sure of the wrong answer. The form matters more than the parameters.

# %%
LARGEST = "role == 'heldout_size'"
MODELS = ("infolaw", "infolaw_growing_noise")
TABLES = {"all runs": runs, "at most 30 epochs": usual}
gaps = {
    (rows, model): held_out_gaps(
        bi.validate(table, LARGEST, model, **SAMPLER), "442k-MLQ-m0.25-r1-s0-i0"
    )
    for rows, table in TABLES.items()
    for model in MODELS
}
pd.concat(gaps).round(3)
