"""Fits and planned runs -> how each pooled draw would see their outcomes: simulate, and reweight.

Outcomes are log losses. Effects that a fit has not seen are integrated out where the noise is
normal, and drawn once a draw where it is Student-t.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import gammaln, ndtri, stdtrit

from bayes_infolaw.decisions.draws import TargetDraws
from bayes_infolaw.decisions.next_run.effects import UnseenEffects, unseen_effects
from bayes_infolaw.errors import InputError
from bayes_infolaw.laws.infolaw import log_loss
from bayes_infolaw.laws.target import LawAtTarget
from bayes_infolaw.model.layout import model_data
from bayes_infolaw.model.linear import expected_log_loss
from bayes_infolaw.model.mean import log_information
from bayes_infolaw.posterior.plan import plan_for
from bayes_infolaw.posterior.rows import flat_draws, row_draws
from bayes_infolaw.posterior.state import FittedModel
from bayes_infolaw.tables.runs import RunTable

__all__ = [
    "RunOutcomes",
    "fit_outcomes",
    "joint_log_density",
    "kept_draws",
    "run_outcomes",
    "weights_after",
]

Array = np.ndarray
LOG_2PI = float(np.log(2.0 * np.pi))


@dataclass(frozen=True)
class RunOutcomes:
    """Log losses of n runs given each of J pooled draws.

    Run i under draw j is ``location_ji + reducible_ji columns_i' u + noise_ji e`` with
    ``u_e ~ Normal(0, variance_je)`` shared between runs and e standard normal, or Student-t with
    ``dof_j`` degrees of freedom (and then no u).
    """

    runs: tuple[str, ...]
    location: Array  # (J, n); NaN where the run lies outside the draw's domain
    noise: Array  # (J, n) sd, > 0
    dof: Array  # (J,) infinite for normal noise
    reducible: Array  # (J, n) share of the loss that the effects act on
    columns: Array  # (n, E)
    variance: Array  # (J, E)

    def simulate(self, rows: Array, points: Array, weight: Array) -> Array:
        """Draw joint outcomes of some runs.

        Parameters
        ----------
        rows : array of shape (k,)
            Positions of the runs.
        points : array of shape (M, 1 + k)
            Uniform points in (0, 1): the first picks a draw (in the order of what it expects of
            the first run, so that evenly spread points give evenly spread outcomes), the others
            its noise, run by run: adding a run leaves the outcomes of those before it as they are.
        weight : array of shape (J,)
            Of the draws.

        Returns
        -------
        array of shape (M, k)
        """
        inside = np.isfinite(self.location).all(
            axis=1
        )  # of any run: the same for every set of rows
        expected = np.where(inside, self.location[:, rows[0]], np.inf)
        order = np.argsort(expected, kind="stable")
        total = np.cumsum(np.where(inside, weight, 0.0)[order])
        picked = np.searchsorted(total, points[:, 0] * total[-1], side="right")
        draws = order[np.minimum(picked, int(inside.sum()) - 1)]
        return self.location[draws][:, rows] + self._noise_of(draws, rows, points[:, 1:])

    def _noise_of(self, draws: Array, rows: Array, points: Array) -> Array:
        """Correlated normal, or Student-t, deviates of the picked draws, (M, k)."""
        root = np.linalg.cholesky(self._covariance(draws, rows))
        normal = (root @ ndtri(points)[..., None])[..., 0]
        dof = self.dof[draws]
        if np.isinf(dof).all():
            return normal
        heavy = np.where(np.isinf(dof), 1.0, dof)[:, None]
        student = self.noise[draws][:, rows] * stdtrit(heavy, points)
        return np.where(np.isinf(dof)[:, None], normal, student)

    def _covariance(self, draws: Array, rows: Array) -> Array:
        """Covariance (m, k, k) of some runs under some draws."""
        load = self.reducible[draws][:, rows, None] * self.columns[rows]
        shared = (load * self.variance[draws][:, None, :]) @ np.swapaxes(load, 1, 2)
        return shared + self.noise[draws][:, rows, None] ** 2 * np.eye(len(rows))

    def blocks(self, rows: Array) -> list[Array]:
        """Some runs in groups between which no unseen effect is shared."""
        groups: list[tuple[Array, list[int]]] = []
        for row in rows:
            used = self.columns[row] != 0
            near = [group for group in groups if (group[0] & used).any()]
            apart = [group for group in groups if not (group[0] & used).any()]
            members = [m for group in near for m in group[1]]
            groups = [*apart, (np.any([used, *(g[0] for g in near)], axis=0), [*members, int(row)])]
        return [np.array(members) for _, members in groups]

    def log_likelihood(self, rows: Array, outcomes: Array) -> Array:
        """Log density of outcomes (M, k) of runs that belong to one block, (M, J).

        The covariance is diagonal but for the few effects of the block, so that a determinant and
        an inverse of their number are all it takes (Woodbury), however many runs there are.
        """
        if len(rows) == 1:
            return self._single(int(rows[0]), outcomes[:, 0])
        square, along, inner = self._sums(rows, outcomes)
        outside = np.isnan(self.location[:, rows]).any(axis=1)
        inner[outside] = np.eye(inner.shape[1])
        square -= (along * np.linalg.solve(inner, along)).sum(axis=1)
        level = np.log(self.noise[:, rows]).sum(axis=1) + 0.5 * np.linalg.slogdet(inner)[1]
        value = -0.5 * square.T - level - 0.5 * len(rows) * LOG_2PI
        return np.where(np.isfinite(value), value, -np.inf)

    def _sums(self, rows: Array, outcomes: Array) -> tuple[Array, Array, Array]:
        """Sums over the runs, in units of noise.

        Squares (J, M), products with the E effects (J, E, M), and one plus the effects' own
        products (J, E, E).
        """
        used = self.columns[rows].any(axis=0)
        spread = np.sqrt(self.variance[:, used])
        square = np.zeros((len(spread), len(outcomes)))
        along = np.zeros((*spread.shape, len(outcomes)))
        inner = np.tile(np.eye(spread.shape[1]), (len(spread), 1, 1))
        for row, values in zip(rows, outcomes.T, strict=True):
            noise = self.noise[:, row, None]
            load = spread * self.columns[row, used] * (self.reducible[:, row, None] / noise)
            away = (values - self.location[:, row, None]) / noise
            square += away**2
            along += load[:, :, None] * away[:, None, :]
            inner += load[:, :, None] * load[:, None, :]
        return square, along, inner

    def _single(self, row: int, outcomes: Array) -> Array:
        spread = self.columns[row] != 0
        effect = self.variance[:, spread] @ self.columns[row, spread] ** 2
        sd = np.sqrt(self.noise[:, row] ** 2 + self.reducible[:, row] ** 2 * effect)
        z = (outcomes[:, None] - self.location[:, row]) / sd
        value = -0.5 * z**2 - 0.5 * LOG_2PI - np.log(sd)
        heavy = np.isfinite(self.dof)
        if heavy.any():
            value[:, heavy] = _student_density(z[:, heavy], self.dof[heavy]) - np.log(sd[heavy])
        return np.where(np.isfinite(value), value, -np.inf)


def weights_after(
    outcomes: RunOutcomes,
    rows: Sequence[int],
    values: Array,
    weight: Array,
    cache: Mapping[tuple[int, ...], Array] | None = None,
) -> Array:
    """Weights (M, J) of the draws given outcomes (M, k) of some runs; rows sum to one."""
    total = joint_log_density(outcomes, rows, values, cache) + np.log(weight)
    total -= total.max(axis=1, keepdims=True)
    np.exp(total, out=total)
    return total / total.sum(axis=1, keepdims=True)


def joint_log_density(
    outcomes: RunOutcomes,
    rows: Sequence[int],
    values: Array,
    cache: Mapping[tuple[int, ...], Array] | None = None,
) -> Array:
    """Log density (M, J) of outcomes (M, k) of some runs under every draw.

    ``cache`` maps blocks of runs to what is already known of them, for the same values, and ``()``
    to the sum of it all.
    """
    known, position = cache or {}, {int(row): i for i, row in enumerate(rows)}
    blocks = {tuple(map(int, block)): block for block in outcomes.blocks(np.asarray(rows))}
    if () in known and known.keys() - {()} <= blocks.keys():
        total = known[()].copy()
        blocks = {key: block for key, block in blocks.items() if key not in known}
    else:
        total = np.zeros((len(values), len(outcomes.location)))
    for key, block in blocks.items():
        columns = [position[int(row)] for row in block]
        found = known.get(key)
        total += outcomes.log_likelihood(block, values[:, columns]) if found is None else found
    return total


def _student_density(z: Array, dof: Array) -> Array:
    level = gammaln((dof + 1) / 2) - gammaln(dof / 2) - 0.5 * np.log(np.pi * dof)
    return level - (dof + 1) / 2 * np.log1p(z**2 / dof)


def kept_draws(fit: FittedModel, law: LawAtTarget) -> Array:
    """Positions (J,) of the fit's joined draws that its law at a target kept.

    `posterior.target` leaves out the draws outside the law's domain; beta names a draw, and equal
    draws lie on the same side.
    """
    kept = np.flatnonzero(np.isin(flat_draws(fit)["beta"], law.beta))
    if len(kept) != len(law.beta):
        raise InputError(
            f"target: the law must be of this fit; {len(law.beta)} draws, {len(kept)} of them its"
        )
    return kept


def run_outcomes(
    fits: Mapping[str, FittedModel],
    laws: Mapping[str, LawAtTarget],
    draws: TargetDraws,
    plan: RunTable,
) -> RunOutcomes:
    """Outcomes of planned runs under the pooled draws of several fits.

    Parameters
    ----------
    fits, laws : mapping by form name
        The fits, and their laws at the target that `draws` pools.
    draws : TargetDraws
        J draws, ``pool(laws, ...)``.
    plan : RunTable
        n runs in the fits' buckets.

    Raises
    ------
    InputError
        A run outside a law's domain, or a plan that does not fit the fits.
    """
    parts = [
        fit_outcomes(fits[name], plan, kept_draws(fits[name], laws[name])) for name in draws.forms
    ]
    sizes = [part.variance.shape[1] for part in parts]
    edges = np.cumsum([0, *sizes])
    variance = np.zeros((len(draws), edges[-1]))
    for i, part in enumerate(parts):
        variance[draws.form == i, edges[i] : edges[i + 1]] = part.variance
    joined = {
        name: np.concatenate([getattr(part, name) for part in parts])
        for name in ("location", "noise", "dof", "reducible")
    }
    return RunOutcomes(
        runs=tuple(plan.frame["run"].astype(str)),
        columns=np.concatenate([part.columns for part in parts], axis=1),
        variance=variance,
        **joined,
    )


def fit_outcomes(fit: FittedModel, plan: RunTable, kept: Array | None = None) -> RunOutcomes:
    """Outcomes of planned runs under one fit's draws, or those of them at `kept` positions."""
    checked = plan_for(fit, plan)
    kept = np.arange(fit.draws["sigma"].size) if kept is None else kept
    noise = row_draws(fit, checked, int(fit.info.get("seed", 0))).noise_sd[kept]
    effects = unseen_effects(fit, checked)
    seen = _seen(fit, checked, effects)[kept]
    irreducible = flat_draws(fit)["irreducible_loss"][kept]
    location = expected_log_loss(seen, irreducible, fit.spec)
    reducible = 1.0 - irreducible[:, None] / np.exp(location)
    variance, dof = effects.variance[kept], np.full(len(kept), np.inf)
    if fit.spec.noise == "studentt":
        rng = np.random.default_rng([int(fit.info.get("seed", 0)), 5])
        drawn = (np.sqrt(variance) * rng.standard_normal(variance.shape)) @ effects.columns.T
        location, variance = location + reducible * drawn, np.zeros_like(variance)
        dof = flat_draws(fit)["nu"][kept]
    runs = tuple(checked.frame["run"].astype(str))
    columns = effects.columns if variance.any() else np.zeros((len(checked), 0))
    variance = variance if variance.any() else np.zeros((len(kept), 0))
    return RunOutcomes(runs, location, noise, dof, reducible, columns, variance)


def _seen(fit: FittedModel, plan: RunTable, effects: UnseenEffects) -> Array:
    """Log reducible loss of the rows with fitted effects only, (J, n)."""
    data, draws = model_data(plan, fit.spec, fit.anchors), flat_draws(fit)
    with np.errstate(invalid="ignore"):  # draws outside the domain, at most 0.1 %, become NaN
        log_info = log_information(draws, data, fit.spec, fit.layout)
    known = draws["coefficients"][:, 2:] @ data.columns.T + effects.offset
    level = draws["log_alpha"][:, None] + known
    return np.asarray(log_loss(level, draws["beta"][:, None], log_info))
