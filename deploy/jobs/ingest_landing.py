"""Glue job: take new and changed landing files into the landing tables."""

from stedi.cli.glue_job import main

main("customer_landing", "accelerometer_landing", "step_trainer_landing", "quarantine")
