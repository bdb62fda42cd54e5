"""The whole system on one page: every table, in the order of a run."""

from stedi import curated, landing, operations, reference, trusted
from stedi.table import Table, in_run_order

# What a run brings up to date, and what there is to read.
REFRESHED: tuple[Table, ...] = in_run_order((*landing.TABLES, *reference.TABLES, *trusted.TABLES, *curated.TABLES))
ALL: tuple[Table, ...] = (*REFRESHED, *operations.TABLES)
BY_NAME: dict[str, Table] = {table.name: table for table in ALL}
