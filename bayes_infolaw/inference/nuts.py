"""A potential -> NUTS draws: chains and tables as lanes of one compiled program.

The kernel is NumPyro's; ours is what surrounds it. Every lane (a chain of a table) moves in
coordinates whitened by its table's curvature; after each warm-up phase the whitening is refined
with the covariance pooled over the table's chains. One compiled block of transitions serves
warm-up and draws alike, so compilation is paid once and progress can be shown between blocks.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import Mesh, PartitionSpec
from numpyro.infer.hmc import hmc

from bayes_infolaw.inference.problem import Problem
from bayes_infolaw.inference.starts import Whitening
from bayes_infolaw.model.layout import ModelData

__all__ = ["Draws", "NutsSettings", "run_nuts"]

Array = np.ndarray
BLOCK = 100  # transitions between two looks at the progress bar
PHASES = 3  # warm-up phases; whitening is refined after all but the last


@dataclass(frozen=True)
class NutsSettings:
    """Chains, draws and warm-up of each chain, and NUTS's own knobs."""

    chains: int = 4
    draws: int = 1000
    warmup: int = 900
    target_accept: float = 0.9
    max_tree_depth: int = 10
    seed: int = 0

    @property
    def phase(self) -> int:
        """Transitions of one warm-up phase, a whole number of blocks."""
        return max(1, round(self.warmup / PHASES / BLOCK)) * BLOCK


class Draws(NamedTuple):
    """Draws of every table; axes (table, chain, draw, ...)."""

    vector: Array  # (t, c, s, d) unconstrained
    diverging: Array  # (t, c, s)
    energy: Array  # (t, c, s)
    steps: Array  # (t, c, s) leapfrog steps
    acceptance: Array  # (t, c, s)
    step_size: Array  # (t, c)


class _Lane(NamedTuple):
    data: ModelData
    centre: Any
    factor: Any


def run_nuts(
    problem: Problem,
    data: ModelData,
    whitenings: list[Whitening],
    settings: NutsSettings,
    devices: tuple[Any, ...],
    progress: Callable[[int, int], None] | None = None,
) -> Draws:
    """Sample every table with every chain.

    Parameters
    ----------
    data : ModelData
        Stacked tables: every array has a leading axis t.
    whitenings : list of Whitening
        One per table, from `starts.find_mode`.
    devices : tuple
        JAX devices; lanes are spread evenly over them and run independently there.
    progress : callable, optional
        Called with (blocks done, blocks in all).
    """
    engine = _Engine(problem, settings, devices, len(whitenings))
    return engine.run(data, whitenings, progress or (lambda done, total: None))


