"""Glue job: step-trainer readings of curated customers' devices."""

from stedi.cli.glue_job import main

main("step_trainer_trusted")
