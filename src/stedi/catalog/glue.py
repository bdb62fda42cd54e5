"""PyIceberg's catalog on Glue, for warehouses in S3, and the file access that PyIceberg needs there."""

from io import BytesIO
from typing import Any

from pyiceberg.catalog import METADATA_LOCATION, PREVIOUS_METADATA_LOCATION
from pyiceberg.catalog.glue import GlueCatalog as PyIcebergGlueCatalog
from pyiceberg.exceptions import CommitFailedException, NoSuchNamespaceError, NoSuchTableError
from pyiceberg.io import FileIO, InputFile, OutputFile
from typing_extensions import override

from stedi.catalog.base_catalog import BaseCatalog
from stedi.errors import WarehouseError
from stedi.storage import Warehouse
from stedi.storage.aws_client import create_client
from stedi.storage.paths import location

# What Glue's UpdateTable would otherwise remove from a table.
_KEPT = ("Name", "Description", "Owner", "Retention", "StorageDescriptor", "PartitionKeys", "TableType")


class GlueCatalog(BaseCatalog, PyIcebergGlueCatalog):
    """The catalog of a warehouse in S3: a database of the Glue Data Catalog.

    A commit is Glue's UpdateTable with the version of the table that the commit is based on. Glue refuses it if there is
    a newer version.
    """

    def __init__(self, warehouse: Warehouse) -> None:
        self._files = WarehouseFileIO(warehouse)
        super().__init__("stedi", client=create_client("glue", WarehouseError), warehouse=location(warehouse.path("")))

    def _load_file_io(self, properties: Any = None, location: str | None = None) -> FileIO:
        return self._files

    def namespace_properties(self, namespace: str) -> dict[str, str] | None:
        """Return the properties of a database, or None if it does not exist."""
        try:
            return dict(self.load_namespace_properties(namespace))
        except NoSuchNamespaceError:
            return None

    def metadata_location(self, namespace: str, name: str) -> str | None:
        """Return the location of a table's current metadata file, or None if there is no such Iceberg table."""
        try:
            parameters = self._get_glue_table(namespace, name).get("Parameters", {})
        except NoSuchTableError:
            return None
        if parameters.get("table_type", "").lower() != "iceberg":
            return None
        location: str = parameters["metadata_location"]
        return location

    @override
    def swap_metadata(self, namespace: str, name: str, before: str, after: str) -> None:
        table = self._get_glue_table(namespace, name)
        parameters = dict(table["Parameters"])
        if parameters[METADATA_LOCATION] != before:
            raise CommitFailedException(f"{namespace}.{name} has another metadata file")
        parameters |= {METADATA_LOCATION: after}
        parameters.pop(PREVIOUS_METADATA_LOCATION, None)
        kept: Any = {key: table.get(key) for key in _KEPT if key in table}
        self._update_glue_table(namespace, name, {**kept, "Parameters": parameters}, table["VersionId"])

    def vacuum(self) -> None:
        """Do nothing: Glue's database is Amazon's."""

    def close(self) -> None:
        """Close the connections to Glue."""
        self.glue.close()


class WarehouseFileIO(FileIO):
    """Reads and writes whole files through the warehouse's storage, which has the connections and error messages."""

    def __init__(self, warehouse: Warehouse) -> None:
        super().__init__({})
        self._warehouse = warehouse

    def new_input(self, location: str) -> "WarehouseFile":
        """Return a file to read."""
        return WarehouseFile(location, self._warehouse)

    def new_output(self, location: str) -> "WarehouseFile":
        """Return a file to write."""
        return WarehouseFile(location, self._warehouse)

    def delete(self, location: str | InputFile | OutputFile) -> None:
        """Delete a file."""
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
        """Whether the file exists."""
        try:
            self._warehouse.read(self._name)
        except FileNotFoundError:
            return False
        return True

    def open(self, seekable: bool = True) -> BytesIO:
        """Read the file into a buffer."""
        return BytesIO(self._warehouse.read(self._name))

    def to_input_file(self) -> "WarehouseFile":
        """Return this file: it can be read, too."""
        return self

    def create(self, overwrite: bool = False) -> "UploadBuffer":
        """Return a buffer for the file's content. Does not check whether the file exists: metadata files have new names."""
        return UploadBuffer(self._warehouse, self._name)


class UploadBuffer(BytesIO):
    """A buffer that is written to the warehouse as one file when it is closed."""

    def __init__(self, warehouse: Warehouse, name: str) -> None:
        super().__init__()
        self._warehouse, self._name = warehouse, name

    def close(self) -> None:
        """Write the file, and close the buffer."""
        if not self.closed:
            self._warehouse.replace(self._name, self.getvalue())
        super().close()
