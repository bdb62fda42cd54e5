"""PyIceberg's SQLite catalog, for commits to a warehouse in a folder."""

from urllib.parse import quote

from pyiceberg.catalog.sql import IcebergTables, SqlCatalog
from pyiceberg.exceptions import CommitFailedException
from pyiceberg.io import PY_IO_IMPL
from sqlalchemy import and_, update
from typing_extensions import override

from stedi.catalog.base_catalog import BaseCatalog
from stedi.catalog.catalog_reader import CATALOG_NAME
from stedi.catalog.local_files import LocalFileIO
from stedi.storage import WarehouseFolder
from stedi.storage.paths import location


class SqliteCatalog(BaseCatalog, SqlCatalog):
    """The catalog of a warehouse in a folder: the file `catalog.db` in that folder."""

    def __init__(self, warehouse: WarehouseFolder) -> None:
        super().__init__(
            CATALOG_NAME,
            uri=f"sqlite:///{quote(warehouse.path('catalog.db'))}",
            warehouse=location(warehouse.path("")),
            **{PY_IO_IMPL: f"{LocalFileIO.__module__}.{LocalFileIO.__name__}"},
        )

    @override
    def swap_metadata(self, namespace: str, name: str, before: str, after: str) -> None:
        is_current = and_(
            IcebergTables.catalog_name == self.name,
            IcebergTables.table_namespace == namespace,
            IcebergTables.table_name == name,
            IcebergTables.metadata_location == before,
        )
        with self.engine.begin() as connection:
            new = {"metadata_location": after, "previous_metadata_location": None}
            if connection.execute(update(IcebergTables).where(is_current).values(new)).rowcount != 1:
                raise CommitFailedException(f"{namespace}.{name} has another metadata file")
