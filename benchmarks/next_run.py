"""Regret against compute, when runs are chosen by their worth, by the paper's grid, or at random.

Every repetition has a known truth and starts from the paper's nine runs of its three smallest
models. Then three runs a step are added: the paper's next model with its three recipes, three
random candidates, or the batch of three that `bayes-infolaw next` ranks first by regret reduction
per FLOP. After every step all tables are fitted with two forms (logarithmic and constant
normaliser; weighted equally at first, then by the density each gave the runs before they were
fitted, or by stacking with ``--weights stacking``), the recipe of least expected loss at the 7.7B
target is chosen, and its regret is taken under the truth. Truths: ``family`` (logarithmic
normaliser, constants about the published ones), ``constant`` (the other form), ``irreducible``
(neither form).

    python benchmarks/next_run.py [--kinds family,constant,irreducible] [--steps 5] [--reps 20]

Resumable: finished steps are read from the result file of each kind.
"""

import argparse
import json
import time
import warnings
from dataclasses import dataclass, field
from pathlib import Path

import decision_truths as known
import numpy as np
import pandas as pd

import bayes_infolaw as bi
from bayes_infolaw.decisions.draws import pool
from bayes_infolaw.decisions.next_run.answer import SearchSettings
from bayes_infolaw.decisions.next_run.choices import recipe_choices
from bayes_infolaw.decisions.next_run.search import next_run
from bayes_infolaw.decisions.stacking import weigh_forms
from bayes_infolaw.decisions.update import update_weights
from bayes_infolaw.laws.overtraining import tokens_at_degree
from bayes_infolaw.laws.published import ALPHA, BETA, THETA, A
from bayes_infolaw.posterior.many import fit_many
from bayes_infolaw.recipes.optima import optimal_recipes
from bayes_infolaw.tables.build import build_table
from bayes_infolaw.tables.paper_ladder import LADDER, RECIPES, SEQ_LEN
from bayes_infolaw.tables.study import Study
from bayes_infolaw.whole_file import write_whole

RESULTS = Path(__file__).resolve().parent / "results"
KINDS = ("family", "constant", "irreducible")
STRATEGIES = ("paper", "random", "next")
FORMS = ("infolaw", "infolaw_constant")
GRID = ("HQ", "MQ", "LQ")
PILOT, EACH = 3, 3  # models of the pilot; runs a step
POOL_MODELS = ("252M", "392M", "566M", "850M", "1.2B")
POOL_RECIPES = {name: RECIPES[name] for name in GRID} | {
    "only-0": (1.0, 0.0, 0.0, 0.0, 0.0, 0.0),
    "top-2": (0.5, 0.5, 0.0, 0.0, 0.0, 0.0),
}
POOL_RATIOS = (0.1, 0.5, 1.0, 4.0)
SAMPLING = {"chains": 2, "draws": 500, "warmup": 300, "n_starts": 2}


@dataclass
class Lane:
    """One repetition under one strategy: the runs it has bought so far."""

    rep: int
    strategy: str
    runs: list[str] = field(default_factory=list)  # names in the catalogue, in order
    weights: dict[str, float] = field(default_factory=lambda: dict.fromkeys(FORMS, 0.5))


def row(model, recipe, name, ratio):
    """One run of the catalogue."""
    tokens = float(tokens_at_degree(model.flops_per_token, known.DEGREE))
    shape = {"layers": model.layers, "hidden": model.hidden, "seq_len": SEQ_LEN}
    sizes = {"params_nonembedding": model.params, "tokens": tokens, "source_tokens": ratio * tokens}
    packed = {f"w_{b}": w for b, w in zip(known.BUCKETS, recipe, strict=True)}
    shares = {f"share_{b}": v for b, v in zip(known.BUCKETS, known.SHARES, strict=True)}
    return {"run": f"{model.name}-{name}-S{ratio:g}", **sizes, **packed, **shares, **shape}


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
    frame = pd.DataFrame(rows).drop_duplicates("run").reset_index(drop=True)
    return bi.read_plan(frame, buckets=known.BUCKETS)


def truths(kind, reps):
    """Constants of every repetition."""
    if kind != "family":
        return known.truths(kind, reps)
    rng = np.random.default_rng(260502)
    moved = np.exp(rng.normal(size=(reps, 3)) * [known.JITTER[k] for k in ("theta", "a", "beta")])
    return [
        known.Truth(known.exponential(THETA * t), a=A * a, alpha=ALPHA, beta=BETA * b)
        for t, a, b in moved
    ]


class World:
    """The truths of one kind, and what the runs of the catalogue would show."""

    def __init__(self, kind, reps):
        self.kind, self.truths, self.plan = kind, truths(kind, reps), catalogue()
        self.names = list(self.plan.frame["run"])
        self.compute = dict(zip(self.names, self.plan.arrays().compute, strict=True))
        self.target = known.targets()[0]
        self.pool = [n for n in self.names if self._in_pool(n)]
        pooled = self.plan.frame["run"].isin(self.pool)
        self.candidates = self.plan.subset(pooled.to_numpy())

    def _in_pool(self, name):
        size, _, rest = name.partition("-")
        recipe = rest.rpartition("-")[0]
        return size in POOL_MODELS and recipe in POOL_RECIPES

    def losses(self, rep, runs):
        """Measured losses; a run bought again gets new noise, and all strategies the same noise."""
        clean = self.truths[rep].log_loss(self.plan.arrays())
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

    def regret(self, rep, recipe):
        """Loss of a recipe at the target over the least, both under the truth."""
        law = self.truths[rep].at(self.target)
        best = optimal_recipes(law).recipes[0]
        return float(law.loss(recipe)[0] - law.loss(best)[0])


