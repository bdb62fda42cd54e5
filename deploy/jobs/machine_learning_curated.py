"""Glue job: the two readings of the same person and moment, under pseudonyms."""

from stedi.cli.glue_job import main

main("machine_learning_curated")
