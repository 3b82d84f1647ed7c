"""What stacks left in the work folder: which go on, which are over, and who has their runs."""

import hashlib
import json
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from bayes_infolaw.harness.settings import RunSettings
from bayes_infolaw.harness.sweep.attempt import clear_work, lock_path
from bayes_infolaw.harness.sweep.folder import StudyFolder
from bayes_infolaw.harness.sweep.opening import Sweep
from bayes_infolaw.whole_file import write_whole

__all__ = ["begin", "begun_stacks", "is_part_trained", "path_of", "runs_held"]

MEMBERS = "stack.json"
DIGITS = 12


def path_of(sweep: Sweep, stack: Iterable[RunSettings]) -> Path:
    """The stack's folder, named by what must not change while it is under way."""
    identity = [sweep.corpus.hash, *([run.name, run.hash] for run in stack)]
    digest = hashlib.sha256(json.dumps(identity).encode()).hexdigest()
    return sweep.folder.work(f"stack-{digest[:DIGITS]}")


@contextmanager
def runs_held(folder: StudyFolder, names: Iterable[str]) -> Iterator[bool]:
    """Hold the locks of runs, all or none; whether they were free."""
    with ExitStack() as locks:
        free = True
        try:
            for name in sorted(names):
                locks.enter_context(FileLock(lock_path(folder.work(name)), timeout=0))
        except Timeout:
            locks.close()
            free = False
        yield free


def begin(sweep: Sweep, stack: Sequence[RunSettings]) -> Path:
    """The stack's folder, made where it is new; what older attempts left of its runs is dropped."""
    work = path_of(sweep, stack)
    if not (work / MEMBERS).exists():
        for run in stack:
            clear_work(sweep.folder.work(run.name))
        work.mkdir(parents=True, exist_ok=True)
        text = json.dumps({"runs": [run.name for run in stack]}) + "\n"
        write_whole(work / MEMBERS, lambda part: part.write_text(text, encoding="utf-8"))
    return work


def begun_stacks(sweep: Sweep, missing: Sequence[RunSettings]) -> list[list[RunSettings]]:
    """Stacks under way whose runs are all missing, no run in two of them.

    Removed are those that nothing can go on from: one of their runs has its record, or the plan has
    other settings for their runs. Stacks of runs that are not in the plan are another plan's.
    """
    by_name = {run.name: run for run in missing}
    begun: list[list[RunSettings]] = []
    taken: set[str] = set()
    for path in sorted((sweep.folder.root / "work").glob(f"stack-*/{MEMBERS}")):
        names = _members(path)
        stack = [by_name[name] for name in names if name in by_name]
        if stack and len(stack) == len(names) and path_of(sweep, stack) == path.parent:
            if not taken & set(names):
                begun.append(stack)
                taken |= set(names)
        elif names and (len(stack) == len(names) or _has_record(sweep.folder, names)):
            _remove(sweep.folder, path.parent, names)
    return begun


def _members(path: Path) -> list[str]:
    try:
        return list(json.loads(path.read_text(encoding="utf-8"))["runs"])
    except FileNotFoundError:  # another sweep has just finished it
        return []


def _has_record(folder: StudyFolder, names: Sequence[str]) -> bool:
    return any((folder.records / f"{name}.json").is_file() for name in names)


def _remove(folder: StudyFolder, work: Path, names: Sequence[str]) -> None:
    with runs_held(folder, names) as free:
        if free:  # else another sweep is at it
            shutil.rmtree(work, ignore_errors=True)


def is_part_trained(sweep: Sweep, run: RunSettings) -> bool:
    """Whether the run's own folder has a checkpoint that it, trained alone, can go on from."""
    from bayes_infolaw.harness.training.checkpoint import latest_checkpoint
    from bayes_infolaw.harness.training.start import identity_of

    found = latest_checkpoint(sweep.folder.work(run.name))
    if found is None or not len(found.optimiser()):  # what a stack leaves is weights alone
        return False
    return found.progress.get("identity") == identity_of(sweep.corpus, run.identity())