def pilot():
    """The paper's runs of its smallest models."""
    return [f"{model.name}-{name}-S1" for model in LADDER[:PILOT] for name in GRID]


def fits_of(world, lanes, seed):
    """Every lane's fits by form, many at once; an unconverged fit is used as it is."""
    tables = [world.table(lane) for lane in lanes]
    every = [fit_many(tables, form, seed=seed, **SAMPLING) for form in FORMS]
    return [dict(zip(FORMS, parts, strict=True)) for parts in zip(*every, strict=True)]


def decide(world, lane, fits, stacking):
    """The recipe of least expected loss over the forms, and the forms' weights."""
    weights = weigh_forms(fits).weights if stacking else lane.weights
    laws = {name: fit.target(**world.target.asked()) for name, fit in fits.items()}
    choices = recipe_choices(laws, pool(laws, weights))
    return choices, weights


def buy(world, lane, fits, weights, step):
    """The next runs of a lane, by its strategy."""
    if lane.strategy == "paper":
        model = LADDER[PILOT + step]
        return [f"{model.name}-{name}-S1" for name in GRID]
    if lane.strategy == "random":
        rng = np.random.default_rng([12, KINDS.index(world.kind), lane.rep, step])
        return rng.choice(world.pool, EACH, replace=False).tolist()
    settings = SearchSettings(q=EACH, outcomes=64, recipes=48, value_per_nat=1e24)
    found = next_run(fits, world.candidates, world.target.asked(), weights, settings)
    return [candidate.run for candidate in found.batch]


def advance(world, lanes, step, stacking):
    """Fit, decide and buy: the records of one step."""
    started = time.perf_counter()
    # Before the first purchase all strategies hold the same table.
    alike = [lane for lane in lanes if lane.strategy == STRATEGIES[0]] if step == 0 else lanes
    fitted = {id(lane): f for lane, f in zip(alike, fits_of(world, alike, step), strict=True)}
    shared = {lane.rep: fitted[id(lane)] for lane in alike} if step == 0 else {}
    records = []
    for lane in lanes:
        fits = shared[lane.rep] if step == 0 else fitted[id(lane)]
        choices, weights = decide(world, lane, fits, stacking)
        bought = buy(world, lane, fits, weights, step)
        records.append(
            {
                "rep": lane.rep,
                "strategy": lane.strategy,
                "step": step,
                "flop": float(sum(world.compute[run] for run in lane.runs)),
                "regret": world.regret(lane.rep, choices.recipes[0]),
                "evpi": choices.evpi_free,
                "weights": weights,
                "converged": [fit.verdict.converged for fit in fits.values()],
                "bought": bought,
            }
        )
        lane.runs += bought
        if not stacking:
            lane.weights = update_weights(fits, weights, world.latest(lane, len(bought)))
        records[-1]["weights_after"] = lane.weights
    return {"records": records, "seconds": round(time.perf_counter() - started, 1)}


def run_kind(kind, reps, steps, path, stacking):
    """All steps of one kind of truth, going on from what its file holds."""
    done = json.loads(path.read_text()) if path.exists() else {"reps": reps, "steps": []}
    if done["reps"] != reps:
        raise SystemExit(f"{path} has {done['reps']} repetitions, asked for {reps}")
    world = World(kind, reps)
    lanes = [Lane(rep, s, pilot()) for rep in range(reps) for s in STRATEGIES]
    for part in done["steps"]:
        for lane, record in zip(lanes, part["records"], strict=True):
            lane.runs += record["bought"]
            lane.weights = record["weights_after"]
    for step in range(len(done["steps"]), steps + 1):
        done["steps"].append(advance(world, lanes, step, stacking))
        text = json.dumps(done)
        write_whole(path, lambda temporary, text=text: temporary.write_text(text))
        print(kind, "step", step, done["steps"][-1]["seconds"], "s", flush=True)


def main() -> None:
    """Run the kinds asked for; `next_run_report.py` sums them up."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kinds", default=",".join(KINDS))
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--reps", type=int, default=20)
    parser.add_argument("--weights", choices=("evidence", "stacking"), default="evidence")
    parser.add_argument("--work", type=Path, default=RESULTS / "next_run")
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    arguments.work.mkdir(parents=True, exist_ok=True)
    warnings.filterwarnings("ignore", "Estimated shape parameter", UserWarning)
    stacking = arguments.weights == "stacking"
    for kind in arguments.kinds.split(","):
        name = f"next_run_{kind}{'_stacking' if stacking else ''}.json"
        run_kind(kind, arguments.reps, arguments.steps, arguments.work / name, stacking)


if __name__ == "__main__":
    main()
