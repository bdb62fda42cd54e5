"""Glue job: ingest new and changed landing files."""

from stedi.cli.glue_job import main

main("customer_landing", "accelerometer_landing", "step_trainer_landing", "quarantine")
