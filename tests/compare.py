"""What tests compare lakes by: rows as a reader gets them, rule counts, files, and a writer that is not us."""

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.table import Table as IcebergTable

from stedi.catalog import Catalog, Snapshot
from stedi.pipeline import RunReport
from stedi.table import Table
from stedi.tables import REFRESHED
from stedi.verify import Finding, verify
from tests.conftest import Lake

NAMES = tuple(table.name for table in REFRESHED)
DERIVED = tuple(name for name in NAMES if not name.endswith("_landing"))
REBUILT = "rows that a full rebuild does not have, or has besides"


def contents(lake: Lake, tables: Sequence[str] = NAMES, **options: str) -> dict[str, list[str]]:
    """All rows of some tables, but for when files arrived, as one query on the newest finished run finds them."""
    parts = []
    for table in (t for t in REFRESHED if t.name in tables):
        columns = ", ".join(f'"{c.name}"' for c in table.columns if c.name != "arrived_at")
        parts.append(f"SELECT '{table.name}' AS name, r::VARCHAR AS row FROM (SELECT {columns} FROM {table.name}) AS r")
    found: dict[str, list[str]] = defaultdict(list)
    for name, row in lake.rows(" UNION ALL ".join(parts), **options):
        found[name].append(row)
    return {name: sorted(found[name]) for name in tables}


def marks(lake: Lake) -> dict[str, Snapshot]:
    """What the newest commit of each table says about itself."""
    with Catalog(lake.settings.warehouse) as catalog:
        return {name: mark for name in NAMES if (mark := catalog.latest_mark(name))}


def rule_counts(lake: Lake, tables: Sequence[str] = NAMES) -> dict[str, dict[str, int]]:
    """How many rows break each rule, as the tables' commits recorded it."""
    return {name: mark.reflects["rules"] for name, mark in marks(lake).items() if name in tables}


def found_wrong(lake: Lake) -> list[Finding]:
    """What `verify` finds wrong."""
    return [finding for finding in verify(lake.settings) if not finding.holds]


def done(report: RunReport) -> dict[str, tuple[object, ...]]:
    """What a run did or a plan says, by table."""
    return {
        name: (t.status.replace("would refresh", "refreshed"), t.rows, t.added, t.removed, t.people, t.reason)
        for name, t in report.tables.items()
    }


def tree(folder: Path) -> dict[str, str]:
    """Every file and folder below a folder, with the content of the files."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "folder"
        for path in sorted(folder.rglob("*"))
    }


@contextmanager
def opened(lake: Lake, name: str) -> Iterator[IcebergTable]:
    """A table as another program opens it."""
    catalog = SqlCatalog("other", uri=f"sqlite:///{lake.settings.warehouse.resolve() / 'catalog.db'}")
    try:
        yield catalog.load_table(("stedi", name))
    finally:
        catalog.close()


class Died(BaseException):
    """Stands for the end of the process: nothing in the program catches it."""


@contextmanager
def commits(*, die_at: int = 0, after: bool = False) -> Iterator[list[str]]:
    """Collect the names of the tables that are committed to; die at the so manieth commit, before or after it."""
    committed: list[str] = []
    real = Catalog.commit

    def commit(
        self: Catalog,
        table: Table,
        added: Sequence[str],
        removed: Sequence[str],
        reflects: Mapping[str, object],
        *,
        version: str,
    ) -> Snapshot:
        if len(committed) + 1 == die_at and not after:
            raise Died
        snapshot = real(self, table, added, removed, reflects, version=version)
        committed.append(table.name)
        if len(committed) == die_at:
            raise Died
        return snapshot

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Catalog, "commit", commit)
        yield committed


def record_of(lake: Lake) -> dict[str, object]:
    """The record of the newest finished run."""
    path = max((lake.settings.warehouse / "runs").glob("[0-9]*.json"))
    recorded: dict[str, object] = json.loads(path.read_text())
    return recorded
