"""Read landing files with the embedded engine, without committing the rows."""

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
    """Number of quarantined records of each feed."""

    quarantined: dict[str, int]


class LandingFolder:
    """A landing folder, and the landing tables and quarantine that are read from it."""

    def __init__(self, folder: Path, engine: DuckDBBackend) -> None:
        self.landing, self._engine = folder / "landing", engine
        self.landing.mkdir()

    def land(self, name: str, records: Iterable[Record] | bytes, *, arrived_ms: int | None = None) -> Path:
        """Write a landing file, records one per line. Its modification time is now or `arrived_ms`. Return its path."""
        path = put(self.landing / name, records)
        if arrived_ms is not None:
            os.utime(path, ns=(arrived_ms * 1_000_000, arrived_ms * 1_000_000))
        return path

    def run(self, *, select: Sequence[str] = ()) -> Read:
        """Read all files, and check that each reason for quarantine is declared."""
        quarantined: dict[str, int] = {}
        rejected = []
        for feed in FEEDS:
            ingested = self._engine.ingest(feed, list_files(str(self.landing), feed))
            self._engine.materialize(feed.table.name, f"SELECT * FROM {quoted(ingested.landed)}")
            self._engine.materialize(f"rejected_{feed.name}", f"SELECT * FROM {quoted(ingested.quarantined)}")
            self._engine.release(feed)
            rejected.append(f"SELECT * FROM {quoted(f'rejected_{feed.name}')}")
            quarantined[feed.name] = count_rows(self._engine, f"SELECT * FROM rejected_{feed.name}")
        self._engine.materialize("quarantine", " UNION ALL ".join(rejected))
        reasons = {reason for (reason,) in self.rows("SELECT DISTINCT reason FROM quarantine")}
        assert all(explain(reason) for reason in reasons), reasons
        return Read(quarantined)

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """Return the rows of a query on the landing tables and quarantine."""
        return self._engine.sql(sql)
