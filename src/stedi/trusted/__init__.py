"""Trusted zone: typed, checked, without duplicates, of customers who consent and nobody else."""

from stedi.trusted import accelerometer, customer, step_trainer

TABLES = (customer.TABLE, accelerometer.TABLE, step_trainer.TABLE)
