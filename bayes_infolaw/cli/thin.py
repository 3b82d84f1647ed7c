"""``bayes-infolaw corpus thin``: a corpus folder -> a smaller one to carry elsewhere."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from bayes_infolaw.cli import options as opt
from bayes_infolaw.cli.output import Answer, command, progress

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["thin"]


@command
def thin(
    corpus: Annotated[str, typer.Argument(metavar="DIR", help="Written by `corpus build`.")],
    tokens: Annotated[
        str, typer.Option(metavar="N", help="Training tokens to keep, about, such as 25e6.")
    ],
    out: Annotated[str, typer.Option(metavar="DIR", help="Folder to make.")],
    seed: opt.Seed = 0,
    as_json: opt.AsJson = False,
) -> Answer:
    """Keep a random sample of every bucket's documents, in the corpus's shares.

    The evaluation sets and the tokenizer are copied whole; the new corpus has its own hash.
    """
    from bayes_infolaw.harness.corpus.thin import thin_corpus
    from bayes_infolaw.harness.store import Corpus

    wanted = round(opt.number(tokens, "--tokens"))
    with progress("thinning") as said:
        folder = thin_corpus(Corpus.open(corpus), out, wanted, seed, progress=said)
    small = Corpus.open(folder)
    payload: dict[str, Any] = {
        "corpus": small.folder.name,
        "hash": small.hash,
        "from": small.manifest["thinned"]["from"],
        "tokens": {name: small.bucket(name).tokens for name in small.buckets},
        "bytes": {entry["name"]: entry["bytes"] for entry in small.manifest["buckets"]},
    }
    return Answer(payload, lambda console: _show(console, payload))


def _show(console: "Console", payload: dict[str, Any]) -> None:
    total, n_bytes = (sum(payload[key].values()) for key in ("tokens", "bytes"))
    console.print(
        f"{total} training tokens in {payload['corpus']} ({n_bytes / total:.2f} bytes a token), "
        f"hash {payload['hash']}."
    )
