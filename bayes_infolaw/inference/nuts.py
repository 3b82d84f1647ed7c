"""A potential -> NUTS draws: chains and tables as lanes of one compiled program.

The kernel is NumPyro's; ours is what surrounds it. Every lane (a chain of a table) moves in
coordinates whitened by its table's curvature; after each warm-up phase the whitening is refined
with the draws pooled over the table's chains. One compiled block of transitions serves
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

from bayes_infolaw.inference.jumps import Mixture, fit_mixture, jump, wide_normal
from bayes_infolaw.inference.problem import Problem
from bayes_infolaw.inference.whitening import Whitening, refine
from bayes_infolaw.model.layout import ModelData

__all__ = ["Draws", "NutsSettings", "run_nuts"]

Array = np.ndarray
BLOCK = 100  # transitions between two looks at the progress bar
PHASES = 3  # warm-up phases; whitening is refined after all but the last


@dataclass(frozen=True)
class NutsSettings:
    """Chains, kept draws and warm-up of each chain, transitions a kept draw, NUTS's own knobs."""

    chains: int = 4
    draws: int = 1000
    warmup: int = 900
    target_accept: float = 0.9
    max_tree_depth: int = 10
    seed: int = 0
    thin: int = 1

    @property
    def phase(self) -> int:
        """Transitions of one warm-up phase, a whole number of blocks."""
        return max(1, round(self.warmup / PHASES / BLOCK)) * BLOCK

    @property
    def transitions(self) -> int:
        """Warm-up transitions that are run."""
        return PHASES * self.phase


class Draws(NamedTuple):
    """Draws of every table; axes (table, chain, draw, ...)."""

    vector: Array  # (t, c, s, d) unconstrained
    diverging: Array  # (t, c, s) any of the transitions since the last kept draw
    energy: Array  # (t, c, s)
    steps: Array  # (t, c, s) leapfrog steps of the kept transition
    acceptance: Array  # (t, c, s)
    step_size: Array  # (t, c)
    every_energy: Array  # (t, c, s x thin) of all transitions, for BFMI
    jumped: Array  # (t, c, s) whether the kept transition's independence move was accepted


class _Lane(NamedTuple):
    data: ModelData
    whitening: Whitening
    mixture: Mixture


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
        density = jax.jit(problem.potential())  # traced once, used by all that follows
        self.potential = lambda lane: lambda v: density(lane.whitening.forward(v), lane.data)
        self.init, self.sample = hmc(potential_fn_gen=self.potential, algo="NUTS")
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
            key, jump_key = jax.random.split(state.rng_key)
            after, jumped = jump(jump_key, state, lane.mixture, self.potential(lane))
            seen = (
                after.z,
                state.diverging,
                state.energy,
                state.num_steps,
                state.accept_prob,
                jumped,
            )
            return after._replace(rng_key=key), seen

        return lax.scan(step, state, None, length=BLOCK)

    def run(
        self, data: ModelData, whitenings: list[Whitening], progress: Callable[[int, int], None]
    ) -> Draws:
        settings, rng = self.settings, np.random.default_rng(self.settings.seed)
        per_phase, final = settings.phase // BLOCK, -(-settings.draws * settings.thin // BLOCK)
        total = PHASES * per_phase + final
        tables = self._tables_per_lane(data)
        v = rng.standard_normal((self.padded, self.problem.dimension))
        step_size = np.full(self.padded, 0.5)
        mixtures = [wide_normal(self.problem.dimension)] * self.tables
        for phase in range(PHASES):
            last = phase == PHASES - 1
            lane = _Lane(tables, self._per_lane(whitenings), self._per_lane(mixtures))
            keys = jax.random.split(jax.random.key(settings.seed * PHASES + phase), self.padded)
            state = self.start(keys, v, step_size, lane)
            blocks = range(phase * per_phase + 1, (phase + 1) * per_phase + last * final + 1)
            state, seen = self._advance(state, lane, blocks, partial(_show, progress, total))
            step_size = np.asarray(state.adapt_state.step_size)
            if not last:
                whitenings, mixtures, v = self._refine(whitenings, seen)
        return self._collect(seen[per_phase:], whitenings, step_size)

    def _advance(
        self, state: Any, lane: _Lane, blocks: range, progress: Callable[[int], None]
    ) -> tuple[Any, list[Any]]:
        seen = []
        for number in blocks:
            state, block = self.block(state, lane)
            seen.append(jax.tree.map(np.asarray, block))
            progress(number)
        return state, seen

    def _lane_tables(self) -> Array:
        """Table of every lane: each table once a chain, padding lanes repeat the first."""
        index = np.repeat(np.arange(self.tables), self.settings.chains)
        return np.concatenate([index, np.zeros(self.padded - self.lanes, dtype=int)])

    def _tables_per_lane(self, data: ModelData) -> ModelData:
        index = self._lane_tables()
        arrays: list[Any] = [jnp.asarray(np.asarray(array)[index]) for array in data]
        return ModelData(*arrays)

    def _per_lane[T: (Whitening, Mixture)](self, one_a_table: list[T]) -> T:
        index = self._lane_tables()
        arrays: list[Any] = [np.stack(part)[index] for part in zip(*one_a_table, strict=True)]
        return type(one_a_table[0])(*map(jnp.asarray, arrays))

    def _refine(
        self, whitenings: list[Whitening], seen: list[Any]
    ) -> tuple[list[Whitening], list[Mixture], Array]:
        """Refit each table's whitening and mixture to the phase's second half; map last states."""
        v = self._by_table(seen, 0)
        half = v.shape[2] // 2
        refined, mixtures, states = [], [], []
        for old, table in zip(whitenings, v, strict=True):
            vectors = old.forward(table)
            pooled = vectors[:, half:].reshape(-1, v.shape[-1])
            new = refine(old, pooled)
            refined.append(new)
            mixtures.append(fit_mixture(new.inverse(pooled), self.settings.seed))
            states.append(new.inverse(vectors[:, -1]))
        last = np.concatenate(states)
        padding = np.tile(last[:1], (self.padded - self.lanes, 1))
        return refined, mixtures, np.concatenate([last, padding])

    def _by_table(self, seen: list[Any], part: int) -> Array:
        """Join blocks: (tables, chains, transitions, ...)."""
        array = np.concatenate([block[part] for block in seen], axis=1)[: self.lanes]
        return array.reshape(self.tables, self.settings.chains, *array.shape[1:])

    def _collect(self, seen: list[Any], whitenings: list[Whitening], step_size: Array) -> Draws:
        thin, kept = self.settings.thin, self.settings.draws * self.settings.thin
        parts = [self._by_table(seen, i)[:, :, :kept] for i in range(6)]
        v, energy, steps, acceptance, jumped = (
            parts[i][:, :, thin - 1 :: thin] for i in (0, 2, 3, 4, 5)
        )
        diverging = parts[1].reshape(*parts[1].shape[:2], -1, thin).any(axis=-1)
        vector = np.stack([w.forward(part) for w, part in zip(whitenings, v, strict=True)])
        sizes = step_size[: self.lanes].reshape(self.tables, self.settings.chains)
        return Draws(vector, diverging, energy, steps, acceptance, sizes, parts[2], jumped)


def _show(progress: Callable[[int, int], None], total: int, done: int) -> None:
    progress(done, total)
