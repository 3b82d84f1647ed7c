"""Regret against compute, when runs are chosen by their worth, by the paper's grid, or at random.

Every repetition has a known truth and starts from the paper's nine runs of its three smallest
models. Then every strategy may spend 6.5e20 FLOP a step (what it cannot spend it keeps): on the
paper's grid in its order (``paper``); on candidates at random (``random``), or at random with a
chance of one over their FLOP (``cheap``); or on the batch that `bayes-infolaw next` ranks first by
regret reduction per FLOP (``next``), at most ten at once. Candidates are five sizes with six
recipes and S / K from 0.1 to 4, none with more epochs of a bucket than the paper's grid has (16.3),
and pairs of runs at a second overtraining degree (m = 10, three sizes). After every step all tables
are fitted with two forms (logarithmic and constant normaliser; weighted equally at first, then by
the density each gave the runs before they were fitted, or by stacking with ``--weights stacking``),
the recipe of least expected loss at the 7.7B target is chosen, and its regret is taken under the
truth. Truths: ``family`` (logarithmic normaliser, constants about the published ones), ``constant``
(the other form), ``irreducible`` (neither form), ``overfit`` (neither: beyond 8 epochs repetition
harms).

    python benchmarks/next_run.py [--kinds family,constant,...] [--steps 5] [--reps 20]

Resumable: finished steps are read from the result file of each kind.
"""

import argparse
import json
import time
import warnings
from pathlib import Path

import numpy as np
from next_run_world import FORMS, GRID, KINDS, Lane, World

from bayes_infolaw.decisions.draws import pool
from bayes_infolaw.decisions.next_run.answer import SearchSettings
from bayes_infolaw.decisions.next_run.choices import recipe_choices
from bayes_infolaw.decisions.next_run.search import next_run
from bayes_infolaw.decisions.stacking import weigh_forms
from bayes_infolaw.decisions.update import update_weights
from bayes_infolaw.model.anchors import anchors_of
from bayes_infolaw.model.layout import layout_of
from bayes_infolaw.model.library import find_model
from bayes_infolaw.posterior.many import fit_many
from bayes_infolaw.tables.paper_ladder import LADDER
from bayes_infolaw.whole_file import write_whole

RESULTS = Path(__file__).resolve().parent / "results"
STRATEGIES = ("paper", "random", "cheap", "next")
PILOT = 3  # models of the pilot
ALLOWED = 6.5e20  # FLOP a step
BATCH = 10  # sets that `next` chooses before the fits are done again
SAMPLING = {"chains": 2, "draws": 500, "warmup": 300, "n_starts": 2}


def pilot():
    """The paper's runs of its smallest models."""
    return [f"{model.name}-{name}-S1" for model in LADDER[:PILOT] for name in GRID]


def fits_of(world, lanes, seed):
    """Every lane's fits by form, many at once; an unconverged fit is used as it is."""
    tables = [world.table(lane) for lane in lanes]
    every = [_fits_alike(tables, form, seed) for form in FORMS]
    return [dict(zip(FORMS, parts, strict=True)) for parts in zip(*every, strict=True)]


def _fits_alike(tables, form, seed):
    """The fits of one form, those tables in one program that have the same coefficients."""
    spec = find_model(form)
    layouts = [layout_of(table, spec, anchors_of(table, spec)) for table in tables]
    fits = {}
    for layout in dict.fromkeys(layouts):
        rows = [i for i, other in enumerate(layouts) if other == layout]
        found = fit_many([tables[i] for i in rows], spec, seed=seed, **SAMPLING)
        fits |= dict(zip(rows, found, strict=True))
    return [fits[i] for i in range(len(tables))]


def decide(world, lane, fits, stacking):
    """The recipe of least expected loss over the forms, and the forms' weights."""
    weights = weigh_forms(fits).weights if stacking else lane.weights
    laws = {name: fit.target(**world.target.asked()) for name, fit in fits.items()}
    choices = recipe_choices(laws, pool(laws, weights))
    return choices, weights


def buy(world, lane, fits, weights, step):
    """The next runs of a lane, by its strategy, within what it may spend."""
    lane.saved += ALLOWED
    bought = []
    for runs in wishes(world, lane, fits, weights, step):
        cost = sum(world.compute[run] for run in runs)
        if cost <= lane.saved * (1 + 1e-9):
            lane.saved -= cost
            bought += runs
        elif lane.strategy == "paper":
            break  # in order: it saves for what comes next
    return bought


def wishes(world, lane, fits, weights, step):
    """Sets of runs in the order in which a strategy would buy them."""
    if lane.strategy == "paper":
        grid = [(f"{model.name}-{name}-S1",) for model in LADDER[:9] for name in GRID]
        return grid[len(lane.runs) :]
    if lane.strategy == "next":
        plan = world.candidates(lane.saved)
        count = int(min(BATCH, lane.saved / min(world.cost.values())))
        settings = SearchSettings(q=count, outcomes=64, recipes=48, value_per_nat=1e24)
        found = next_run(fits, plan, world.target.asked(), weights, settings)
        return [world.sets[candidate.run] for candidate in found.batch]
    rng = np.random.default_rng([12, KINDS.index(world.kind), lane.rep, step])
    names = list(world.sets)
    chance = np.array([1.0 / world.cost[name] for name in names])
    chance = chance / chance.sum() if lane.strategy == "cheap" else None
    return [world.sets[name] for name in rng.choice(names, 3 * BATCH, replace=False, p=chance)]


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
                "epochs": [round(float(world.epochs[run]), 1) for run in bought],
            }
        )
        lane.runs += bought
        if bought and not stacking:
            lane.weights = update_weights(fits, weights, world.latest(lane, len(bought)))
        records[-1] |= {"weights_after": lane.weights, "saved": lane.saved}
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
            lane.weights, lane.saved = record["weights_after"], record["saved"]
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
