"""Glue job: step-trainer readings of curated customers' devices."""

from stedi.aws.job import main

main("step_trainer_trusted")
