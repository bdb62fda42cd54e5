"""PyIceberg's catalog on SQLite, beside the data, for commits."""

from urllib.parse import quote

from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.io import PY_IO_IMPL

from stedi.catalog.local_files import LocalFileIO
from stedi.catalog.own_metadata import OwnMetadata
from stedi.catalog.pointers import CATALOG_NAME
from stedi.storage import WarehouseFolder
from stedi.storage.paths import location


class SqliteCatalog(OwnMetadata, SqlCatalog):
    """The catalog of a warehouse in a folder."""

    def __init__(self, warehouse: WarehouseFolder) -> None:
        super().__init__(
            CATALOG_NAME,
            uri=f"sqlite:///{quote(warehouse.path('catalog.db'))}",
            warehouse=location(warehouse.path("")),
            **{PY_IO_IMPL: f"{LocalFileIO.__module__}.{LocalFileIO.__name__}"},
        )
