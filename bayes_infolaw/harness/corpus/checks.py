"""Whether what was asked for can be built: found out as early as it can be known."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bayes_infolaw.errors import InputError
from bayes_infolaw.harness.corpus.chunks import EVALUATION, REFERENCE, TRAIN
from bayes_infolaw.harness.corpus.ingest import Source
from bayes_infolaw.harness.corpus.inputs import set_name
from bayes_infolaw.harness.corpus.settings import CorpusSettings

__all__ = ["check_content", "check_request", "check_scores"]

MOST_SETS = 256  # each evaluation set is a file that stays open, and a loss to compute


def check_request(settings: CorpusSettings, sources: Sequence[Source]) -> None:
    """Raise InputError unless options fit together: before anything is read or written."""
    fraction = settings.heldout.fraction
    if not fraction and not any(source.role == EVALUATION for source in sources):
        raise InputError("heldout: must have at least one document, got none")
    if settings.train_scorers and settings.columns.scores:
        raise InputError("--score-column: must not come with --train-scorers, got both")
    if settings.train_scorers and not _has_reference(settings, sources):
        raise InputError("reference: must have documents where scorers are trained, got none")
    if settings.tokenizer.end_of_text and not settings.tokenizer.given:
        name = settings.tokenizer.end_of_text
        raise InputError(f"--end-of-text: must come with --tokenizer, got {name!r} alone")
    _check_names(dict.fromkeys(source.evaluation_set for source in sources))


def _has_reference(settings: CorpusSettings, sources: Sequence[Source]) -> bool:
    return bool(settings.reference_sources) or any(s.role == REFERENCE for s in sources)


def _check_names(asked: Iterable[str]) -> None:
    """Evaluation sets (and their sources) must have folders of their own."""
    places = {name: set_name(name) for name in asked}
    empty = [name for name, place in places.items() if not place]
    if empty:
        raise InputError(f"heldout: a name must have letters or digits, got {empty[0]!r}")
    shared = [place for place, n in Counter(places.values()).items() if n > 1]
    if shared:
        names = [name for name, place in places.items() if place == shared[0]]
        rule = "names must differ in letters, digits, dots or dashes"
        raise InputError(f"heldout: {rule}, got {names[0]!r} and {names[1]!r}")


def check_scores(
    settings: CorpusSettings, sources: Sequence[Source], looked: Sequence[Mapping[str, Any]]
) -> tuple[str, ...]:
    """The score columns that all inputs bring; none where scorers are to be trained.

    Raises
    ------
    InputError
        Inputs differ in them; there is no reference to train on; or it would not be used.
    """
    train = [part for part, s in zip(looked, sources, strict=True) if s.role == TRAIN]
    wanted = train[0]["scores"]
    for part in train:
        if part["scores"] != wanted:
            expected, found = (", ".join(names) or "none" for names in (wanted, part["scores"]))
            rule = f"must have the score columns of the other inputs ({expected})"
            raise InputError(f"{part['name']}: {rule}, got {found}")
    if settings.train_scorers:
        return ()
    if not wanted and not _has_reference(settings, sources):
        rule = "must have documents where the input brings no score column"
        raise InputError(f"reference: {rule}, got none")
    if wanted and _has_reference(settings, sources):
        rule = f"is not used where the input brings scores ({', '.join(wanted)})"
        raise InputError(f"reference: {rule}; leave it out, or take --train-scorers")
    return tuple(wanted)


def check_content(parts: Sequence[Mapping[str, Any]], settings: CorpusSettings) -> None:
    """Raise InputError unless the reference, the evaluation sets and the rest are as asked."""
    evaluation = {name for part in parts for name in part["sources"]["evaluation"]}
    reference = {name for part in parts for name in part["sources"]["reference"]}
    shared = sorted(evaluation & reference)
    if shared:
        rule = "must not share a source with the evaluation sets (the score must not be likeness"
        raise InputError(f"reference: {rule} to the test), got {shared[0]!r} in both")
    unused = sorted(set(settings.reference_sources) - reference)
    if unused:
        raise InputError(f"reference source: must occur in the input, {unused[0]!r} does not")
    for role, what in (("evaluation", "heldout"), ("train", "input")):
        if not sum(part["roles"][role] for part in parts):
            use = " for training" if role == "train" else ""
            raise InputError(f"{what}: must have at least one document{use}, got none")
    if settings.heldout.by_source:
        _check_sets(parts)


def _check_sets(parts: Sequence[Mapping[str, Any]]) -> None:
    """An evaluation set a source: not too many, and each with a folder of its own."""
    sets = {
        f"{part['evaluation_set']}-{source}": None
        for part in parts
        for source in part["sources"]["evaluation"]
    }
    if len(sets) > MOST_SETS:
        rule = f"must make at most {MOST_SETS} evaluation sets"
        raise InputError(f"--heldout-by-source: {rule}, got {len(sets)} sources")
    _check_names(sets)
