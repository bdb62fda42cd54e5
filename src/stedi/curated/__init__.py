"""Curated zone: joined and ready for analysis."""

from stedi.curated import customers, machine_learning, step_training_set

TABLES = (customers.TABLE, machine_learning.TABLE, step_training_set.TABLE)
