"""The interface of table tests (land records, run, read rows), and its implementation in files."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol

from stedi.config import Settings
from stedi.pipeline import RunReport
from tests.support.compare import contents, found_wrong, rule_counts
from tests.support.lake import Lake, Record


class Tables(Protocol):
    """The tables of one lake."""

    def land(self, name: str, records: Iterable[Record]) -> object:
        """Land a file, such as `customer/1.json`."""

    def remove(self, name: str) -> None:
        """Delete a landing file. Its rows stay."""

    def use_key(self, key: str) -> None:
        """Change the pseudonym key."""

    def run(self, *, select: Sequence[str] = ()) -> RunReport:
        """Refresh the tables, or the selected ones and their inputs."""

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """Run a query over the tables by name."""

    def contents(self) -> dict[str, list[str]]:
        """Return all rows of every derived table, as text."""

    def found_wrong(self) -> list[Any]:
        """Return the differences from a full rebuild."""

    def is_like_new(self) -> bool:
        """Whether the tables equal those of one run on the same files. No file may have been deleted."""


NewTables = Callable[[str], Tables]


class FileTables:
    """Tables in files, with commits: `stedi run` without a command line."""

    def __init__(self, folder: Path, policy: str = "customer") -> None:
        folder.mkdir()
        self._lake, self._folder = Lake(folder, policy), folder

    def land(self, name: str, records: Iterable[Record]) -> None:
        self._lake.land(name, records)

    def remove(self, name: str) -> None:
        (self._lake.landing / name).unlink()

    def use_key(self, key: str) -> None:
        self._lake.settings = Settings.model_validate(self._lake.settings.model_dump() | {"pseudonym_key": key})

    def run(self, *, select: Sequence[str] = ()) -> RunReport:
        return self._lake.run(select=select)

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        return self._lake.rows(sql)

    def contents(self) -> dict[str, list[str]]:
        return contents(self._lake)

    def found_wrong(self) -> list[Any]:
        return found_wrong(self._lake)

    def is_like_new(self) -> bool:
        fresh = FileTables(self._folder / "fresh", self._lake.settings.consent.policy)._lake
        fresh.settings = fresh.settings.model_copy(update={"landing": self._lake.settings.landing})
        fresh.run()
        return contents(self._lake) == contents(fresh) and rule_counts(self._lake) == rule_counts(fresh)
