"""Iceberg snapshots and the inputs each was computed from."""

import datetime
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from stedi.model.data_files import WrittenFile

MARK = "stedi.reflects"


@dataclass(frozen=True)
class Commit:
    """Files that come and go together (`removed` are paths), and what the table reflects from then on.

    `version` names the rows from then on; where no file comes or goes they keep the name they have.
    """

    added: Sequence[WrittenFile]
    removed: Sequence[str]
    reflects: Mapping[str, Any]
    version: str

    def recorded(self, before: "Snapshot | None") -> dict[str, Any]:
        """What the table's next snapshot records, after the one before."""
        keeps_rows = before is not None and not self.added and not self.removed
        return {**self.reflects, "version": before.version if before and keeps_rows else self.version}


@dataclass(frozen=True)
class Snapshot:
    """One committed state of a table: what it holds and what it reflects."""

    id: int
    parent_id: int | None
    committed_at: datetime.datetime
    operation: str
    summary: Mapping[str, str]
    # Counts the commits of the table.
    sequence_number: int = 0

    @property
    def is_ours(self) -> bool:
        """Whether this program made it; Athena and others may write to the tables too."""
        return MARK in self.summary

    @property
    def reflects(self) -> dict[str, Any]:
        """What the commit recorded about itself: run, policy, input versions, side files."""
        recorded: dict[str, Any] = json.loads(self.summary.get(MARK, "{}"))
        return recorded

    @property
    def version(self) -> str:
        """Names the table's rows: commits that leave every row as it was keep their parent's version."""
        return str(self.reflects.get("version", self.id))

    @property
    def rows(self) -> int:
        """How many rows the table holds. Our commits say; others' summaries count records and deletes apart."""
        counted = int(self.summary.get("total-records", 0)) - int(self.summary.get("total-position-deletes", 0))
        return int(self.reflects.get("rows", counted))

    @classmethod
    def of_draft(cls, parent: "Snapshot | None", reflects: Mapping[str, Any], at: datetime.datetime) -> Self:
        """A snapshot that was never committed; drafts count downwards from zero."""
        number = parent.id - 1 if parent and parent.id < 0 else -1
        return cls(number, parent.id if parent else None, at, "draft", {MARK: json.dumps(reflects)})
