"""Any SQL over every table, read-only, on the tables of one finished run."""

from stedi.catalog import Catalog
from stedi.config import Settings
from stedi.engines.embedded import QueryResult, QuerySession
from stedi.errors import WarehouseError
from stedi.history import read_runs, run_as_of
from stedi.table import DataFiles
from stedi.tables import ALL


def query(settings: Settings, sql: str, *, as_of: str | None = None) -> QueryResult:
    """Run one SQL statement on the tables as the newest finished run, or an earlier one, left them.

    Raises:
        QueryError: the statement writes, reads other files, or fails.
        UsageError: `as_of` names no finished run and no time after one.
        WarehouseError: there is no warehouse, or no run has finished in it.
    """
    with Catalog(settings.warehouse) as catalog:
        record = run_as_of(read_runs(catalog.warehouse), as_of)
        if record is None:
            raise WarehouseError(f"no run has finished in {settings.warehouse}; start one with `stedi run`")
        session = QuerySession()
        for table in ALL:
            snapshot_id = record.snapshots.get(table.name)
            session.add_table(table, catalog.files(table.name, snapshot_id) if snapshot_id is not None else DataFiles())
    return session.run(sql)
