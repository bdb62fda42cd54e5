"""Run read-only SQL on the tables of a finished run."""

from stedi.catalog import Catalog
from stedi.catalog.run_log import RunRecord, latest_run, read_runs, run_as_of
from stedi.compute.duckdb.query import QueryResult, QuerySession
from stedi.config import Settings
from stedi.errors import WarehouseError
from stedi.ingest.applied_erasures import open_current_warehouse
from stedi.model.data_files import DataFiles
from stedi.storage.errors import translate_storage_errors
from stedi.tables.registry import ALL


def query(settings: Settings, sql: str, *, as_of: str | None = None) -> QueryResult:
    """Run one SQL statement on the tables of a finished run.

    Args:
        settings: the warehouse, and the limits of memory and threads.
        sql: the statement.
        as_of: a run ID, or a time in ISO 8601 by which the run had finished. None for the newest run.

    Raises:
        QueryError: the statement fails, or is refused because it writes or reads other files.
        UsageError: `as_of` is neither the ID of a finished run nor a time after one.
        WarehouseError: there is no warehouse, or no run has finished in it.
    """
    return open_run(settings, as_of)[0].run(sql)


def open_run(settings: Settings, as_of: str | None = None) -> tuple[QuerySession, RunRecord]:
    """Open the tables of a finished run for one statement.

    Args:
        settings: the warehouse, and the limits of memory and threads.
        as_of: a run ID, or a time in ISO 8601 by which the run had finished. None for the newest run.

    Returns:
        The session, and the run.

    Raises:
        UsageError: `as_of` is neither the ID of a finished run nor a time after one.
        WarehouseError: there is no warehouse, or no run has finished in it.
    """
    warehouse = open_current_warehouse(settings)
    while True:
        with Catalog(warehouse) as catalog:
            run = run_as_of(read_runs(catalog.warehouse), as_of)
            if run is None:
                raise WarehouseError(f"no run has finished in {settings.warehouse}; start one with `stedi run`")
            try:
                return _session(catalog, run, settings), run
            except WarehouseError:
                # Maintenance after a newer run may have deleted this run's files. Try again with the newer run.
                if as_of is not None or latest_run(catalog.warehouse) == run:
                    raise


def _session(catalog: Catalog, run: RunRecord, settings: Settings) -> QuerySession:
    session = QuerySession(catalog.warehouse, memory_limit=settings.memory_limit, threads=settings.threads)
    with translate_storage_errors(f"warehouse {catalog.warehouse} can't be read"):
        for table in ALL:
            snapshot_id = run.snapshots.get(table.name)
            session.add_table(table, catalog.files(table.name, snapshot_id) if snapshot_id is not None else DataFiles())
    return session
