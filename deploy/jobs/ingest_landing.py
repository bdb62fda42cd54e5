"""Glue job: take new and changed landing files into the landing tables."""

from stedi.aws.job import main

main("customer_landing", "accelerometer_landing", "step_trainer_landing", "quarantine")
