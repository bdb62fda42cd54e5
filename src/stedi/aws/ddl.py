"""Athena DDL of the tables: external JSON tables over the raw files, Iceberg tables for what runs make of them.

Both go by the same name, so the raw ones stand in a database of their own.
"""

from stedi.model.column_types import COLUMN_TYPES
from stedi.model.feed import Feed
from stedi.model.table import MILLISECONDS_A_DAY, Table
from stedi.tables.landing.feeds import FEEDS

DATABASE = "stedi"
# Where the files lie, for a reader to fill in.
LANDING, WAREHOUSE = "s3://YOUR-LANDING-BUCKET", "s3://YOUR-LAKEHOUSE-BUCKET/lakehouse"


def _text(value: str) -> str:
    """A text as Athena's DDL has it, which comes from Hive: queries double a quote, DDL does not."""
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def raw_database(database: str) -> str:
    """The database of the raw files' tables, beside that of the Iceberg tables."""
    return f"{database}_raw"


def databases_ddl(database: str = DATABASE) -> str:
    """The databases that the tables stand in."""
    return "".join(f"CREATE DATABASE IF NOT EXISTS `{name}`;\n" for name in (raw_database(database), database))


def raw_ddl(feed: Feed, landing: str, database: str) -> str:
    """An external JSON table over a feed's raw files as they land.

    Athena folds column names to lower case, and its JSON reader matches keys in any case.
    """
    columns = ",\n".join(
        f"  `{f.name.lower()}` {COLUMN_TYPES[f.column_type].athena} COMMENT {_text(f.meaning)}" for f in feed.fields
    )
    return (
        f"-- the raw files of the {feed.name} feed\n"
        f"CREATE EXTERNAL TABLE IF NOT EXISTS `{raw_database(database)}`.`{feed.table.name}` (\n{columns}\n)\n"
        "ROW FORMAT SERDE 'org.openx.data.jsonserde.JsonSerDe'\n"
        "WITH SERDEPROPERTIES ('case.insensitive' = 'true', 'ignore.malformed.json' = 'true')\n"
        f"LOCATION {_text(f'{landing}/{feed.folders[0]}/')}\n"
        "TBLPROPERTIES ('classification' = 'json');\n"
    )


def iceberg_ddl(table: Table, warehouse: str, database: str) -> str:
    """The table as an Iceberg table."""
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
    """Athena DDL of a table; a landing table's comes with the external table over its raw files.

    `landing` and `warehouse` are S3 prefixes as the settings have them.
    """
    feed = next((f for f in FEEDS if f.table.name == table.name), None)
    raw = raw_ddl(feed, landing.rstrip("/"), database) + "\n" if feed else ""
    return raw + iceberg_ddl(table, warehouse.rstrip("/"), database)
