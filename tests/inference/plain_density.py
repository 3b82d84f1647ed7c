"""The joint density again, by scipy and loops over runs and buckets: the tests' reference.

Written from design.md's formulas; it shares only the anchors, the layout's names and the priors'
numbers with the package.
"""

import math

import numpy as np
from scipy import stats

PAIR = ("loss_centre", "loss_drop")


def distribution(prior):
    first, second = (*prior.values, None)[:2]
    return {
        "normal": lambda: stats.norm(first, second),
        "halfnormal": lambda: stats.halfnorm(scale=first),
        "lognormal": lambda: stats.lognorm(s=second, scale=first),
        "truncnormal": lambda: stats.truncnorm(-first / second, math.inf, first, second),
        "gamma": lambda: stats.gamma(first, scale=1 / second),
        "beta": lambda: stats.beta(first, second),
        "uniform": lambda: stats.uniform(first, second - first),
    }[prior.family]()


def published_level(draw, case):
    """log10(K_ref / K_0)."""
    anchors = case.anchors
    if case.spec.tokens_0 == "sampled":
        tokens_min = min(anchors.tokens_min, anchors.tokens_ref / math.e)
        kappa = (1 - draw["normaliser_min"]) / math.log(anchors.tokens_ref / tokens_min)
        return 1 / (math.log(10) * kappa)
    return math.log10(anchors.tokens_ref / anchors.tokens_0)


def normaliser(tokens, draw, case):
    ratio = tokens / case.anchors.tokens_ref
    if case.spec.normaliser == "constant":
        return 1.0
    if case.spec.normaliser == "power":
        return ratio ** draw["rho"]
    return 1 + math.log10(ratio) / published_level(draw, case)


def learning_rate(flops, draw, case):
    low, high = draw["lambda_min"], draw["lambda_min"] * math.exp(draw["lambda_gain"])
    n_low, n_high = case.anchors.flops_min, case.anchors.flops_max
    if case.spec.rate == "exponential":
        return low * (high / low) ** ((flops - n_low) / (n_high - n_low))
    position = math.log(flops / n_low) / math.log(n_high / n_low)
    if case.spec.rate == "power":
        return low * (high / low) ** position
    return low + (high - low) * position


def log_density_of_bucket(d, i, draw, case):
    if d == 0:
        return 0.0
    theta = draw["theta"]
    if case.table.corpus:
        name = case.table.frame[case.table.corpus].iloc[i]
        corpus = case.anchors.corpora.index(name)
        theta = theta * math.exp(draw["theta_sd"] * draw["theta_corpus_z"][corpus])
    if case.spec.densities == "constant":
        return -theta * d
    return -sum(theta * math.exp(draw["step_sd"] * draw["step_z"][k]) for k in range(d))


def log_information(draw, case):
    """Scale-free information of every run, K_ref tokens per unit, in logs."""
    runs = case.table.arrays()
    values = []
    for i in range(len(case.table)):
        level = normaliser(runs.tokens[i], draw, case)
        rate = learning_rate(runs.flops[i], draw, case)
        total = 0.0
        for d in range(case.table.n_buckets):
            learned = level * (1 - math.exp(-rate * runs.repetition[i, d] / level))
            density = math.exp(log_density_of_bucket(d, i, draw, case))
            total += runs.unique[i, d] / case.anchors.tokens_ref * density * learned
        values.append(math.log(total))
    return np.array(values)


def effect_columns(case):
    """Design of the coefficients beyond level and slope, read off their names."""
    runs, anchors, frame = case.table.arrays(), case.anchors, case.table.frame
    away = np.log(runs.overtraining) - anchors.log_degree_ref
    columns = []
    for name in case.layout.coefficients:
        kind, label = name.rstrip("]").split("[") if "[" in name else (name, "")
        if kind == "gamma":
            columns.append(away)
        elif kind == "smooth":
            columns.append((away / anchors.log_degree_scale) ** int(label))
        elif kind == "e_m":
            columns.append(np.abs(np.log(runs.overtraining / float(label))) < 0.1)
        else:
            columns.append((frame[kind] == label).to_numpy())
    return np.array(columns, dtype=float).reshape(-1, len(case.table)).T


def design(draw, case):
    """(offset, columns) of log reducible loss in the coefficients."""
    anchors, log_info = case.anchors, log_information(draw, case)
    if case.spec.loss_block == "natural":
        level = published_level(draw, case)
        slope = -(log_info + math.log(level * anchors.tokens_ref / 1e9))
        offset = 0.0
    else:
        share = 1 - floor(draw, case) / math.exp(anchors.log_loss_mean)
        position = (log_info - log_info.mean()) / (math.sqrt(12) * log_info.std())
        slope = -position * anchors.log_loss_range / share
        offset = anchors.log_loss_mean + math.log(share)
    columns = np.column_stack([np.ones(len(log_info)), slope, effect_columns(case)])
    return np.full(len(log_info), offset), columns


def floor(draw, case):
    return draw.get("irreducible", 0.0) * case.anchors.loss_min


def noise_sd(draw, case):
    runs = case.table.arrays()
    repeated = np.maximum(runs.tokens / runs.unique.sum(axis=1), 1.0)
    residual = draw["sigma"] * repeated ** draw.get("noise_growth", 0.0)
    return np.hypot(residual, runs.loss_se / runs.loss)


