"""The rows of a data file that no delete file of another writer deletes."""

from stedi.catalog import Catalog
from stedi.catalog.deletion_vectors import readable_position_deletes
from stedi.catalog.history import HistoryFile
from stedi.compute.backend import Backend
from stedi.errors import WarehouseError
from stedi.model.data_files import DataFiles
from stedi.model.sql import quoted
from stedi.model.table import Table


def surviving_rows(backend: Backend, catalog: Catalog, table: Table, file: HistoryFile) -> str:
    """SQL query for the rows of a data file of the history, without deleted rows.

    Args:
        backend: runs the query.
        catalog: the catalog.
        table: the table.
        file: the data file, with the deletes that apply to it.

    Raises:
        WarehouseError: deletes can't be applied, because their columns are no longer in the table.
    """
    positions = readable_position_deletes(catalog, table.name, file.file)
    rows = backend.scan(table, DataFiles((file.file.path,), positions, file.snapshot_ids[0], is_part=True))
    for deletes in file.file.equality_deletes:
        if missing := [column for column in deletes.columns if column not in table.column_names]:
            raise WarehouseError(f"deletes of another writer in table {table.name} refer to a missing column {missing[0]}")
        same = " AND ".join(f"d.{quoted(column)} IS NOT DISTINCT FROM r.{quoted(column)}" for column in deletes.columns)
        deleted = backend.scan_with_filename(table, DataFiles((deletes.path,), is_part=True))
        rows = f"SELECT * FROM ({rows}) AS r WHERE NOT EXISTS (SELECT 1 FROM ({deleted}) AS d WHERE {same})"
    return rows
