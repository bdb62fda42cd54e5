"""Where a warehouse lies, a folder or a prefix in S3: its files by name, and who may write to it."""

import re
from pathlib import Path

from stedi.storage.folder import WarehouseFolder
from stedi.storage.warehouse import StoredFile, Warehouse

_IN_S3 = re.compile(r"s3[an]?:/", re.IGNORECASE)
# `name:/` alone may be a folder's name, unless the name is one of a store.
_ADDRESS = re.compile(
    r"([a-z][a-z0-9+.-]*)://|(gs|gcs|abfss?|wasbs?|adl|az|oss|r2|hdfs|viewfs|dbfs|https?|s?ftps?|file):/", re.IGNORECASE
)

__all__ = ["StoredFile", "Warehouse", "WarehouseFolder", "open_warehouse", "refuse_other_stores"]


def refuse_other_stores(place: str) -> None:
    """Accept a folder or an S3 prefix.

    Raises:
        ValueError: the place is an address of another store.
    """
    if re.match(r"s3[an]?:/(?!/)", place, re.IGNORECASE):
        raise ValueError("write an S3 prefix with two slashes: s3://BUCKET/PREFIX")
    if not _IN_S3.match(place) and (address := _ADDRESS.match(place)):
        # The rest is not repeated: it may hold a password.
        scheme = (address[1] or address[2]).lower()
        raise ValueError(f"{scheme}:// is not supported; give a folder or s3://BUCKET/PREFIX")


def open_warehouse(place: str, database: str = "stedi") -> Warehouse:
    """Open the warehouse at an address. Reads and writes nothing.

    Args:
        place: a folder, or `s3://BUCKET/PREFIX`.
        database: the Glue database of the tables of a warehouse in S3.

    Raises:
        ValueError: no Iceberg tables can be at this address.
        WarehouseError: the address is in S3, and the packages for S3 are not installed.
    """
    refuse_other_stores(place)
    if not _IN_S3.match(place):
        return WarehouseFolder(Path(place))
    from stedi.storage.s3 import WarehouseInS3

    return WarehouseInS3(place, database)