def log_prior_rates(draw, case):
    """On (lambda_min, lambda_gain)."""
    priors, anchors = case.spec.priors, case.anchors
    low, high = draw["lambda_min"], draw["lambda_min"] * math.exp(draw["lambda_gain"])
    if "lambda_min" in priors:
        value = distribution(priors["lambda_min"]).logpdf(low)
        return value + distribution(priors["lambda_max"]).logpdf(high) + math.log(high)
    level = published_level(draw, case)
    # lambda = a x + b at the two ends, x = ln(N / 1e9); lambda~ = lambda / level.
    x = np.log([anchors.flops_min / 1e9, anchors.flops_max / 1e9])
    a, b = np.linalg.solve(np.column_stack([x, [1, 1]]), np.array([low, high]) * level)
    determinant = abs(np.linalg.det(np.column_stack([x, [1, 1]]) / level))
    value = distribution(priors["a"]).logpdf(a) + distribution(priors["b"]).logpdf(b)
    return value - math.log(determinant) + math.log(high)


def log_prior_sites(draw, case):
    """Of every parameter but the coefficients."""
    special = {"lambda_min", "lambda_gain", "coefficients"}
    value = log_prior_rates(draw, case)
    for name in set(draw) - special:
        if name in ("theta_corpus_z", "step_z"):
            value += stats.norm.logpdf(draw[name]).sum()
        else:
            prior = "tau_group" if name.startswith("tau_") else name
            value += distribution(case.spec.priors[prior]).logpdf(draw[name])
    return float(value)


def effect_prior(draw, case):
    """Means and sds of the coefficients beyond level and slope."""
    priors, scales = case.spec.priors, case.layout.scales
    fixed = [name in ("gamma", "smooth") for name in scales]
    mean = [priors[s].values[0] if f else 0.0 for s, f in zip(scales, fixed, strict=True)]
    sd = [priors[s].values[1] if f else draw[s] for s, f in zip(scales, fixed, strict=True)]
    return np.array(mean), np.array(sd)


def log_prior_coefficients(c, draw, case):
    priors = case.spec.priors
    mean, sd = effect_prior(draw, case)
    value = stats.norm.logpdf(c[2:], mean, sd).sum()
    if case.spec.loss_block == "natural":
        level = distribution(priors["alpha"]).logpdf(math.exp(c[0])) + c[0]
        return value + level + distribution(priors["beta"]).logpdf(c[1])
    level = distribution(priors["loss_centre"]).logpdf(c[0])
    return value + level + distribution(priors["loss_drop"]).logpdf(c[1])


def log_likelihood(c, draw, case):
    offset, columns = design(draw, case)
    mean = np.log(floor(draw, case) + np.exp(offset + columns @ c))
    z = (np.log(case.table.arrays().loss) - mean) / noise_sd(draw, case)
    noise = stats.t(draw["nu"]) if "nu" in draw else stats.norm()
    return float((noise.logpdf(z) - np.log(noise_sd(draw, case))).sum())


def log_joint(draw, case):
    """Log density of (sites on their own scale, coefficients) and the losses."""
    c = draw["coefficients"]
    prior = log_prior_sites(draw, case) + log_prior_coefficients(c, draw, case)
    return prior + log_likelihood(c, draw, case)


def log_marginal(draw, case):
    """The same with the coefficients integrated out, by n x n Gaussian algebra."""
    mean, sd = coefficient_moments(draw, case)
    offset, x = design(draw, case)
    covariance = np.diag(noise_sd(draw, case) ** 2) + (x * sd**2) @ x.T
    centre, log_loss = offset + x @ mean, np.log(case.table.arrays().loss)
    gaussian = stats.multivariate_normal(centre, covariance).logpdf(log_loss)
    gain = np.linalg.solve(covariance, x[:, 1] * sd[1] ** 2)
    slope_mean = mean[1] + gain @ (log_loss - centre)
    slope_sd = math.sqrt(sd[1] ** 2 - gain @ x[:, 1] * sd[1] ** 2)
    truncation = stats.norm.logcdf(slope_mean / slope_sd) - stats.norm.logcdf(mean[1] / sd[1])
    return log_prior_sites(draw, case) + float(gaussian + truncation)


def coefficient_moments(draw, case):
    """Mean and sd of the Gaussian prior of every coefficient (moments where it is not Gaussian)."""
    priors = case.spec.priors
    natural = case.spec.loss_block == "natural"
    level, slope = [priors[n] for n in (("alpha", "beta") if natural else PAIR)]
    effect_mean, effect_sd = effect_prior(draw, case)
    if level.family == "gamma":
        first = (distribution(level).mean(), distribution(level).std())
    else:
        first = (math.log(level.values[0]) if natural else level.values[0], level.values[1])
    mean = np.array([first[0], slope.values[0], *effect_mean])
    return mean, np.array([first[1], slope.values[1], *effect_sd])


def coefficients_at(z, draw, case):
    """(c, log |dc / dz|) of conditional coordinates: slope first, then the others given it."""
    mean, sd = coefficient_moments(draw, case)
    offset, x = design(draw, case)
    loss = case.table.arrays().loss
    noise = noise_sd(draw, case) / (1 - floor(draw, case) / loss)
    weighted = x / noise[:, None] ** 2
    covariance = np.linalg.inv(np.diag(1 / sd**2) + x.T @ weighted)
    score = mean / sd**2 + weighted.T @ (np.log(loss - floor(draw, case)) - offset)
    order = [1, 0, *range(2, len(mean))]
    centre = (covariance @ score)[order]
    root = np.linalg.cholesky(covariance[np.ix_(order, order)])
    ratio = centre[0] / root[0, 0] + z[0]
    first = np.logaddexp(0, ratio) - centre[0] / root[0, 0]
    c = np.empty(len(mean))
    c[order] = centre + root @ np.r_[first, z[1:]]
    return c, float(np.log(np.diag(root)).sum() - np.logaddexp(0, -ratio))
