"""PyIceberg's SQLite catalog, for commits to a warehouse in a folder."""

from urllib.parse import quote

from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.io import PY_IO_IMPL

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
