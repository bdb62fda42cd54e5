"""Storage of warehouses: a local folder or an S3 prefix behind one interface, and the translation of its errors."""

import re
from pathlib import Path

from stedi.storage.folder import WarehouseFolder
from stedi.storage.warehouse import StoredFile, Warehouse

_S3_ADDRESS = re.compile(r"s3[an]?:/", re.IGNORECASE)
# `name:/` alone may be a folder's name, unless the name is that of a store.
_OTHER_STORE = re.compile(
    r"([a-z][a-z0-9+.-]*)://|(gs|gcs|abfss?|wasbs?|adl|az|oss|r2|hdfs|viewfs|dbfs|https?|s?ftps?|file):/", re.IGNORECASE
)

__all__ = ["StoredFile", "Warehouse", "WarehouseFolder", "open_warehouse", "refuse_other_stores"]


def refuse_other_stores(address: str) -> None:
    """Check that an address is a folder or an S3 prefix.

    Raises:
        ValueError: the address belongs to another store, or lacks a slash.
    """
    if re.match(r"s3[an]?:/(?!/)", address, re.IGNORECASE):
        raise ValueError("write an S3 prefix with two slashes: s3://BUCKET/PREFIX")
    if not _S3_ADDRESS.match(address) and (other := _OTHER_STORE.match(address)):
        # The rest of the address is not repeated: it may contain a password.
        scheme = (other[1] or other[2]).lower()
        raise ValueError(f"{scheme}:// is not supported; give a folder or s3://BUCKET/PREFIX")


def open_warehouse(address: str, database: str = "stedi") -> Warehouse:
    """Open the warehouse at an address. Reads and writes nothing.

    Args:
        address: a folder, or `s3://BUCKET/PREFIX`.
        database: the Glue database of the tables of a warehouse in S3.

    Raises:
        ValueError: no Iceberg tables can be at this address.
        WarehouseError: the address is in S3, and the packages for S3 are not installed.
    """
    refuse_other_stores(address)
    if not _S3_ADDRESS.match(address):
        return WarehouseFolder(Path(address))
    from stedi.storage.s3 import WarehouseInS3

    return WarehouseInS3(address, database)
