"""Athena DDL of the tables: external JSON tables over the raw files, Iceberg tables for the rest."""

from stedi.landing import FEEDS
from stedi.landing.feed import Feed
from stedi.table import MILLISECONDS_A_DAY, Table

_ATHENA_TYPES = {
    "string": "string",
    "long": "bigint",
    "int": "int",
    "double": "double",
    "boolean": "boolean",
    "timestamptz": "timestamp",
}
_RAW_TYPES = {"text": "string", "milliseconds": "bigint", "number": "double"}


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def raw_ddl(feed: Feed, location: str) -> str:
    """An external JSON table over a feed's raw files as they land.

    Athena folds column names to lower case, and its JSON reader matches keys in any case.
    """
    columns = ",\n".join(f"  `{f.name.lower()}` {_RAW_TYPES[f.kind]} COMMENT {_text(f.meaning)}" for f in feed.fields)
    return (
        f"CREATE EXTERNAL TABLE IF NOT EXISTS `stedi`.`{feed.name}_raw` (\n{columns}\n)\n"
        "ROW FORMAT SERDE 'org.openx.data.jsonserde.JsonSerDe'\n"
        "WITH SERDEPROPERTIES ('case.insensitive' = 'true', 'ignore.malformed.json' = 'true')\n"
        f"LOCATION {_text(f'{location}/landing/{feed.name}/')}\n"
        "TBLPROPERTIES ('classification' = 'json');\n"
    )


def iceberg_ddl(table: Table, location: str) -> str:
    """The table as an Iceberg table."""
    columns = ",\n".join(f"  `{c.name.lower()}` {_ATHENA_TYPES[c.type]} COMMENT {_text(c.meaning)}" for c in table.columns)
    partition = f"PARTITIONED BY (truncate({MILLISECONDS_A_DAY}, `{table.day.lower()}`))\n" if table.day else ""
    return (
        f"CREATE TABLE IF NOT EXISTS `stedi`.`{table.name}` (\n{columns}\n)\n"
        f"COMMENT {_text(table.meaning)}\n{partition}"
        f"LOCATION {_text(f'{location}/lakehouse/stedi/{table.name}/')}\n"
        "TBLPROPERTIES ('table_type' = 'ICEBERG', 'format' = 'parquet', 'write_compression' = 'zstd');\n"
    )


def ddl(table: Table, location: str = "s3://YOUR-BUCKET") -> str:
    """Athena DDL of a table; a landing table's comes with the external table over its raw files."""
    feed = next((f for f in FEEDS if f.table.name == table.name), None)
    raw = raw_ddl(feed, location) + "\n" if feed else ""
    return raw + iceberg_ddl(table, location)
