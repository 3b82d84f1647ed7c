"""Truths of the next-run study, the runs that can be bought under them, and what they would show.

Truths: ``family`` (logarithmic normaliser, constants about the published ones), ``constant``
(another normaliser), ``irreducible`` (a true irreducible loss) and ``overfit`` (as ``family``, but
repetition beyond eight epochs harms, which no form of the law holds).
"""

import itertools
from dataclasses import dataclass, field

import decision_truths as known
import numpy as np
import pandas as pd
from scipy.optimize import minimize

import bayes_infolaw as bi
from bayes_infolaw.laws.overtraining import tokens_at_degree
from bayes_infolaw.laws.published import ALPHA, BETA, THETA, A
from bayes_infolaw.recipes.optima import optimal_recipes
from bayes_infolaw.tables.build import build_table
from bayes_infolaw.tables.paper_ladder import LADDER, RECIPES, SEQ_LEN
from bayes_infolaw.tables.study import Study

KINDS = ("family", "constant", "irreducible", "overfit")
FORMS = ("infolaw", "infolaw_constant")
GRID = ("HQ", "MQ", "LQ")
POOL_MODELS = ("252M", "392M", "566M", "850M", "1.2B")
POOL_RECIPES = {name: RECIPES[name] for name in GRID} | {
    "only-0": (1.0, 0.0, 0.0, 0.0, 0.0, 0.0),
    "top-2": (0.5, 0.5, 0.0, 0.0, 0.0, 0.0),
    "as-is": tuple(known.SHARES),
}
POOL_RATIOS = (0.1, 0.25, 0.5, 1.0, 2.0, 4.0)
OTHER_DEGREE = 10.0
OTHER_MODELS = ("252M", "392M", "566M")
OTHER_RUNS = (("HQ", 1.0), ("MQ", 1.0), ("LQ", 1.0), ("top-2", 1.0), ("HQ", 4.0), ("LQ", 4.0))
OTHER_LEVEL = 0.02  # sd of the log level of the other degree's losses
MILD = 8.0  # epochs that do no harm
HARM = 0.05  # of log loss, a bucket: times its share and the squared log of its epochs over MILD


@dataclass(frozen=True)
class Overfit(known.Truth):
    """The law, and beyond `MILD` epochs of a bucket a loss that rises."""

    def log_loss(self, runs):
        """Noise-free log loss of each run, shape (n,); convex in the recipe."""
        beyond = np.log(np.maximum(runs.repetition / MILD, 1.0))
        return super().log_loss(runs) + HARM * (runs.weights * beyond**2).sum(axis=1)


@dataclass
class Lane:
    """One repetition under one strategy: the runs it has bought so far."""

    rep: int
    strategy: str
    runs: list[str] = field(default_factory=list)  # names in the catalogue, in order
    saved: float = 0.0  # FLOP allowed and not spent yet
    weights: dict[str, float] = field(default_factory=lambda: dict.fromkeys(FORMS, 0.5))


def row(model, recipe, name, ratio, degree=known.DEGREE):
    """One run of the catalogue."""
    tokens = float(tokens_at_degree(model.flops_per_token, degree))
    shape = {"layers": model.layers, "hidden": model.hidden, "seq_len": SEQ_LEN}
    sizes = {"params_nonembedding": model.params, "tokens": tokens, "source_tokens": ratio * tokens}
    packed = {f"w_{b}": w for b, w in zip(known.BUCKETS, recipe, strict=True)}
    shares = {f"share_{b}": v for b, v in zip(known.BUCKETS, known.SHARES, strict=True)}
    size = model.name if degree == known.DEGREE else f"{model.name}@m{degree:g}"
    return {"run": f"{size}-{name}-S{ratio:g}", **sizes, **packed, **shares, **shape}


def catalogue():
    """Every run that any strategy can buy: the pool, and the paper's grid (m = 3.6)."""
    models = {model.name: model for model in LADDER}
    rows = [
        row(models[size], recipe, name, ratio)
        for size in POOL_MODELS
        for name, recipe in POOL_RECIPES.items()
        for ratio in POOL_RATIOS
    ]
    rows += [row(model, RECIPES[name], name, 1.0) for model in LADDER[:9] for name in GRID]
    rows += [
        row(models[size], POOL_RECIPES[name], name, ratio, OTHER_DEGREE)
        for size in OTHER_MODELS
        for name, ratio in OTHER_RUNS
    ]
    frame = pd.DataFrame(rows).drop_duplicates("run").reset_index(drop=True)
    return bi.read_plan(frame, buckets=known.BUCKETS)


def other_pairs():
    """Sets of two runs of one size at the other degree, whose own level one run cannot tell."""
    names = [f"{name}-S{ratio:g}" for name, ratio in OTHER_RUNS]
    sizes = [f"{size}@m{OTHER_DEGREE:g}" for size in OTHER_MODELS]
    return [
        tuple(f"{size}-{one}" for one in pair)
        for size in sizes
        for pair in itertools.combinations(names, 2)
    ]


