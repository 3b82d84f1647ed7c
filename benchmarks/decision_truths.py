"""Known truths, designs and targets on which ways of choosing a recipe are compared.

Kinds of truth: ``published`` (the published constants), ``prior`` (constants from the prior of the
model `infolaw`), and three that the form `infolaw` does not hold: ``constant`` (another
normaliser), ``irreducible`` (a true irreducible loss) and ``density`` (steps of log density that
are not equal). The last three move theta, a and beta about the published ones.
"""

from dataclasses import dataclass, replace

import calibration
import numpy as np
import pandas as pd

import bayes_infolaw as bi
from bayes_infolaw.laws.infolaw import bucket_information
from bayes_infolaw.laws.overtraining import tokens_at_degree
from bayes_infolaw.laws.published import (
    ALPHA,
    BETA,
    K_0,
    PAPER_SHARES,
    THETA,
    TOKEN_UNIT,
    A,
    B,
    log10_normaliser,
    published_rate,
)
from bayes_infolaw.laws.target import LawAtTarget
from bayes_infolaw.tables.build import build_table
from bayes_infolaw.tables.paper_ladder import LADDER, RECIPES, SEQ_LEN
from bayes_infolaw.tables.runs import RunArrays, RunTable
from bayes_infolaw.tables.study import Study
from bayes_infolaw.tables.write import stated_frame

Array = np.ndarray

KINDS = ("published", "prior", "constant", "irreducible", "density")
DESIGNS = ("paper", "spread")
BUCKETS = tuple(str(d) for d in range(len(PAPER_SHARES)))
SHARES = np.array(PAPER_SHARES)
MODELS = {model.name: model for model in LADDER}
NOISE_SD = 0.0015
DEGREE = 3.6
IRREDUCIBLE = 1.5  # nats per token, about half of the loss
SPREAD = {"252M": 20, "470M": 10, "850M": 10, "1.2B": 8}  # recipes a size
SCARCE = 0.25  # S / K of every second run of `spread`, and of the second target
JITTER = {"theta": 0.3, "a": 0.3, "beta": 0.1}  # sd of the logarithm


@dataclass(frozen=True)
class Target:
    """One model size, tokens and source at which a recipe is to be chosen."""

    name: str
    params: float
    tokens: float
    source_tokens: float
    flops_per_token: float
    overtraining: float
    shares: Array  # (D,)
    buckets: tuple[str, ...] = BUCKETS
    labels: dict[str, str] | None = None  # of grouping columns

    def runs(self, recipes: Array) -> RunArrays:
        """One run of each recipe (R, D)."""
        n = len(recipes)
        packed, source = recipes * self.tokens, self.shares * self.source_tokens
        unique = np.minimum(packed, source)
        repetition = np.where(unique > 0, packed / np.where(unique > 0, unique, 1.0), 1.0)
        return RunArrays(
            params=np.full(n, self.params),
            flops=np.full(n, 6.0 * self.params),
            tokens=np.full(n, self.tokens),
            source_tokens=np.full(n, self.source_tokens),
            weights=recipes,
            shares=np.tile(self.shares, (n, 1)),
            unique=unique,
            repetition=repetition,
            flops_per_token=np.full(n, self.flops_per_token),
            compute=np.full(n, self.flops_per_token * self.tokens),
            overtraining=np.full(n, self.overtraining),
            loss=None,
            loss_se=np.zeros(n),
        )

    def asked(self) -> dict:
        """Arguments of `Fit.target`."""
        return {
            "params_nonembedding": self.params,
            "tokens": self.tokens,
            "source_tokens": self.source_tokens,
            "shares": dict(zip(self.buckets, map(float, self.shares), strict=True)),
            "overtraining": self.overtraining,
            "labels": self.labels,
        }


def targets() -> tuple[Target, ...]:
    """The 7.7B model on 425B tokens, from as many source tokens and from a quarter."""
    model = MODELS["7.7B"]
    tokens = float(tokens_at_degree(model.flops_per_token, DEGREE))
    return tuple(
        Target(name, model.params, tokens, ratio * tokens, model.flops_per_token, DEGREE, SHARES)
        for name, ratio in (("S = K", 1.0), ("S = K/4", SCARCE))
    )


@dataclass(frozen=True)
class Truth:
    """``loss = E + alpha info ** -beta`` with the published rate, in published units."""

    density: Array  # (D,)
    a: float = A
    b: float = B
    alpha: float = ALPHA
    beta: float = BETA
    irreducible: float = 0.0
    level: float | None = None  # a constant l(K); None for log10(K / K_0)

    def log_loss(self, runs: RunArrays) -> Array:
        """Noise-free log loss of each run, shape (n,)."""
        info = self.information(runs)
        return np.log(self.irreducible + self.alpha * info**-self.beta)

    def information(self, runs: RunArrays) -> Array:
        """Information of each run, 1e9 tokens, shape (n,)."""
        rate = np.asarray(published_rate(runs.flops, self.a, self.b))[:, None]
        level = self._level(runs.tokens)[:, None]
        unique = runs.unique / TOKEN_UNIT
        return bucket_information(unique, runs.repetition, self.density, rate, level).sum(axis=1)

    def at(self, target: Target) -> LawAtTarget:
        """The law at a target: one draw."""
        return LawAtTarget(
            buckets=BUCKETS,
            source=target.shares * target.source_tokens,
            tokens=target.tokens,
            token_unit=TOKEN_UNIT,
            density=self.density[None],
            rate=np.atleast_1d(published_rate(6.0 * target.params, self.a, self.b)),
            normaliser=self._level(np.array([target.tokens])),
            log_alpha=np.log([self.alpha]),
            beta=np.array([self.beta]),
            irreducible=np.array([self.irreducible]),
        )

    def _level(self, tokens: Array) -> Array:
        if self.level is not None:
            return np.full(len(tokens), self.level)
        return np.asarray(log10_normaliser(tokens, K_0))


