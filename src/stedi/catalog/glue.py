"""PyIceberg's Glue Data Catalog, for warehouses in S3, and metadata files there as PyIceberg asks for them."""

from io import BytesIO
from typing import Any

from pyiceberg.catalog.glue import GlueCatalog as PyIcebergGlueCatalog
from pyiceberg.exceptions import NoSuchNamespaceError, NoSuchTableError
from pyiceberg.io import FileIO, InputFile, OutputFile

from stedi.catalog.own_metadata import OwnMetadata
from stedi.errors import WarehouseError
from stedi.storage import Warehouse
from stedi.storage.aws_client import create_client
from stedi.storage.paths import location


class GlueCatalog(OwnMetadata, PyIcebergGlueCatalog):
    """The catalog of a warehouse in S3.

    A commit is Glue's UpdateTable with the version of the table that it was worked out from, which
    Glue refuses when there is a newer one.
    """

    def __init__(self, warehouse: Warehouse) -> None:
        self._files = WarehouseFileIO(warehouse)
        super().__init__("stedi", client=create_client("glue", WarehouseError), warehouse=location(warehouse.path("")))

    def _load_file_io(self, properties: Any = None, location: str | None = None) -> FileIO:
        return self._files

    def namespace_properties(self, namespace: str) -> dict[str, str] | None:
        """The properties of a database, or None when it does not exist."""
        try:
            return dict(self.load_namespace_properties(namespace))
        except NoSuchNamespaceError:
            return None

    def metadata_location(self, namespace: str, name: str) -> str | None:
        """The location of a table's current metadata file, or None when there is no such Iceberg table."""
        try:
            parameters = self._get_glue_table(namespace, name).get("Parameters", {})
        except NoSuchTableError:
            return None
        if parameters.get("table_type", "").lower() != "iceberg":
            return None
        location: str = parameters["metadata_location"]
        return location

    def close(self) -> None:
        self.glue.close()


class WarehouseFileIO(FileIO):
    """Reads and writes a warehouse's files, each whole, with the warehouse's own connections and messages."""

    def __init__(self, warehouse: Warehouse) -> None:
        super().__init__({})
        self._warehouse = warehouse

    def new_input(self, location: str) -> "WarehouseFile":
        return WarehouseFile(location, self._warehouse)

    def new_output(self, location: str) -> "WarehouseFile":
        return WarehouseFile(location, self._warehouse)

    def delete(self, location: str | InputFile | OutputFile) -> None:
        path = location if isinstance(location, str) else location.location
        self._warehouse.delete(self._warehouse.name_of(path))


class WarehouseFile(InputFile, OutputFile):
    """One file of a warehouse by its location."""

    def __init__(self, location: str, warehouse: Warehouse) -> None:
        super().__init__(location)
        self._warehouse, self._name = warehouse, warehouse.name_of(location)

    def __len__(self) -> int:
        return len(self._warehouse.read(self._name))

    def exists(self) -> bool:
        try:
            self._warehouse.read(self._name)
        except FileNotFoundError:
            return False
        return True

    def open(self, seekable: bool = True) -> BytesIO:
        return BytesIO(self._warehouse.read(self._name))

    def to_input_file(self) -> "WarehouseFile":
        return self

    def create(self, overwrite: bool = False) -> "BeingWritten":
        return BeingWritten(self._warehouse, self._name)


class BeingWritten(BytesIO):
    """A file that is put in place when it is closed; its name is new, as those of all metadata files are."""

    def __init__(self, warehouse: Warehouse, name: str) -> None:
        super().__init__()
        self._warehouse, self._name = warehouse, name

    def close(self) -> None:
        if not self.closed:
            self._warehouse.replace(self._name, self.getvalue())
        super().close()
