"""Checks when a warehouse is opened: that it exists, has this program's layout, and was not moved."""

from collections.abc import Mapping

from stedi.catalog.metadata import TableMetadata
from stedi.catalog.run_log import latest_run
from stedi.errors import NoWarehouseError, WarehouseError
from stedi.storage import Warehouse, WarehouseFolder
from stedi.storage.paths import location, plain_path
from stedi.tables.registry import BY_NAME

# Incremented when a version can no longer use the warehouses of the version before it.
LAYOUT_VERSION = 4


def namespace_properties_of(warehouse: Warehouse) -> dict[str, str]:
    """Return the properties that mark the namespace of a new warehouse: its layout and its location."""
    return {"layout_version": str(LAYOUT_VERSION), "location": location(warehouse.path(""))}


def check_database(warehouse: WarehouseFolder, *, create: bool) -> None:
    """Check that a warehouse in a folder has its catalog database.

    Args:
        warehouse: the warehouse.
        create: whether a missing database will be created.

    Raises:
        NoWarehouseError: there is no database, and `create` is off.
        WarehouseError: runs have finished, but the database is missing or empty. A new one would list no tables, and
            maintenance would delete all files as orphan files.
    """
    database = warehouse.root / "catalog.db"
    if not (database.exists() and database.stat().st_size) and latest_run(warehouse) is not None:
        raise WarehouseError(
            f"warehouse {warehouse} has lost its catalog: {database} is missing or empty, but runs have finished there; "
            "restore it from a backup, or build another warehouse from the landing files with --warehouse"
        )
    if not create and not database.exists():
        raise NoWarehouseError(f"no warehouse at {warehouse}; create one with `stedi run`")


def check_layout(warehouse: Warehouse, properties: Mapping[str, str] | None) -> None:
    """Check the namespace of a warehouse.

    Args:
        warehouse: the warehouse.
        properties: the properties of its namespace, None if there is no namespace.

    Raises:
        NoWarehouseError: no run has created tables.
        WarehouseError: another version created the warehouse, or it was moved.
    """
    if properties is None or "layout_version" not in properties:
        raise NoWarehouseError(f"no run has finished in {warehouse}; start one with `stedi run`")
    layout = int(properties["layout_version"])
    if layout > LAYOUT_VERSION:
        raise WarehouseError(
            f"warehouse {warehouse} has layout {layout}, newer than this program's {LAYOUT_VERSION}; update stedi"
        )
    if layout < LAYOUT_VERSION:
        raise WarehouseError(
            f"warehouse {warehouse} has layout {layout}, older than this program's {LAYOUT_VERSION}; "
            "build another from the landing files with --warehouse"
        )
    created_at = plain_path(properties.get("location", location(warehouse.path("")))).rstrip("/")
    if created_at != warehouse.path(""):
        raise WarehouseError(
            f"warehouse {warehouse} was created at {created_at}, and its tables refer to their files by that path; "
            "move it back, or build another from the landing files with --warehouse"
        )


def check_columns(warehouse: Warehouse, name: str, metadata: TableMetadata) -> None:
    """Check that a table has all declared columns.

    The layout version does not imply that: a deployment on AWS sets it on a database whose tables may be older.

    Raises:
        WarehouseError: a column is missing.
    """
    declared = BY_NAME[name].column_names if name in BY_NAME else ()
    if missing := [column for column in declared if column not in metadata.columns]:
        raise WarehouseError(
            f"table {name} of warehouse {warehouse} has no column {missing[0]}: an earlier version of this program "
            "created it; build another warehouse from the landing files with --warehouse"
        )
