"""Curated zone: joined and ready for analysis."""

from stedi.curated import customers, machine_learning

TABLES = (customers.TABLE, machine_learning.TABLE)
