"""A design and known parameters -> the same runs with simulated losses."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from bayes_infolaw.errors import InputError
from bayes_infolaw.laws.infolaw import constant_step_density, information, log_loss
from bayes_infolaw.laws.published import K_0, TOKEN_UNIT, log10_normaliser, published_rate
from bayes_infolaw.tables.build import build_table
from bayes_infolaw.tables.runs import RunArrays, RunTable
from bayes_infolaw.tables.study import Study
from bayes_infolaw.tables.write import stated_frame

__all__ = ["expected_log_loss", "simulate"]

Array = np.ndarray
REQUIRED = ("a", "b", "alpha", "beta")
KNOWN = ("theta", *REQUIRED, "sigma", "K_0")
DEGREE_TOLERANCE = 0.05


def simulate(
    table: RunTable,
    parameters: Mapping[str, Any],
    *,
    seed: int,
    noise_sd: float | None = None,
) -> RunTable:
    """Draw losses for a design from the published law (eqs. 5, 6, 8, 9) with log-normal noise.

    Parameters
    ----------
    table : RunTable
        A plan or a run table; its losses, if any, are replaced.
    parameters : mapping
        ``theta`` (not needed for one bucket), ``a``, ``b``, ``alpha``, ``beta`` in published units
        (N_0 = 1e9 FLOP per token, information in 1e9 tokens); ``alpha`` is a number or a mapping
        from overtraining degrees m (matched within 5 %) to numbers. ``K_0`` in tokens, 1e9 by
        default; ``sigma``, the sd of log loss, unless `noise_sd` is given.
    seed : int
        Seed of numpy's PCG64; the same seed gives the same losses.
    noise_sd : float, optional
        Residual sd of log loss. A design's `loss_se` is added in quadrature, as evaluation error.

    Returns
    -------
    RunTable
        ``simulated`` is True, and provenance holds parameters, seed and noise.

    Raises
    ------
    InputError
        A parameter is missing or unknown, or a run lies outside the law's domain (K <= K_0,
        lambda <= 0, a degree without alpha).
    """
    sigma = _check_parameters(parameters, noise_sd, table.n_buckets)
    arrays = table.arrays()
    expected = expected_log_loss(table, parameters)
    noise = np.random.default_rng(seed).standard_normal(len(table))
    spread = np.hypot(sigma, arrays.loss_se / np.exp(expected))
    frame = stated_frame(table).assign(loss=np.exp(expected + spread * noise))
    facts = {"law": "published form", **_plain(parameters), "sigma": sigma, "seed": seed}
    study = Study(
        title=str(table.provenance.get("title", "")),
        buckets=table.buckets,
        loss_unit=table.loss_unit,
        groups=table.groups,
        corpus=table.corpus,
        simulated=True,
        parameters=facts,
    )
    return build_table(frame.assign(simulated=True), study)


def expected_log_loss(table: RunTable, parameters: Mapping[str, Any]) -> Array:
    """Log loss without noise at known parameters (published units), shape (n,); see `simulate`."""
    arrays = table.arrays()
    normaliser = np.asarray(log10_normaliser(arrays.tokens, parameters.get("K_0", K_0)))
    rate = np.asarray(published_rate(arrays.flops, parameters["a"], parameters["b"]))
    _check_domain(table, "tokens", arrays.tokens, normaliser, "must exceed K_0")
    _check_domain(table, "params_nonembedding", rate, rate, "lambda(N) must be positive")
    density = constant_step_density(np.asarray(parameters.get("theta", 0.0)), table.n_buckets)
    info = information(arrays.unique / TOKEN_UNIT, arrays.repetition, density, rate, normaliser)
    log_alpha = np.log(_alpha(table, arrays, parameters["alpha"]))
    return np.asarray(log_loss(log_alpha, parameters["beta"], np.log(info)))


def _check_parameters(
    parameters: Mapping[str, Any], noise_sd: float | None, n_buckets: int
) -> float:
    required = (*(("theta",) if n_buckets > 1 else ()), *REQUIRED)
    for name in parameters:
        if name not in KNOWN:
            raise InputError(f"parameters: must be among {', '.join(KNOWN)}, got {name!r}")
    for name in required:
        if name not in parameters:
            raise InputError(f"parameters: {name} is needed, got {', '.join(parameters) or 'none'}")
    sigma = parameters.get("sigma") if noise_sd is None else noise_sd
    if sigma is None or not float(sigma) >= 0:
        raise InputError(f"parameters: sigma (sd of log loss) must be at least 0, got {sigma}")
    return float(sigma)


def _check_domain(table: RunTable, column: str, values: Array, positive: Array, rule: str) -> None:
    bad = np.flatnonzero(~(positive > 0))
    if bad.size:
        run = table.frame["run"].iloc[int(bad[0])]
        where = f"row {int(bad[0]) + 1} (run {run!r}), column {column}"
        raise InputError(f"{where}: {rule}, got {values[bad[0]]:.6g}")


def _alpha(table: RunTable, arrays: RunArrays, alpha: Any) -> Array:
    if not isinstance(alpha, Mapping):
        return np.full(len(table), float(alpha))
    degrees = np.array([float(degree) for degree in alpha])
    apart = np.abs(np.log(arrays.overtraining[:, None] / degrees))
    known = apart.min(axis=1) < np.log1p(DEGREE_TOLERANCE)
    listed = ", ".join(f"{degree:g}" for degree in degrees)
    rule = f"alpha must be given for the degree within {DEGREE_TOLERANCE:.0%} ({listed})"
    _check_domain(table, "overtraining", arrays.overtraining, known.astype(float), rule)
    return np.array([float(value) for value in alpha.values()])[apart.argmin(axis=1)]


def _plain(parameters: Mapping[str, Any]) -> dict[str, Any]:
    return {k: dict(v) if isinstance(v, Mapping) else v for k, v in parameters.items()}
