"""The commands and their options, frozen: names are a contract, additions are deliberate."""

import pytest
import typer.main

from bayes_infolaw.cli.app import app
from bayes_infolaw.cli.options import named_values
from bayes_infolaw.cli.output import BAD_INPUT, FAILED, REFUSED, STOPPED, UNCONVERGED
from bayes_infolaw.errors import InputError
from bayes_infolaw.posterior.fitting import FitSettings

SAMPLING = {"--chains", "--draws", "--warmup", "--seed"}
OPTIONS = {
    "fit": SAMPLING
    | {"--model", "--buckets", "--out", "--backend", "--device", "--data-dir"}
    | {"--prior-dominated", "--prob", "--json"},
    "diagnose": {"--prob", "--refits", "--no-refits", "--table", "--data-dir", "--json"},
    "predict": {"--plan", "--prob", "--out", "--table", "--data-dir"}
    | {"--allow-unconverged", "--json"},
    "validate": SAMPLING
    | {"--hold-out", "--model", "--buckets", "--out", "--backend", "--device", "--data-dir"}
    | {"--prior-dominated", "--allow-unconverged", "--prob", "--json"},
    "recommend": {"--constants", "--params-nonembedding", "--tokens", "--source-tokens", "--shares"}
    | {"--buckets", "--flops-per-token", "--overtraining", "--ordered", "--free", "--incumbent"}
    | {"--label", "--prob", "--out", "--table", "--data-dir", "--allow-unconverged", "--json"}
    | {"--weight", "--objective", "--level", "--incumbent-loss", "--q", "--epsilon", "--seed"}
    | {"--ordered-repetition", "--floor", "--cap", "--fix", "--equivalent-probability"}
    | {"--max-repetition", "--max-mean-repetition", "--kl-max", "--tv-max", "--price", "--budget"}
    | {"--unique-price", "--unique-budget", "--at-least", "--max-buckets", "--held-out"}
    | {"--figures"},
    "beats": {"--plan", "--a", "--b", "--weight", "--prob", "--data-dir", "--allow-unconverged"}
    | {"--json"},
    "plan": {"--compute", "--target-loss", "--probability", "--source-tokens", "--shares"}
    | {"--label", "--sizes", "--extrapolate", "--ordered", "--free", "--floor", "--cap", "--fix"}
    | {"--max-repetition", "--max-mean-repetition", "--weight", "--prob", "--allow-unconverged"}
    | {"--ordered-repetition", "--incumbent", "--kl-max", "--tv-max", "--price", "--budget"}
    | {"--at-least", "--max-buckets", "--out", "--json"},
    "worth": {"--position", "--tokens", "--price", "--name", "--params-nonembedding"}
    | {"--target-tokens", "--source-tokens", "--shares", "--flops-per-token", "--overtraining"}
    | {"--label", "--ordered", "--free", "--max-repetition", "--max-mean-repetition"}
    | {"--ordered-repetition", "--floor", "--cap", "--fix", "--incumbent", "--tv-max"}
    | {"--at-least", "--max-buckets", "--out"}
    | {"--value-per-nat", "--weight", "--prob", "--allow-unconverged", "--json"},
    "next": {"--params-nonembedding", "--tokens", "--source-tokens", "--candidates", "--budget"}
    | {"--shares", "--flops-per-token", "--overtraining", "--label", "--ordered", "--free", "--q"}
    | {"--rank-by", "--value-per-nat", "--refit", "--outcomes", "--weight", "--seed", "--out"}
    | {"--ordered-repetition", "--floor", "--cap", "--fix", "--max-repetition"}
    | {"--max-mean-repetition", "--at-least", "--max-buckets", "--measured", "--updated"}
    | {"--max-run-repetition", "--plan-out", "--batch-out"}
    | {"--data-dir", "--allow-unconverged", "--json"},
    "simulate": {"--design", "--parameters", "--noise", "--seed", "--out", "--buckets"}
    | {"--data-dir", "--json"},
    "models": {"--json"},
    "demo": SAMPLING | {"--out", "--allow-unconverged", "--json"},
    "train": {"--corpus", "--out", "--run", "--settings", "--set", "--json"}
    | {"--size", "--layers", "--hidden", "--heads", "--mlp", "--seq-len", "--tied"}
    | {"--tokens", "--overtraining", "--source-tokens", "--source-ratio", "--recipe"}
    | {"--subsample", "--seed", "--device", "--precision", "--threads", "--compile"}
    | {"--parallel", "--tensorboard"},
    "sweep": {"--corpus", "--out", "--engine", "--slots", "--threads", "--nice", "--settings"}
    | {"--match-repetition", "--retry-failed", "--ray-address", "--slurm-cluster", "--train"}
    | {"--stack", "--stack-flops", "--stop-after", "--drop-checkpoints", "--dry-run", "--json"},
    "evaluate": {"--corpus", "--tasks", "--shots", "--limit", "--seed", "--device", "--threads"}
    | {"--out", "--json"},
    "corpus build": {"--out", "--heldout", "--heldout-fraction", "--heldout-by-source"}
    | {"--reference", "--reference-source", "--train-scorers", "--percentiles", "--seed"}
    | {"--vocab-size", "--tokenizer", "--end-of-text", "--tokenizer-sample-mb"}
    | {"--text-column", "--id-column", "--source-column", "--licence-column", "--score-column"}
    | {"--dedup", "--no-dedup", "--dedup-permutations", "--dedup-bands", "--dedup-rows"}
    | {"--dedup-ngram", "--dedup-threshold"}
    | {"--overlap-ngram", "--overlap-least", "--overlap-share"}
    | {"--workers", "--engine", "--ray-address", "--chunk-mb", "--json"},
    "corpus describe": {"--examples", "--verify", "--json"},
    "corpus thin": {"--tokens", "--out", "--seed", "--json"},
}
ARGUMENTS = {
    "fit": ["table"],
    "diagnose": ["fit"],
    "predict": ["fit"],
    "validate": ["table"],
    "recommend": ["fits"],
    "beats": ["fits"],
    "plan": ["fits"],
    "worth": ["fits"],
    "next": ["fits"],
    "simulate": ["model"],
    "models": ["name"],
    "demo": [],
    "train": [],
    "sweep": ["plan"],
    "evaluate": ["runs"],
    "corpus build": ["inputs"],
    "corpus describe": ["corpus"],
    "corpus thin": ["corpus"],
}


