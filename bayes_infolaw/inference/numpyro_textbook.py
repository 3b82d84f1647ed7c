"""The textbook form under NumPyro's own NUTS: what a fit without our coordinates looks like."""

from typing import Any

import numpyro
import numpyro.distributions as dist
import xarray as xr

from bayes_infolaw.inference.device import prepare_device
from bayes_infolaw.inference.numpyro_model import numpyro_prior
from bayes_infolaw.inference.textbook import (
    HIERARCHY_PRIORS,
    TEXTBOOK_PRIORS,
    TextbookData,
    textbook_data,
    textbook_log_loss,
)
from bayes_infolaw.tables.runs import RunTable

__all__ = ["sample_textbook"]

STATISTICS = {
    "diverging": "diverging",
    "energy": "energy",
    "num_steps": "n_steps",
    "accept_prob": "acceptance_rate",
}


def sample_textbook(
    table: RunTable,
    *,
    chains: int = 4,
    draws: int = 1000,
    warmup: int = 1000,
    seed: int = 0,
    max_tree_depth: int = 10,
) -> xr.DataTree:
    """Sample the textbook form of `inference.textbook` with NumPyro's defaults.

    Parameters
    ----------
    table : RunTable
        Runs with K > 1e9 tokens and N > 1e9 FLOP per token.

    Returns
    -------
    DataTree
        ``posterior``: theta, a, b, alpha, beta, sigma, gamma, tau, e_m (degree), published units;
        ``sample_stats``: diverging, energy, n_steps, acceptance_rate. Judge it before use
        (`posterior.compare_samplers`): on the paper's design it takes hundreds of leapfrog steps
        a draw and mostly fails the verdict.
    """
    import jax

    plan = prepare_device("cpu", chains)
    parallel = len(plan.devices) >= chains
    data = textbook_data(table)
    mcmc = numpyro.infer.MCMC(
        numpyro.infer.NUTS(lambda: _model(data), max_tree_depth=max_tree_depth),
        num_warmup=warmup,
        num_samples=draws,
        num_chains=chains,
        chain_method="parallel" if parallel else "vectorized",
        progress_bar=False,
    )
    mcmc.run(jax.random.key(seed), extra_fields=tuple(STATISTICS))
    return _tree(mcmc)


def _model(data: TextbookData) -> None:
    """Alphas of the degrees partially pooled, everything centred, nothing integrated out."""
    import jax.numpy as jnp

    priors = TEXTBOOK_PRIORS | HIERARCHY_PRIORS
    draw = {name: numpyro.sample(name, numpyro_prior(prior)) for name, prior in priors.items()}
    degrees = dist.Normal(0.0, draw["tau"]).expand([len(data.log_degrees)]).to_event(1)
    draw["e_m"] = numpyro.sample("e_m", degrees)
    mean = textbook_log_loss(draw, data, jnp)
    numpyro.sample("log_loss", dist.Normal(mean, draw["sigma"]), obs=data.log_loss)


def _tree(mcmc: Any) -> xr.DataTree:
    samples, extra = mcmc.get_samples(True), mcmc.get_extra_fields(True)
    dims = ("chain", "draw")
    posterior = {
        name: ((*dims, "degree")[: value.ndim], value.__array__())
        for name, value in samples.items()
    }
    stats = {name: (dims, extra[key].__array__()) for key, name in STATISTICS.items()}
    return xr.DataTree.from_dict(
        {"posterior": xr.Dataset(posterior), "sample_stats": xr.Dataset(stats)}
    )
