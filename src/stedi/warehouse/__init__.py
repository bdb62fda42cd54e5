"""Where a warehouse lies, a folder or a prefix in S3: its files by name, and who may write to it."""

import re
from pathlib import Path

from stedi.warehouse.folder import WarehouseFolder
from stedi.warehouse.warehouse import StoredFile, Warehouse

_IN_S3 = re.compile(r"s3[an]?:/", re.IGNORECASE)

__all__ = ["StoredFile", "Warehouse", "WarehouseFolder", "warehouse_at"]


def warehouse_at(place: str, database: str) -> Warehouse:
    """The warehouse at a place, a folder or `s3://BUCKET/PREFIX`; one in S3 has its tables in a Glue database.

    Raises:
        ValueError: no tables can lie there.
        WarehouseError: it lies in S3, and what S3 needs is not installed.
    """
    if not _IN_S3.match(place):
        return WarehouseFolder(Path(place))
    from stedi.warehouse.s3 import WarehouseInS3

    return WarehouseInS3(place, database)