def commands():
    """All commands by the words that call them, those of groups included."""
    return dict(flat(typer.main.get_command(app)))


def flat(group, *words):
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from flat(command, *words, name)
        else:
            yield " ".join((*words, name)), command


def test_the_commands_are_these():
    assert set(commands()) == set(OPTIONS)


@pytest.mark.parametrize("name", OPTIONS)
def test_options_are_these(name):
    found = [p for p in commands()[name].params if p.param_type_name == "option"]
    assert {o for p in found for o in (*p.opts, *p.secondary_opts)} - {"--help"} == OPTIONS[name]


@pytest.mark.parametrize("name", ARGUMENTS)
def test_arguments_are_these(name):
    found = [p.name for p in commands()[name].params if p.param_type_name == "argument"]
    assert found == ARGUMENTS[name]


@pytest.mark.parametrize("name", ["fit", "validate", "demo"])
def test_sampling_defaults_are_the_python_ones(name):
    defaults = {p.name: p.default for p in commands()[name].params}
    ours = vars(FitSettings())
    assert {k: defaults[k] for k in defaults if k in ours} == {
        k: v for k, v in ours.items() if k in defaults
    }
    assert {"chains", "draws", "warmup", "seed"} <= set(defaults)


def test_the_help_names_every_exit_code():
    said = typer.main.get_command(app).help
    assert all(
        f" {code} " in said for code in (0, BAD_INPUT, UNCONVERGED, FAILED, REFUSED, STOPPED)
    )


def test_recommend_is_free_by_default():
    assert {p.name: p.default for p in commands()["recommend"].params}["ordered"] is False


@pytest.mark.parametrize("name", OPTIONS)
def test_every_option_is_explained(name):
    assert commands()[name].help
    assert [p.name for p in commands()[name].params if not p.help and p.name != "help"] == []


@pytest.mark.parametrize("pairs", [["a"], ["=1"], ["a=1", "a=2"]])
def test_bad_pairs_are_refused(pairs):
    with pytest.raises(InputError, match="--shares"):
        named_values(pairs, "--shares")
