"""The folder of a study: where a sweep keeps plan, records, attempts, work and table."""

from dataclasses import dataclass
from pathlib import Path

from bayes_infolaw.errors import InputError
from bayes_infolaw.harness.record import RunRecord, read_record, read_records

__all__ = ["StudyFolder"]


@dataclass(frozen=True)
class StudyFolder:
    """``runs/NAME``: ``runs.csv``, ``study.toml``, ``sweep.json``, ``records/``, ``attempts/``.

    ``work/`` (checkpoints and logs) is told to git as ignored.
    """

    root: Path

    @property
    def records(self) -> Path:
        """One immutable JSON file a run."""
        return self.root / "records"

    @property
    def attempts(self) -> Path:
        """Records of failed attempts that were tried again."""
        return self.root / "attempts"

    @property
    def provenance(self) -> Path:
        """Copies of the plans and settings that were swept."""
        return self.root / "provenance"

    @property
    def table(self) -> Path:
        """The study's table."""
        return self.root / "runs.csv"

    @property
    def study(self) -> Path:
        """How to read the table."""
        return self.root / "study.toml"

    def work(self, run: str) -> Path:
        """A run's own folder for checkpoints and logs."""
        return self.root / "work" / run

    def prepare(self) -> None:
        """Make what is missing.

        Raises
        ------
        InputError
            The folder above does not exist, or the path is a file.
        """
        if not self.root.parent.is_dir():
            raise InputError(f"--out: folder must exist, got {str(self.root.parent)!r}")
        if self.root.exists() and not self.root.is_dir():
            raise InputError(f"--out: must be a folder, got the file {str(self.root)!r}")
        for folder in (self.records, self.root / "work"):
            folder.mkdir(parents=True, exist_ok=True)
        ignored = self.root / "work" / ".gitignore"
        if not ignored.exists():
            ignored.write_text("*\n", encoding="utf-8")

    def record(self, run: str) -> RunRecord | None:
        """The record of a run, None where there is none."""
        path = self.records / f"{run}.json"
        return read_record(path) if path.is_file() else None

    def all_records(self) -> list[RunRecord]:
        """Every record, by name."""
        return read_records(self.records) if self.records.is_dir() else []

    def set_aside(self, run: str) -> None:
        """Move a record to the attempts, under the next free number."""
        self.attempts.mkdir(exist_ok=True)
        number = 1
        while (target := self.attempts / f"{run}-{number}.json").exists():
            number += 1
        (self.records / f"{run}.json").rename(target)