def truths(kind, reps):
    """Constants of every repetition."""
    if kind in ("constant", "irreducible"):
        return known.truths(kind, reps)
    seed, made = (260502, known.Truth) if kind == "family" else (260503, Overfit)
    rng = np.random.default_rng(seed)
    moved = np.exp(rng.normal(size=(reps, 3)) * [known.JITTER[k] for k in ("theta", "a", "beta")])
    return [
        made(known.exponential(THETA * t), a=A * a, alpha=ALPHA, beta=BETA * b) for t, a, b in moved
    ]


class World:
    """The truths of one kind, and what the runs of the catalogue would show."""

    def __init__(self, kind, reps):
        self.kind, self.truths, self.plan = kind, truths(kind, reps), catalogue()
        runs = self.plan.arrays()
        self.names = list(self.plan.frame["run"])
        self.compute = dict(zip(self.names, runs.compute, strict=True))
        self.other = ~np.isclose(runs.overtraining, known.DEGREE, rtol=0.1)
        self.target = known.targets()[0]
        self.epochs = dict(zip(self.names, runs.repetition.max(axis=1), strict=True))
        self.sets = {"+".join(runs): runs for runs in [*self._pool(), *other_pairs()]}
        self.cost = {name: sum(map(self.compute.get, runs)) for name, runs in self.sets.items()}
        self.least = [self._least(rep) for rep in range(reps)]

    def _pool(self):
        """Runs that repeat no bucket more often than the paper's grid does (16.3 epochs)."""
        most = max(epochs for name, epochs in self.epochs.items() if name.endswith("HQ-S1"))
        small = [name for name in self.names if name.partition("-")[0] in POOL_MODELS]
        return [(name,) for name in small if self.epochs[name] <= most * (1 + 1e-9)]

    def candidates(self, budget):
        """The sets that a budget can pay, as a plan; a run of several sets has a row in each."""
        rows = self.plan.frame.set_index("run", drop=False)
        given = [c for c in rows if not c.startswith(("unique_", "repetition_"))]
        rows = rows[given].drop(columns=["flops_per_token", "overtraining", "loss_se"])
        parts = [
            rows.loc[list(runs)].assign(run=[f"{run} of {name}" for run in runs], set=name)
            for name, runs in self.sets.items()
            if self.cost[name] <= budget
        ]
        return bi.read_plan(pd.concat(parts), buckets=known.BUCKETS) if parts else None

    def losses(self, rep, runs):
        """Measured losses; a run bought again gets new noise, and all strategies the same noise."""
        level = np.random.default_rng([14, KINDS.index(self.kind), rep]).normal(0.0, OTHER_LEVEL)
        clean = self.truths[rep].log_loss(self.plan.arrays()) + level * self.other
        out, seen = [], {}
        for name in runs:
            position = self.names.index(name)
            seen[name] = seen.get(name, 0) + 1
            rng = np.random.default_rng([11, KINDS.index(self.kind), rep, position, seen[name]])
            out.append(np.exp(clean[position] + known.NOISE_SD * rng.standard_normal()))
        return np.array(out)

    def table(self, lane):
        """The run table of a lane."""
        frame = self.plan.frame.set_index("run").loc[lane.runs].reset_index()
        given = [c for c in frame if not c.startswith(("unique_", "repetition_"))]
        frame = frame[given].drop(columns=["flops_per_token", "overtraining", "loss_se"])
        frame["run"] = [f"{i}:{name}" for i, name in enumerate(lane.runs)]
        study = Study(buckets=known.BUCKETS, simulated=True)
        return build_table(frame.assign(loss=self.losses(lane.rep, lane.runs)), study)

    def latest(self, lane, count):
        """The last runs that a lane has bought, as a table of their own."""
        every = self.table(lane)
        return every.subset(np.arange(len(every) - count, len(every)))

    def loss(self, rep, recipe):
        """Of a recipe at the target, under the truth."""
        return float(np.exp(self.truths[rep].log_loss(self.target.runs(recipe[None]))[0]))

    def _least(self, rep):
        """Least loss at the target: of the law alone exact, and with its harm by SLSQP from there.

        Both are convex problems.
        """
        start = optimal_recipes(self.truths[rep].at(self.target)).recipes[0]
        if self.kind != "overfit":
            return self.loss(rep, start)
        ends = [start, 0.5 * (start + known.SHARES), known.SHARES]
        sums = {"type": "eq", "fun": lambda w: w.sum() - 1.0}
        found = [
            minimize(
                lambda w: self.loss(rep, w),
                end,
                bounds=[(0.0, 1.0)] * len(end),
                constraints=[sums],
                options={"ftol": 1e-12, "maxiter": 500},
            )
            for end in ends
        ]
        return min(result.fun for result in found)

    def regret(self, rep, recipe):
        """Loss of a recipe at the target over the least, both under the truth."""
        return max(self.loss(rep, np.asarray(recipe)) - self.least[rep], 0.0)
