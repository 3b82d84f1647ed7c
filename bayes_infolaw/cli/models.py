"""``bayes-infolaw models``: the shipped model files."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from bayes_infolaw.cli import options as opt
from bayes_infolaw.cli.output import Answer, command, print_frame

if TYPE_CHECKING:
    from rich.console import Console

    from bayes_infolaw.model.prior import Prior
    from bayes_infolaw.model.spec import ModelSpec

__all__ = ["models"]


@command
def models(
    name: Annotated[
        str | None,
        typer.Argument(metavar="[NAME|FILE]", help="Print this model file instead of the list."),
    ] = None,
    as_json: opt.AsJson = False,
) -> Answer:
    """List the shipped model files, or print one.

    Changing a prior is changing such a file: `models infolaw > mine.toml`, edit it, and give it to
    `fit --model mine.toml`.
    """
    from bayes_infolaw import find_model, list_models
    from bayes_infolaw.model.library import model_path

    if name is not None:
        text = model_path(name).read_text(encoding="utf-8")
        payload = _facts(find_model(name)) | {"text": text}
        return Answer(payload, lambda console: console.out(text, end="", highlight=False))
    found = list_models()
    return Answer({"models": [_facts(spec) for spec in found]}, lambda c: _show(c, found))


def _facts(spec: "ModelSpec") -> dict[str, Any]:
    law = {
        "normaliser": spec.normaliser,
        "rate": spec.rate,
        "densities": spec.densities,
        "irreducible": spec.irreducible,
        "K_0": spec.tokens_0,
    }
    return {
        "name": spec.name,
        "title": spec.title,
        "reference": spec.reference,
        "law": law,
        "intercept": spec.intercept,
        "noise": spec.noise,
        "priors": {key: _prior(prior) for key, prior in spec.priors.items()},
    }


def _prior(prior: "Prior") -> dict[str, Any]:
    from bayes_infolaw.model.prior import FAMILIES

    named = zip(FAMILIES[prior.family], prior.values, strict=True)
    return {"family": prior.family, **dict(named)}


def _show(console: "Console", found: "list[ModelSpec]") -> None:
    import pandas as pd

    rows = [_facts(spec) for spec in found]
    laws = [{k: str(v) for k, v in row["law"].items()} for row in rows]
    names = [{"name": row["name"], "title": row["title"]} for row in rows]
    print_frame(console, pd.DataFrame([n | law for n, law in zip(names, laws, strict=True)]))
    first = rows[0]
    stated = [{"model": first["name"], **prior} for prior in _priors(first, {})]
    for row in rows[1:]:
        stated += [{"model": row["name"], **prior} for prior in _priors(row, first["priors"])]
    print_frame(console, pd.DataFrame(stated), f"Priors (below {first['name']}: what differs)")


def _priors(row: dict[str, Any], known: dict[str, Any]) -> list[dict[str, str]]:
    priors = row["priors"].items()
    return [{"parameter": k, **_text(prior)} for k, prior in priors if known.get(k) != prior]


def _text(prior: dict[str, Any]) -> dict[str, str]:
    values = ", ".join(f"{name} {value:g}" for name, value in prior.items() if name != "family")
    return {"prior": prior["family"], "values": values}