class _Engine:
    def __init__(self, problem: Problem, settings: NutsSettings, devices: Any, tables: int):
        self.problem, self.settings, self.tables = problem, settings, tables
        self.lanes = tables * settings.chains
        self.padded = -(-self.lanes // len(devices)) * len(devices)
        density = problem.potential()
        self.init, self.sample = hmc(
            potential_fn_gen=lambda lane: (
                lambda u: density(lane.centre + lane.factor @ u, lane.data)
            ),
            algo="NUTS",
        )
        spread = partial(
            jax.shard_map,
            mesh=Mesh(np.array(devices), ("lane",)),
            in_specs=PartitionSpec("lane"),
            out_specs=PartitionSpec("lane"),
            check_vma=False,
        )
        self.start = jax.jit(spread(jax.vmap(self._start)))
        self.block = jax.jit(spread(jax.vmap(self._block)))

    def _start(self, key: Any, u: Any, step_size: Any, lane: _Lane) -> Any:
        return self.init(
            u,
            self.settings.phase,
            step_size=step_size,
            adapt_mass_matrix=False,
            dense_mass=False,
            target_accept_prob=self.settings.target_accept,
            max_tree_depth=self.settings.max_tree_depth,
            model_args=(lane,),
            rng_key=key,
        )

    def _block(self, state: Any, lane: _Lane) -> Any:
        def step(state: Any, _: None) -> Any:
            state = self.sample(state, (lane,))
            seen = (state.z, state.diverging, state.energy, state.num_steps, state.accept_prob)
            return state, seen

        return lax.scan(step, state, None, length=BLOCK)

    def run(
        self, data: ModelData, whitenings: list[Whitening], progress: Callable[[int, int], None]
    ) -> Draws:
        settings, rng = self.settings, np.random.default_rng(self.settings.seed)
        per_phase, final = settings.phase // BLOCK, -(-settings.draws // BLOCK)
        done, total = 0, PHASES * per_phase + final
        lanes = self._per_lane(data)
        u = rng.standard_normal((self.padded, self.problem.dimension))
        step_size = np.full(self.padded, 0.5)
        for phase in range(PHASES):
            key = jax.random.key(settings.seed * PHASES + phase)
            keys = jax.random.split(key, self.padded)
            lane = self._lane(lanes, whitenings)
            state = self.start(keys, u, step_size, lane)
            seen = []
            for _ in range(per_phase + (final if phase == PHASES - 1 else 0)):
                state, block = self.block(state, lane)
                seen.append(jax.tree.map(np.asarray, block))
                done += 1
                progress(done, total)
            if phase < PHASES - 1:
                step_size = np.asarray(state.adapt_state.step_size)
                whitenings, u = self._refine(whitenings, seen)
        return self._collect(seen[per_phase:], whitenings, np.asarray(state.adapt_state.step_size))

    def _per_lane(self, data: ModelData) -> ModelData:
        """Repeat every table for its chains, and lane 0 for the padding."""
        index = np.r_[np.repeat(np.arange(self.tables), self.settings.chains)]
        index = np.concatenate([index, np.zeros(self.padded - self.lanes, dtype=int)])
        arrays: list[Any] = [jnp.asarray(np.asarray(array)[index]) for array in data]
        return ModelData(*arrays)

    def _lane(self, lanes: ModelData, whitenings: list[Whitening]) -> _Lane:
        index = np.repeat(np.arange(self.tables), self.settings.chains)
        index = np.concatenate([index, np.zeros(self.padded - self.lanes, dtype=int)])
        centre = np.stack([w.centre for w in whitenings])[index]
        factor = np.stack([w.factor for w in whitenings])[index]
        return _Lane(lanes, jnp.asarray(centre), jnp.asarray(factor))

    def _refine(
        self, whitenings: list[Whitening], seen: list[Any]
    ) -> tuple[list[Whitening], Array]:
        """Pool each table's second half of the phase into a new whitening; map the last states."""
        u = np.concatenate([block[0] for block in seen], axis=1)
        u = u[: self.lanes].reshape(self.tables, self.settings.chains, -1, u.shape[-1])
        refined, states = [], []
        for old, table in zip(whitenings, u, strict=True):
            new, root, mean = _pooled(old, table[:, table.shape[1] // 2 :])
            refined.append(new)
            states.append(np.linalg.solve(root, (table[:, -1] - mean).T).T)
        last = np.concatenate(states)
        return refined, np.concatenate([last, np.tile(last[:1], (self.padded - self.lanes, 1))])

    def _collect(self, seen: list[Any], whitenings: list[Whitening], step_size: Array) -> Draws:
        def gather(i: int) -> Array:
            array = np.concatenate([block[i] for block in seen], axis=1)[: self.lanes]
            array = array[:, : self.settings.draws]
            return array.reshape(self.tables, self.settings.chains, *array.shape[1:])

        u = gather(0)
        centre = np.stack([w.centre for w in whitenings])[:, None, None]
        factor = np.stack([w.factor for w in whitenings])
        vector = centre + np.einsum("tij,tcsj->tcsi", factor, u)
        sizes = step_size[: self.lanes].reshape(self.tables, self.settings.chains)
        return Draws(vector, gather(1), gather(2), gather(3), gather(4), sizes)


def _pooled(old: Whitening, u: Array) -> tuple[Whitening, Array, Array]:
    """Whitening with the covariance of (c, s, d) draws, shrunk to the old one as Stan does."""
    flat = u.reshape(-1, u.shape[-1])
    n, mean = len(flat), flat.mean(axis=0)
    covariance = np.atleast_2d(np.cov(flat.T))
    covariance = (n * covariance + 5.0 * np.eye(len(mean))) / (n + 5.0)
    root = np.linalg.cholesky(covariance)
    return Whitening(old.centre + old.factor @ mean, old.factor @ root), root, mean
