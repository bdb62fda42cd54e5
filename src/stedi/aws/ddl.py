"""Athena DDL: external JSON tables over the landing files, and the Iceberg tables.

Both have the same table names, so the external tables are in a separate database.
"""

from stedi.model.column_types import COLUMN_TYPES
from stedi.model.feed import Feed
from stedi.model.table import MILLISECONDS_A_DAY, Table
from stedi.tables.landing.feeds import FEEDS

DATABASE = "stedi"
# Placeholders for the reader to fill in.
LANDING, WAREHOUSE = "s3://YOUR-LANDING-BUCKET", "s3://YOUR-LAKEHOUSE-BUCKET/lakehouse"


def _text(value: str) -> str:
    """Quote a text for Athena's DDL, which escapes quotes with a backslash as Hive does; queries double them."""
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def raw_database(database: str) -> str:
    """Return the database of the external tables over landing files."""
    return f"{database}_raw"


def databases_ddl(database: str = DATABASE) -> str:
    """Return the DDL of both databases."""
    return "".join(f"CREATE DATABASE IF NOT EXISTS `{name}`;\n" for name in (raw_database(database), database))


def raw_ddl(feed: Feed, landing: str, database: str) -> str:
    """Return the DDL of an external JSON table over a feed's landing files.

    Athena folds column names to lower case, and its JSON reader matches keys in any case.
    """
    columns = ",\n".join(
        f"  `{f.name.lower()}` {COLUMN_TYPES[f.column_type].athena} COMMENT {_text(f.meaning)}" for f in feed.fields
    )
    return (
        f"-- the landing files of the feed {feed.name}\n"
        f"CREATE EXTERNAL TABLE IF NOT EXISTS `{raw_database(database)}`.`{feed.table.name}` (\n{columns}\n)\n"
        "ROW FORMAT SERDE 'org.openx.data.jsonserde.JsonSerDe'\n"
        "WITH SERDEPROPERTIES ('case.insensitive' = 'true', 'ignore.malformed.json' = 'true')\n"
        f"LOCATION {_text(f'{landing}/{feed.folders[0]}/')}\n"
        "TBLPROPERTIES ('classification' = 'json');\n"
    )


def iceberg_ddl(table: Table, warehouse: str, database: str) -> str:
    """Return the DDL of a table as an Iceberg table."""
    columns = ",\n".join(
        f"  `{c.name.lower()}` {COLUMN_TYPES[c.type].athena} COMMENT {_text(c.meaning)}" for c in table.columns
    )
    partition = f"PARTITIONED BY (truncate({MILLISECONDS_A_DAY}, `{table.day.lower()}`))\n" if table.day else ""
    return (
        f"-- {table.meaning}\n"
        f"CREATE TABLE IF NOT EXISTS `{database}`.`{table.name}` (\n{columns}\n)\n"
        f"{partition}"
        f"LOCATION {_text(f'{warehouse}/stedi/{table.name}/')}\n"
        "TBLPROPERTIES ('table_type' = 'ICEBERG', 'format' = 'parquet', 'write_compression' = 'zstd');\n"
    )


def ddl(table: Table, landing: str = LANDING, warehouse: str = WAREHOUSE, database: str = DATABASE) -> str:
    """Return the DDL of a table, and for a landing table that of the external table over its files.

    Args:
        table: the table.
        landing: S3 prefix of the landing files, as in the settings.
        warehouse: S3 prefix of the warehouse, as in the settings.
        database: database of the Iceberg tables.
    """
    feed = next((f for f in FEEDS if f.table.name == table.name), None)
    raw = raw_ddl(feed, landing.rstrip("/"), database) + "\n" if feed else ""
    return raw + iceberg_ddl(table, warehouse.rstrip("/"), database)
