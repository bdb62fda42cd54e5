"""The whole system on one page: every table, in the order of a run."""

from stedi import curated, landing, trusted
from stedi.table import Table, in_run_order

ALL: tuple[Table, ...] = in_run_order((*landing.TABLES, *trusted.TABLES, *curated.TABLES))
BY_NAME: dict[str, Table] = {table.name: table for table in ALL}
