"""Plan, corpus, settings and folder of a sweep, read and checked before anything is done."""

from dataclasses import dataclass
from pathlib import Path

from bayes_infolaw.harness.settings import RunSettings
from bayes_infolaw.harness.store import Corpus
from bayes_infolaw.harness.sweep.folder import StudyFolder
from bayes_infolaw.harness.sweep.plan import Plan, read_plan
from bayes_infolaw.harness.sweep.settings_file import SweepFile, find_settings
from bayes_infolaw.harness.sweep.table import check_study
from bayes_infolaw.harness.sweep.target import ratio_of_run, ratio_of_table

__all__ = ["Sweep", "open_sweep"]


@dataclass(frozen=True)
class Sweep:
    """A checked plan, the corpus it is of, and the study's folder."""

    plan: Plan
    plan_file: Path
    corpus: Corpus
    folder: StudyFolder
    file: SweepFile

    @property
    def runs(self) -> tuple[RunSettings, ...]:
        """Settings of every run, in the plan's order."""
        return self.plan.runs


def open_sweep(
    plan: str | Path,
    corpus: str | Path,
    out: str | Path,
    settings: str | Path | None = None,
    match_repetition: str | None = None,
) -> Sweep:
    """Read and check all that a sweep needs; nothing is written.

    Parameters
    ----------
    plan : str or Path
        CSV or Parquet; columns as `resolve_plan` says.
    corpus, out : str or Path
        The corpus's folder; the study's folder, which need not exist.
    settings : str or Path, optional
        Instead of ``sweep.toml`` beside the plan.
    match_repetition : str, optional
        A target whose S / K all runs get: a run of the plan, a table of one run, or TABLE#RUN.

    Raises
    ------
    InputError
        A bad plan, corpus, settings file or target.
    """
    plan_file, opened = Path(plan), Corpus.open(corpus)
    file = find_settings(plan_file, None if settings is None else Path(settings))
    check_study(file.study)
    read = _read(plan_file, opened, file, match_repetition)
    return Sweep(read, plan_file, opened, StudyFolder(Path(out)), file)


def _read(plan_file: Path, corpus: Corpus, file: SweepFile, target: str | None) -> Plan:
    if target is None:
        return read_plan(plan_file, corpus, file)
    found = ratio_of_table(target, corpus)
    ratio, notes = found or (ratio_of_run(target, read_plan(plan_file, corpus, file)), [])
    plan = read_plan(plan_file, corpus, file, ratio)
    said = f"S is {ratio:.4g} K in every run, for the repetition of {target}."
    return Plan(plan.runs, (*plan.notes, said, *notes))
