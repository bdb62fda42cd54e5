"""Landing files as the embedded engine reads them, without tables: nothing is committed."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stedi.compute.counts import count_rows
from stedi.compute.duckdb import DuckDBBackend
from stedi.ingest.listing import list_files
from stedi.ingest.reasons import explain
from stedi.model.sql import quoted
from stedi.tables.landing.feeds import FEEDS
from tests.support.lake import Record, put


@dataclass(frozen=True)
class Read:
    """How many records of each feed were quarantined."""

    quarantined: dict[str, int]


class LandingFolder:
    """A landing folder and what is read from it: the landing tables and quarantine, by their names."""

    def __init__(self, folder: Path, engine: DuckDBBackend) -> None:
        self.landing, self._engine = folder / "landing", engine
        self.landing.mkdir()

    def land(self, name: str, records: Iterable[Record] | bytes, *, arrived_ms: int | None = None) -> Path:
        """Put a landing file in place; records are written one a line. It was last written now, or when it says."""
        path = put(self.landing / name, records)
        if arrived_ms is not None:
            os.utime(path, ns=(arrived_ms * 1_000_000, arrived_ms * 1_000_000))
        return path

    def run(self, *, select: Sequence[str] = ()) -> Read:
        """Read all files. Each reason for quarantine has to be declared."""
        quarantined: dict[str, int] = {}
        rejected = []
        for feed in FEEDS:
            taken = self._engine.ingest(feed, list_files(str(self.landing), feed))
            self._engine.materialize(feed.table.name, f"SELECT * FROM {quoted(taken.landed)}")
            self._engine.materialize(f"rejected_{feed.name}", f"SELECT * FROM {quoted(taken.quarantined)}")
            self._engine.release(feed)
            rejected.append(f"SELECT * FROM {quoted(f'rejected_{feed.name}')}")
            quarantined[feed.name] = count_rows(self._engine, f"SELECT * FROM rejected_{feed.name}")
        self._engine.materialize("quarantine", " UNION ALL ".join(rejected))
        given = {reason for (reason,) in self.rows("SELECT DISTINCT reason FROM quarantine")}
        assert all(explain(reason) for reason in given), given
        return Read(quarantined)

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """Run a query on what was read."""
        return self._engine.sql(sql)