def exponential(theta: float) -> Array:
    """Densities that fall by theta a bucket."""
    return np.exp(-theta * np.arange(len(BUCKETS)))


def truths(kind: str, n: int) -> list[Truth]:
    """Constants of every repetition of a kind."""
    rng = np.random.default_rng([2605, KINDS.index(kind)])
    if kind == "published":
        return [Truth(exponential(THETA))] * n
    if kind == "prior":
        return _from_prior(n, rng)
    return [_off(kind, _moved(rng), rng) for _ in range(n)]


def _from_prior(n: int, rng: np.random.Generator) -> list[Truth]:
    reference = table(design("paper", 0), Truth(exponential(THETA)), 0)
    rows = calibration.prior_truths(reference, n, rng)[1].to_dict("records")
    names = ("a", "b", "alpha", "beta")
    return [Truth(exponential(row["theta"]), **{k: row[k] for k in names}) for row in rows]


def _moved(rng: np.random.Generator) -> dict[str, float]:
    published = {"theta": THETA, "a": A, "beta": BETA}
    return {k: v * float(np.exp(JITTER[k] * rng.normal())) for k, v in published.items()}


def _off(kind: str, moved: dict[str, float], rng: np.random.Generator) -> Truth:
    truth = Truth(exponential(moved["theta"]), a=moved["a"], beta=moved["beta"])
    if kind == "constant":
        tokens = design("paper", 0).arrays().tokens
        return replace(truth, level=float(np.mean(log10_normaliser(tokens, K_0))))
    if kind == "density":
        steps = moved["theta"] * rng.uniform(0.0, 2.0, len(BUCKETS) - 1)
        return replace(truth, density=np.exp(-np.r_[0.0, np.cumsum(steps)]))
    return _with_irreducible(truth)


def _with_irreducible(truth: Truth) -> Truth:
    """E taken out of the loss so that level and slope at the centre of the data stay."""
    info = np.exp(np.log(truth.information(design("paper", 0).arrays())).mean())
    loss = truth.alpha * info**-truth.beta
    beta = truth.beta * loss / (loss - IRREDUCIBLE)
    alpha = (loss - IRREDUCIBLE) * info**beta
    return replace(truth, irreducible=IRREDUCIBLE, alpha=float(alpha), beta=float(beta))


def design(name: str, seed: int) -> RunTable:
    """Planned runs, all at m = 3.6.

    ``paper``: 9 sizes x HQ, MQ, LQ at S = K (27 runs). ``spread``: 48 random recipes (uniform on
    the simplex, drawn anew by seed), most of them at the smallest size, at S = K and S = K/4.
    """
    if name == "paper":
        recipes = [np.array(RECIPES[r]) for r in ("HQ", "MQ", "LQ")]
        rows = [(model, recipe, 1.0) for model in LADDER[:9] for recipe in recipes]
    else:
        rng = np.random.default_rng([48, seed])
        sizes = [MODELS[m] for m, count in SPREAD.items() for _ in range(count)]
        recipes = list(rng.dirichlet(np.ones(len(BUCKETS)), len(sizes)))
        ratios = [(1.0, SCARCE)[i % 2] for i in range(len(sizes))]
        rows = list(zip(sizes, recipes, ratios, strict=True))
    frame = pd.DataFrame([_row(i, *row) for i, row in enumerate(rows)])
    return bi.read_plan(frame, buckets=BUCKETS)


def _row(i, model, recipe, ratio) -> dict:
    tokens = float(tokens_at_degree(model.flops_per_token, DEGREE))
    size = {"layers": model.layers, "hidden": model.hidden, "seq_len": SEQ_LEN}
    counts = {
        "params_nonembedding": model.params,
        "tokens": tokens,
        "source_tokens": ratio * tokens,
    }
    weights = {f"w_{b}": w for b, w in zip(BUCKETS, recipe, strict=True)}
    shares = {f"share_{b}": v for b, v in zip(BUCKETS, SHARES, strict=True)}
    return {"run": f"{model.name}-{i}", **size, **counts, **weights, **shares}


def table(plan: RunTable, truth: Truth, seed: int) -> RunTable:
    """The design with simulated losses."""
    noise = NOISE_SD * np.random.default_rng([7, seed]).standard_normal(len(plan))
    frame = stated_frame(plan).assign(
        loss=np.exp(truth.log_loss(plan.arrays()) + noise), simulated=True
    )
    return build_table(frame, Study(buckets=BUCKETS, simulated=True))
