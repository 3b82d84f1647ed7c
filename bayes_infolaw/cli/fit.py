"""``bayes-infolaw fit``: a table of runs -> a fit file, its verdict and its parameters."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bayes_infolaw.cli import options as opt
from bayes_infolaw.cli.output import (
    UNCONVERGED,
    Answer,
    command,
    print_frame,
    print_notes,
    progress,
)

if TYPE_CHECKING:
    from rich.console import Console

    from bayes_infolaw.posterior.fit import Fit

__all__ = ["fit", "fit_report"]

MEANING = {
    "theta": "fall of log density per bucket",
    "alpha": "loss at information 1, at m_ref",
    "beta": "d ln loss / d ln information, sign turned",
    "sigma": "residual sd of log loss",
    "lambda_min": "lambda / l(K_ref), smallest model",
    "lambda_max": "lambda / l(K_ref), largest model",
    "gamma": "slope of log alpha in ln m",
    "tau": "sd of log alpha between degrees m",
    "theta_sd": "relative sd of theta between corpora",
    "irreducible_loss": "loss unit",
    "K_0": "tokens",
}
BY_SYSTEM = {
    "published": {"a": "lambda per ln(N / 1e9)", "b": "lambda at N = 1e9 FLOP per token"},
    "scale-free": {"a": "lambda~ per ln(N / N_ref)", "b": "lambda~ at N_ref"},
}


@command
def fit(
    table: opt.Table,
    model: opt.Model = "infolaw",
    buckets: opt.Buckets = None,
    out: Annotated[
        str | None,
        typer.Option(
            metavar="FIT.nc", help="Fit file to write; default: the table's name in this folder."
        ),
    ] = None,
    chains: opt.Chains = 4,
    draws: opt.Draws = 1000,
    warmup: opt.Warmup = 900,
    seed: opt.Seed = 0,
    backend: opt.Backend = "numpyro",
    device: opt.Device = "auto",
    data_dir: opt.DataDir = None,
    prior_dominated: opt.PriorDominated = False,
    prob: opt.Prob = 0.9,
    as_json: opt.AsJson = False,
) -> Answer:
    """Fit the law to a table of training runs and write the posterior to a file.

    Prints whether the fit can be trusted (exit code 3 where it cannot) and every parameter with
    its interval and unit.
    """
    from bayes_infolaw import fit as run_fit
    from bayes_infolaw import read_runs

    path = Path(out) if out else default_path(table)
    opt.require_folder(path)
    opt.require_prob(prob)
    order = opt.bucket_order(buckets)
    runs = read_runs(table, buckets=order, data_dir=data_dir, prior_dominated=prior_dominated)
    settings: dict[str, Any] = {"chains": chains, "draws": draws, "warmup": warmup, "seed": seed}
    with progress("sampling") as said:
        fitted = run_fit(runs, model, progress=said, backend=backend, device=device, **settings)
    fitted.save(path)
    code = 0 if fitted.verdict.converged else UNCONVERGED
    report = fit_report(fitted, prob) | {"fit": str(path)}
    return Answer(report, lambda console: _show(console, fitted, path, prob), code)


def default_path(table: str) -> Path:
    """``runs/web.csv`` -> ``web.nc``; a study.toml or folder gives the folder's name."""
    path = Path(table)
    named = path.parent if path.name == "study.toml" else path
    return Path(f"{named.resolve().stem if path.is_file() else named.resolve().name}.nc")


def fit_report(fitted: "Fit", prob: float = 0.9) -> dict[str, Any]:
    """The JSON object of a fit; ``fit`` (the file) is filled in by the caller."""
    verdict = fitted.verdict.to_dict()
    names = ("converged", "rhat_max", "ess_bulk_min", "ess_tail_min", "divergences", "bfmi_min")
    return {
        "fit": None,
        "runs": len(fitted.table),
        **{name: verdict[name] for name in names},
        "failures": fitted.verdict.failures(),
        "seconds": fitted.info.get("seconds"),
        "model": fitted.spec.name,
        "units": fitted.units,
        "parameters": fitted.summary(prob),
        "prior_only": fitted.prior_only,
        "simulated": fitted.table.simulated,
        "notes": list(fitted.info.get("notes", ())),
    }


def _show(console: "Console", fitted: "Fit", path: Path, prob: float) -> None:
    import pandas as pd

    from bayes_infolaw.posterior.wording import verdict_sentence

    console.print(verdict_sentence(fitted.verdict), soft_wrap=True)
    info, units = fitted.info, fitted.units
    done = f"{len(fitted.table)} runs, model {fitted.spec.name}, {info.get('seconds', 0):.1f} s"
    console.print(f"{done}, {info.get('device', 'cpu')}. Fit written to {path}.", soft_wrap=True)
    meaning = MEANING | BY_SYSTEM[units["system"]]
    rows = [
        {"parameter": name, **(values or {}), "meaning": meaning.get(name, "")}
        for name, values in fitted.summary(prob).items()
    ]
    title = f"Parameters ({units['system']} units), {prob:.0%} equal-tailed intervals"
    print_frame(console, pd.DataFrame(rows).drop(columns="prob"), title)
    listed = [f"{name}: {value}" for name, value in units.items() if name != "system"]
    print_notes(console, listed, "Units")
    print_notes(console, fitted.prior_only.values(), "Prior only")
    print_notes(console, info.get("notes", ()))
